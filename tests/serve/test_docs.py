"""The pages about the server name tests, options and addresses that exist."""

from __future__ import annotations

import re
from pathlib import Path

from stemlight.serve.app import create_app
from stemlight.serve.settings import ServeSettings

from .material import REPOSITORY


def test_every_threat_names_tests_that_exist():
    text = (REPOSITORY / "docs/threats.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    known = set(re.findall(r"^def (test_\w+)\(", "\n".join(sources), re.MULTILINE))
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        named = set(re.findall(r"`(test_\w+)`", row))
        assert named, row
        assert named <= known, named - known


def test_the_guide_names_options_and_addresses_that_exist():
    text = (REPOSITORY / "docs/serve.md").read_text(encoding="utf-8")
    command = (REPOSITORY / "src/stemlight/cli/serving.py").read_text(encoding="utf-8")
    options = {word.replace("-", "_") for word in re.findall(r"--([a-z][a-z-]+[a-z])", text)}
    options -= {"no_open", "path"}  # the first is of --open/--no-open, the second of another tool
    parameters = set(re.findall(r"^    (\w+): Annotated", command, re.MULTILINE))
    assert options <= parameters, options - parameters
    paths = create_app(ServeSettings(data_folder=Path("unused"))).openapi()["paths"]
    for given in re.findall(r"\$server(/[\w./$-]*)", text):
        path = given.replace("$id", "{job_id}").replace("vocals.flac", "{file_name}")
        assert f"/api/v1{path}" in paths, path
