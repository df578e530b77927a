"""The built page as files: complete, without inline code, and with nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from ...conftest import REPOSITORY

PAGE = REPOSITORY / "src" / "stemlight" / "serve" / "page"
TEXT = (PAGE / "index.html").read_text(encoding="utf-8")
FILES = [path for path in PAGE.rglob("*") if path.is_file()]


class _Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []
        self.feed(TEXT)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


ELEMENTS = _Elements().found


def test_every_file_that_the_page_names_is_there():
    names = [kept[key] for _, kept in ELEMENTS for key in ("src", "href") if key in kept]
    assert len(names) == 3  # icon, script, style sheet
    assert all((PAGE / name).is_file() for name in names)


def test_nothing_is_inline():
    assert not [tag for tag, kept in ELEMENTS if tag == "style" or "style" in kept]
    assert all("src" in kept for tag, kept in ELEMENTS if tag == "script")
    assert not [key for _, kept in ELEMENTS for key in kept if key.startswith("on")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.suffix)
def test_no_file_names_another_server(path):
    hosts = set(re.findall(r"https?://([\w.-]+)", path.read_text(encoding="utf-8")))
    assert hosts <= {"www.w3.org"}  # the name of SVG, which nobody fetches


def test_the_lock_file_names_no_registry():
    assert '"resolved"' not in (REPOSITORY / "web/package-lock.json").read_text(encoding="utf-8")
