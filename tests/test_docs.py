"""What the pages of docs say of presets, scores, options and graphs is what they are."""

from __future__ import annotations

import csv
import dataclasses
import re

import pytest

from stemlight.models.config import UNetConfig
from stemlight.models.presets import PRESETS
from stemlight.models.size import network_size
from stemlight.weights.remote_models import REMOTE_MODELS
from stemlight.weights.systems import SYSTEMS

from .conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8")
MIXER_PARAMETERS = 80
SCORES = ("vocals", "drums", "bass", "other", "AVG")


def tables():
    """Read all tables: for each, its rows as mappings from column to cell."""
    found, lines = [], []
    for line in [*PAGE.splitlines(), ""]:
        if line.startswith("|"):
            lines.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif lines:
            head, _, *rows = lines
            found.append([dict(zip(head, row, strict=True)) for row in rows])
            lines = []
    return found


def table_with(column):
    (table,) = [table for table in tables() if column in table[0]]
    return table


def named(table, column):
    return {row[column].strip("`"): row for row in table if row[column].startswith("`")}


with (REPOSITORY / "docs" / "published.csv").open(encoding="utf-8", newline="") as _file:
    PUBLISHED = list(csv.DictReader(_file))
NETWORKS = named(table_with("preset or system"), "preset or system")


def test_every_preset_and_system_has_its_row():
    assert list(NETWORKS) == [*PRESETS, *SYSTEMS]


def number(cell):
    return float(cell.replace(" ", ""))


@pytest.mark.parametrize("name", PRESETS)
def test_sizes_of_presets_are_those_counted(name):
    row, config = NETWORKS[name], PRESETS[name]
    one, whole = network_size(config), network_size(config, n_sources=config.network.n_sources)
    assert number(row["parameters"]) == one.n_parameters
    assert number(row["GMAC/s, one stem"]) == pytest.approx(one.gmac_per_second, abs=0.0051)
    assert number(row["GMAC/s, all"]) == pytest.approx(whole.gmac_per_second, abs=0.0051)
    assert row["band limit"] == f"{config.band_limit_hz:.0f} Hz"


def test_the_size_of_mdx_net_is_that_of_its_members_and_the_mixer():
    sizes = [network_size(PRESETS[preset]) for preset in SYSTEMS["mdx-net"].members.values()]
    n_parameters = sum(size.n_parameters for size in sizes) + MIXER_PARAMETERS
    assert number(NETWORKS["mdx-net"]["parameters"]) == n_parameters
    mixing = MIXER_PARAMETERS * 44_100 / 1e9
    work = sum(size.gmac_per_second for size in sizes) + mixing
    assert number(NETWORKS["mdx-net"]["GMAC/s, all"]) == pytest.approx(work, abs=0.0051)


def test_averages_of_ours_are_those_of_the_four_scores_and_every_score_has_its_source():
    ours = [row for row in PUBLISHED if row["averaged"] == "here"]
    assert ours
    for row in ours:
        mean = sum(number(row[source]) for source in SCORES[:4]) / 4
        assert number(row["AVG"]) == pytest.approx(mean, abs=0.0051)
    assert all(row["source"] and row["metric"] for row in PUBLISHED)
    assert {row["preset"] for row in PUBLISHED} - {""} <= set(NETWORKS)


def test_the_page_of_results_has_all_that_was_published_and_is_of_the_embedded_models(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.syspath_prepend(str(REPOSITORY))
    from bench.results import embedded_weights, published

    page = (REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8")
    again = "run: python -m bench.results --data MUSDB18_7S"
    assert published() in page, again
    weights, open_weights = embedded_weights()
    assert f"with the weights `{weights}` and `{open_weights}`" in page, again


def measured_rows(page):
    """Return the first rows with the name of a system and five scores, or dashes for none."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    score = r" \**(?:-?\d+\.\d\d|[-–])\** \|"
    rows = [
        re.search(rf"(?m)^\| [^|]*\b{system}(?!-)[^|]*\|(?:{score}){{5}}$", text)[0]
        for system in ("stemlight", "stemlight-open", "tdc-vocals-2020", "mixture")
    ]
    return [re.findall(r"-?\d+\.\d\d", row) for row in rows]


@pytest.mark.parametrize("page", ["README.md", "docs/models.md"])
def test_measured_scores_are_those_of_the_page_of_results(page):
    assert measured_rows(page) == measured_rows("docs/results.md")


def test_scores_are_those_of_the_registered_models():
    for remote in REMOTE_MODELS.values():
        for score in remote.scores:
            presets = [
                name
                for name, row in NETWORKS.items()
                if row["authors' weights"] == f"`{remote.name}`"
            ]
            if "published in" in score.command:
                (row,) = [row for row in PUBLISHED if row["preset"] in presets]
                assert {name: number(row[name]) for name in score.stems_db} == score.stems_db


def test_all_weights_that_can_be_fetched_are_named_and_no_others():
    cells = " ".join(row["authors' weights"] for row in table_with("preset or system"))
    assert set(re.findall(r"`([^`]+)`", cells)) == set(REMOTE_MODELS)


def test_every_option_of_a_network_is_explained_once():
    explained = [
        name for row in table_with("field") for name in re.findall(r"`(\w+)`", row["field"])
    ]
    assert sorted(explained) == sorted(field.name for field in dataclasses.fields(UNetConfig))


def test_every_graph_was_measured_and_computes_what_the_network_does():
    rows = named(table_with("graph MB"), "preset")
    assert list(rows) == list(PRESETS)
    for name, row in rows.items():
        assert number(row["difference"]) < 1e-4
        # Four bytes a parameter, and little else: what is folded away weighs more than the nodes.
        n_bytes = 4 * network_size(PRESETS[name]).n_parameters
        assert number(row["graph MB"]) * 1e6 == pytest.approx(n_bytes, rel=0.07, abs=4e5)


def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/models.md", "exec"), {})
    assert int(capsys.readouterr().out) > 0


def test_every_promise_is_kept_by_something_that_exists():
    text = (REPOSITORY / "docs" / "promises.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|bench)/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 30
    for path, function in named:
        source = (REPOSITORY / path).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in source, f"{path} has no {function}"
    promises = [line for line in text.splitlines() if line.startswith("| ")]
    assert all("`" in line for line in promises if not line.startswith("| promise"))
