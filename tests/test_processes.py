from __future__ import annotations

import os

import pytest

from stemlight.processes import threads_of_children

NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_children_find_their_number_of_threads_and_nothing_stays():
    with threads_of_children(3):
        assert [os.environ[name] for name in NAMES] == ["3"] * 3
    assert not set(NAMES) & set(os.environ)


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with threads_of_children(3):
        assert [os.environ[name] for name in NAMES] == ["7", "3", "3"]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_nothing_stays_when_starting_fails():
    with pytest.raises(OSError, match="no memory"), threads_of_children(3):
        raise OSError("no memory")
    assert not set(NAMES) & set(os.environ)
