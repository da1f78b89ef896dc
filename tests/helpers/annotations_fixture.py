"""The real annotations, unpacked once."""

import zipfile

import pytest


@pytest.fixture(scope="session")
def annotations(shared_dir, tmp_path_factory):
    """The folder of the real annotations, both versions, unpacked once."""
    folder = tmp_path_factory.mktemp("annotations")
    (archive,) = (shared_dir / "data").glob("GMNER-*.zip")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    (root,) = folder.iterdir()
    return root
