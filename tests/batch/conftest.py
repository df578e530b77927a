"""Stores and songs, and workers that other processes find."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .material import REPOSITORY, s3_server, write_song


@pytest.fixture(autouse=True, scope="session")
def _tests_can_be_imported():
    """Let processes that are started here import the workers of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY))
        before = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(REPOSITORY), before])))
        patch.setenv("OMP_NUM_THREADS", "1")
        assert sys.path[0] == str(REPOSITORY)
        yield


@pytest.fixture
def songs(tmp_path) -> Path:
    """A folder of three songs, one in a folder below, and what is none."""
    root = tmp_path / "songs"
    for seed, name in enumerate(("one.wav", "two.flac", "more/three.wav")):
        write_song(root / name, seed=seed)
    (root / "notes.txt").write_text("no song")
    (root / ".hidden.wav").write_text("no song")
    return root


@pytest.fixture(scope="session")
def s3():
    """A server of S3 on this machine; gives the URL of its bucket."""
    with s3_server() as bucket:
        yield bucket


@pytest.fixture(params=["disk", "s3"])
def place(request, tmp_path, s3) -> str:
    """An empty place for results, of each kind."""
    if request.param == "disk":
        return str(tmp_path / "out")
    return f"{s3}/{tmp_path.name}/out"
