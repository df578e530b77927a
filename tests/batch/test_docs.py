"""What docs/batch.md says is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from stemlight.batch import Report, Store, Summary, work
from stemlight.batch.manifest import OPTION_COLUMNS
from stemlight.cli.batch import batch

from .material import REPOSITORY, check_results, write_song

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

PAGE = (REPOSITORY / "docs" / "batch.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def named(section):
    return set(re.findall(r"`(\w+)`", section))


def test_every_option_that_is_named_is_one():
    parameters = {name.replace("_", "-") for name in batch.__annotations__}
    assert set(re.findall(r"--([a-z][a-z-]+)", PAGE)) <= parameters


def test_columns_of_tables_and_reports_are_all_there(tmp_path):
    tracks = PAGE.partition("## Tracks")[2].partition("## Results")[0]
    assert {"path", "id", *OPTION_COLUMNS} <= named(tracks)
    reports = PAGE.partition("## Reports")[2].partition("## Workers")[0]
    with Report(Store(str(tmp_path))) as report:
        assert set(report._schema.names) <= named(reports)
    table = reports.partition("| field |")[2]
    assert named(table) - {"files"} <= {field.name for field in fields(Summary)}
    assert {field.name for field in fields(work.Outcome)} <= named(reports)


def test_the_code_runs(tmp_path):
    song = write_song(tmp_path / "songs" / "one.wav", seconds=0.1)
    for number, code in enumerate(CODE):
        (tmp_path / f"{number}.py").write_text(code)
        ran = subprocess.run(
            [sys.executable, f"{number}.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout.split()[:2] == (["1", "0"] if number == 0 else ["one.wav", "done"])
    (files,) = check_results(tmp_path / "stems").values()
    assert json.loads(files["result.json"])["duration_seconds"] == 0.1
    assert song.exists()
