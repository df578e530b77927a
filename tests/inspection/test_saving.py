"""Pictures are whole under their name, or not there."""

from __future__ import annotations

import pytest

from stemlight.audio.pending import PendingFile
from stemlight.errors import OutputError, UsageError
from stemlight.inspection import save_picture
from stemlight.inspection.drawing import grid
from stemlight.inspection.saving import PICTURE_FORMATS

SIGNATURES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def figure():
    drawn, axes = grid(1, 1, size=(2, 1), title="a title")
    axes[0, 0].plot([0, 1], [1, 0])
    return drawn


@pytest.mark.parametrize("format", PICTURE_FORMATS)
def test_the_same_picture_is_the_same_bytes(tmp_path, format):
    for name in ("a", "b"):
        save_picture(figure(), tmp_path / f"{name}.{format}")
    content = (tmp_path / f"a.{format}").read_bytes()
    assert content.startswith(SIGNATURES[format])
    assert content == (tmp_path / f"b.{format}").read_bytes()


def test_a_picture_that_is_there_is_kept_unless_it_may_be_replaced(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"a\.png exists already"):
        save_picture(figure(), path)
    assert path.read_bytes() == b"mine"
    save_picture(figure(), path, overwrite=True)
    assert path.read_bytes().startswith(SIGNATURES["png"])
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def place(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PendingFile, "place", place)
    with pytest.raises(OutputError, match="No space left on device; free some space"):
        save_picture(figure(), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(UsageError, match="pictures are png, svg, pdf, not 'jpg'"):
        save_picture(figure(), tmp_path / "a.jpg")
