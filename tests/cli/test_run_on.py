"""`--run-on`: workers of either engine find what one process finds, to the last byte."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from stemlight.batch.engines import Lost, Returned
from stemlight.batch.local_engine import LocalEngine
from stemlight.cli.interrupts import Interrupts
from stemlight.cli.spreading import Place
from stemlight.errors import InputError

from ..batch.ray_material import small_ray
from .material import noise, tree, write_song

ONE_THREAD = ("--threads", 1)


@pytest.fixture(scope="module")
def places():
    """Options for each place; Ray stays there for all tests, if it is installed."""
    here = [("--run-on", "local", "--workers", 2)]
    if importlib.util.find_spec("ray") is None:
        yield here
        return
    with small_ray(2):
        yield [*here, ("--run-on", "ray", "--workers", 2)]


def contents(folder):
    return {name: (folder / name).read_bytes() for name in tree(folder)}


def test_scores_and_report_are_those_of_jobs(run, model, tracks, tmp_path, places):
    """One process without workers may use more threads, which round differently."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    found = []
    for number, where in enumerate((("--jobs", 2), *places)):
        report, out = tmp_path / f"{number}.json", tmp_path / f"{number}"
        ran = run(
            *("evaluate", model, "--data", tracks, "--metrics", "sdr,csdr", "-o", out),
            *("--report", report, *ONE_THREAD, *where),
        )
        assert ran.code == 0, ran.err
        done = sorted(line.split()[1] for line in ran.err.splitlines() if line.startswith("["))
        found.append((ran.out, report.read_text(), done, contents(out)))
    for each in found[1:]:
        for one, other in zip(found[0], each, strict=True):
            assert one == other
    assert set(found[0][2]) == {"one", "three", "two"}
    assert {name.split("/")[0] for name in found[0][3]} >= {"report.html", "results", "players"}


def test_a_track_that_cannot_be_scored_is_told_as_by_one_process(run, model, tmp_path, places):
    for name in ("good", "bad"):
        for seed, stem in enumerate(("vocals", "drums", "bass", "other")):
            write_song(tmp_path / "data" / name / f"{stem}.wav", noise(4410, seed=seed))
    path = tmp_path / "data" / "bad" / "bass.wav"
    path.write_bytes(path.read_bytes()[:20] + b"\xff" * 40)
    told = []
    for where in (("--jobs", 1), *places):
        ran = run("evaluate", model, "--data", tmp_path / "data", *ONE_THREAD, *where)
        told.append((ran.code, ran.errors))
    assert all(each == told[0] for each in told[1:])
    assert told[0][0] == 1
    assert len(told[0][1]) == 1


def test_shards_are_those_of_one_process(run, tracks, tmp_path, places):
    (tmp_path / "more" / "broken").mkdir(parents=True)
    write_song(tmp_path / "more" / "whole" / "vocals.wav", noise(1000))
    (tmp_path / "more" / "broken" / "vocals.wav").write_bytes(b"no sound")
    found = []
    for number, where in enumerate(((), *places)):
        out = tmp_path / f"{number}"
        ran = run("data", "prepare", tracks, tmp_path / "more", "-o", out, *where)
        assert ran.code == 1
        assert len(ran.errors) == 1
        found.append((ran.err, ran.out.replace(str(out), ""), contents(out)))
    assert all(each == found[0] for each in found[1:])


def test_nothing_is_started_where_there_is_nothing_to_do(run, tracks, tmp_path, monkeypatch):
    run("data", "prepare", tracks, "-o", tmp_path / "out")
    monkeypatch.setattr(LocalEngine, "run", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    for place in ("local", "ray"):
        assert run("data", "prepare", tracks, "-o", tmp_path / "out", "--run-on", place).code == 0


def test_without_ray_the_extra_is_named(run, tracks, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = run("data", "prepare", tracks, "-o", tmp_path / "out", "--run-on", "ray")
    assert ran.code == 1
    assert "run: pip install 'stemlight[scale]'" in ran.errors[0]


class Fatal:
    """An engine on which one task dies."""

    def run(self, make_worker, tasks):
        for task in tasks:
            if task[0] == "a":
                yield Lost(task, "its worker died", 3)
            else:
                yield Returned(task, make_worker()(task), 1)


def test_a_task_that_is_given_up_is_an_error_with_its_name(monkeypatch):
    from stemlight.batch import local_engine

    monkeypatch.setattr(local_engine, "LocalEngine", lambda *numbers, **options: Fatal())
    place = Place.asked("local", 2, None)
    with Interrupts() as interrupts, place.opened(interrupts, 2) as spread:
        (_, lost), (_, done) = spread(lambda: lambda task: task[1], [("a", 1), ("b", 2)])
    assert isinstance(lost, InputError)
    assert str(lost) == "a: given up after 3 attempts: its worker died"
    assert done == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", 2], "--workers belongs to --run-on local|ray, which is not given"),
        (["--address", "h:1"], "--address belongs to --run-on local|ray, which is not given"),
        (["--run-on", "locl"], "--run-on must be local or ray, not 'locl' (did you mean 'local'?)"),
        (["--run-on", "local", "--address", "h:1"], "--address belongs to --run-on ray"),
        (["--run-on", "ray", "--address", "h:1"], "add --workers N to --address"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    run, model, tracks, tmp_path, options, message
):
    for command in (
        ("evaluate", model, "--data", tracks),
        ("data", "prepare", tracks, "-o", tmp_path / "out"),
    ):
        ran = run(*command, *options)
        assert ran.code == 2
        assert message in ran.errors[0]


def test_processes_of_its_own_and_recipes_are_refused_elsewhere(run, model, tracks, tmp_path):
    ran = run("evaluate", model, "--data", tracks, "--run-on", "local", "--jobs", 2)
    assert (ran.code, ran.errors) == (
        2,
        ["error: --jobs is of processes here; give --workers beside --run-on"],
    )
    ran = run("evaluate", model, "--recipe", tmp_path / "recipe.yaml", "--run-on", "local")
    assert ran.code == 2
    assert "--run-on belongs to --data" in ran.errors[0]
