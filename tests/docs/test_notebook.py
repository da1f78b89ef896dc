"""The notebook of the docs runs from top to bottom."""

from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_notebook_trains_annotates_and_draws(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("GMNER_NOTEBOOK_DIR", str(tmp_path))
    notebook = nbformat.read(repo / "docs" / "notebooks" / "demo.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept: clear them before committing"
    resources = {"metadata": {"path": str(repo / "docs" / "notebooks")}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    assert "image/png" in notebook.cells[-1].outputs[0].data
    assert "adapter_model.safetensors" in notebook.cells[3].outputs[0].text
