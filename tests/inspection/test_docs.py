"""docs/inside.md shows every picture, of the model that is in the package, and its code runs."""

from __future__ import annotations

import re

from stemlight.inspection import PICTURES
from stemlight.weights.cards import WEIGHTS_FILE, read_card
from stemlight.weights.catalogue import embedded_models

from ..conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGE = (DOCS / "inside.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"!\[[^\]]+\]\((pictures/[^)]+)\)", PAGE)


def test_every_picture_is_shown_or_at_least_told_of():
    names = {path.rpartition("/")[2].removesuffix(".png") for path in SHOWN}
    told = set(re.findall(r"\*\*([\w-]+)\*\*", PAGE))
    assert names | told == set(PICTURES)


def test_pictures_are_there_and_small_and_no_others_are():
    others = set(re.findall(r"\((pictures/[^)]+)\)", (DOCS / "studio.md").read_text("utf-8")))
    stored = {str(path.relative_to(DOCS)) for path in (DOCS / "pictures").rglob("*.png")}
    assert stored == {*SHOWN, *others}
    assert sum((DOCS / path).stat().st_size for path in SHOWN) < 1.5e6


def test_pictures_are_those_of_the_embedded_model():
    (drawn,) = re.findall(r"the sha256 `(\w+)`", PAGE)
    digest = read_card(embedded_models()["stemlight"]).files[WEIGHTS_FILE].sha256
    message = "draw docs/pictures again with the commands of docs/inside.md, and read its text"
    assert digest.startswith(drawn), message


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/inside.md", "exec"), {})
    assert (tmp_path / "gates.png").stat().st_size > 10_000
