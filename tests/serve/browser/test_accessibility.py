"""What axe, the usual checker of pages, finds wrong for people who do not see or point: nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def axe() -> str:
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None:
        pytest.skip("axe is not installed (pip install axe-playwright-python)")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def faults(page, axe: str) -> list[str]:
    """Return what is wrong now, each with the elements that it is about."""
    page.evaluate(axe)
    page.wait_for_timeout(300)  # colours that change have changed
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{fault['id']}: {', '.join(str(node['target']) for node in fault['nodes'])}: "
        f"{fault['nodes'][0]['failureSummary']}"
        for fault in found
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault_in_any_view(open_context, server, finished, axe, scheme):
    context = open_context(
        server.url, storage_state=finished["state"], color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(server.url)
    page.wait_for_selector(".row[data-state=done]")
    sound = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no sound"}
    page.set_input_files("#files", sound)
    page.wait_for_selector(".row[data-state=failed]")
    assert faults(page, axe) == []
    page.click("[aria-label='Remove notes.txt']")
    page.goto(finished["url"])
    page.wait_for_selector(".lane:nth-of-type(4) canvas")
    page.click(".lane[data-stem=vocals] .mute")
    assert faults(page, axe) == []
    page.keyboard.press("g")
    page.wait_for_selector(".lane:nth-of-type(4) .picture img")
    assert faults(page, axe) == []
    page.keyboard.press("?")
    page.wait_for_selector("dialog.help[open]")
    assert faults(page, axe) == []
