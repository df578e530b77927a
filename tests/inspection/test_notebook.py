"""The notebook in examples/ runs from its first cell to its last, and shows what it says."""

from __future__ import annotations

import copy

import nbclient
import nbformat
import pytest

from ..conftest import REPOSITORY

PATH = REPOSITORY / "examples" / "inside.ipynb"


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(PATH, as_version=4)


def test_the_notebook_is_stored_without_outputs(stored):
    nbformat.validate(stored)
    assert all(cell.outputs == [] for cell in stored.cells if cell.cell_type == "code")


# Libraries of Jupyter, not ours, warn of themselves.
@pytest.mark.filterwarnings("ignore")
def test_every_cell_runs_and_shows_sound_and_pictures(stored, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = copy.deepcopy(stored)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(PATH.parent)}}
    ).execute()
    kinds = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs, cell.source
            assert all(output.output_type != "error" for output in cell.outputs)
            assert all(output.get("name") != "stderr" for output in cell.outputs)
            kinds += [set(output.get("data", ())) for output in cell.outputs]
    assert sum("image/png" in kind for kind in kinds) == 6
    assert sum("text/html" in kind for kind in kinds) == 3
