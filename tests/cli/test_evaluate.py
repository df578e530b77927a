"""`stemlight evaluate`: one model's table as ever, several systems, foreign estimates, folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from stemlight.audio import read_audio
from stemlight.evaluation import METRICS, sdr_db

from .material import STEMS, TORCH_GONE, noise, python, tree, write_song

ONE_PROCESS = ("--jobs", 1, "--threads", 1)


@pytest.fixture
def recipe(model, tracks, tmp_path) -> Path:
    content = {
        "name": "tiny-run",
        "preset": "stemlight-small",
        "arguments": json.loads((model / "card.json").read_text())["arguments"],
        "data": {
            "root": str(tracks),
            "train": [{"path": ".", "only": ["one", "three"]}],
            "validation": [{"path": ".", "only": ["two"]}],
        },
        "n_steps": 2,
        "steps_per_epoch": 1,
        "batch_size": 1,
        "train_frames": 64,
        "output": str(tmp_path / "runs"),
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


# One model


def test_scores_of_tracks_their_mean_and_the_baselines_are_told(run, model, tracks, tmp_path):
    report = tmp_path / "scores.json"
    ran = run("evaluate", model, "--data", tracks, "--report", report, *ONE_PROCESS)
    assert ran.code == 0
    scores = json.loads(report.read_text())
    assert list(scores["tracks"]) == ["one", "three", "two"]
    assert "bass" not in scores["tracks"]["three"]
    means = [
        np.mean([track[s] for track in scores["tracks"].values() if s in track]) for s in STEMS
    ]
    assert list(scores["mean_sdr_db"].values()) == pytest.approx(means)
    assert scores["average_sdr_db"] == pytest.approx(np.mean(means))
    # The other stems are the error of the mixture: three of the same energy, or two.
    assert scores["mixture_as_estimate"]["tracks"]["one"]["bass"] == pytest.approx(-4.77, abs=0.1)
    assert scores["mixture_as_estimate"]["tracks"]["three"]["drums"] == pytest.approx(-3, abs=0.1)
    lines = ran.out.splitlines()
    assert lines[0].split() == ["track", *STEMS, "average"]
    assert [line.split()[0] for line in lines[1:4]] == ["one", "three", "two"]
    assert lines[2].split()[3] == "-"
    assert lines[5].split()[-1] == f"{scores['average_sdr_db']:.2f}"
    assert lines[7].split() == ["(silence)", *["0.00"] * 5]
    assert lines[-1].startswith("sdr v1 [dB], mean over 3 tracks, data ")
    assert "MDX'21" in lines[-1]
    assert ran.err.splitlines() == ["[1/3] one", "[2/3] three", "[3/3] two"]


def test_the_scores_are_those_of_the_stems_that_separate_writes(run, model, tracks, tmp_path):
    report = tmp_path / "scores.json"
    (tmp_path / "only.txt").write_text("two\n\n")
    only = ["--only", tmp_path / "only.txt", "--report", report]
    assert run("evaluate", model, "--data", tracks, *only).code == 0
    truth = {name: read_audio(tracks / "two" / f"{name}.wav").samples for name in STEMS}
    mixture = write_song(tmp_path / "mix.wav", sum(truth.values()).T)
    run("separate", mixture, "-o", tmp_path / "out")
    expected = {
        name: sdr_db(truth[name], read_audio(tmp_path / "out" / "mix" / f"{name}.wav").samples)
        for name in STEMS
    }
    assert json.loads(report.read_text())["tracks"] == {"two": pytest.approx(expected, abs=1e-3)}


def test_several_processes_give_what_one_gives(model, tracks, tmp_path):
    # Processes of their own: workers import the main module of who starts them.
    found = []
    for jobs in (1, 2):
        report = tmp_path / f"{jobs}.json"
        ran = python(
            "from stemlight.cli import main\nif __name__ == '__main__': main()",
            *("evaluate", model, "--data", tracks, "--report", report),
            *("--jobs", jobs, "--threads", 1),
        )
        assert ran.returncode == 0, ran.stderr
        assert len(ran.stderr.splitlines()) == 3
        found.append((ran.stdout, report.read_text()))
    assert found[0] == found[1]


def test_a_recipe_names_its_validation_tracks(run, model, recipe):
    ran = run("evaluate", model, "--recipe", recipe)
    assert ran.code == 0
    assert ran.err == "[1/1] two\n"


def test_evaluating_needs_no_torch(model, tracks):
    ran = python(TORCH_GONE, "evaluate", model, "--data", tracks / "two")
    assert ran.returncode == 0, ran.stderr
    ran = python(TORCH_GONE, "evaluate", model, "--recipe", "recipe.yaml")
    assert ran.returncode == 1
    assert "pip install 'stemlight[train]'" in ran.stderr


def test_metrics_are_chosen_by_name_and_each_says_what_it_is(run, model, tracks):
    ran = run(
        *("evaluate", model, "--data", tracks / "one", *ONE_PROCESS),
        *("--metrics", "bss-sdr, loudness-difference"),
    )
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[2].startswith("-")
    assert lines[3].startswith("median over tracks ")
    label = "bss-sdr v1 [dB], median over 1 s frames, median over 1 tracks, data "
    assert lines[5].startswith(label)
    assert [line.partition("]")[0] for line in lines[8:10]] == [
        "bss-sdr v1 [dB",
        "loudness-difference v1 [LU",
    ]
    assert lines[-1] == f"data {lines[5].removeprefix(label)[:12]}"


# Several systems


def test_systems_stand_in_the_papers_table(run, model, tracks):
    ran = run("evaluate", "mixture", "--model", "hpss", "--data", tracks, *ONE_PROCESS)
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    # Both give what there is or drums, so drums are all that is asked for.
    assert lines[0] == ["system", "drums", "AVG"]
    ran = run("evaluate", "mixture", model, "hpss", "--data", tracks, *ONE_PROCESS)
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0] == ["system", *STEMS, "AVG"]
    assert [line[0] for line in lines[1:4]] == ["mixture", str(model), "hpss"]
    assert [cell == "-" for cell in lines[3][1:]] == [True, False, True, True, True]


def test_estimates_of_another_program_are_scored(run, tracks, tmp_path):
    for track in ("one", "two", "three"):
        truth = read_audio(tracks / track / "vocals.wav").samples.T
        write_song(tmp_path / "theirs" / track / "vocals.wav", 0.9 * truth)
    report = tmp_path / "x.json"
    ran = run(
        *("evaluate", "--estimates", tmp_path / "theirs", "--data", tracks, *ONE_PROCESS),
        *("--report", report),
    )
    assert ran.code == 0, ran.err
    # A tenth of the reference is missing: 20 dB.
    assert json.loads(report.read_text())["mean_sdr_db"] == {"vocals": pytest.approx(20, abs=0.01)}
    write_song(tmp_path / "theirs" / "two" / "vocals.wav", noise(99), rate_hz=22_050)
    ran = run("evaluate", "--estimates", tmp_path / "theirs", "--data", tracks, *ONE_PROCESS)
    assert (ran.code, ran.out) == (1, "")
    (line,) = ran.errors
    assert "two/vocals.wav has 22050 Hz but the references have 44100 Hz; resample it" in line


# The folder


@pytest.fixture
def plain_pictures(monkeypatch):
    """Drawing is slow."""
    monkeypatch.setattr("stemlight.comparison.plots.box_figure", lambda *arguments: None)
    monkeypatch.setattr("stemlight.comparison.plots.png_bytes", lambda figure: b"picture")


def test_a_folder_gets_all_files_and_a_second_run_changes_none(
    run, model, tracks, tmp_path, plain_pictures
):
    out = tmp_path / "out"
    arguments = ("evaluate", model, "--data", tracks / "three", "-o", out, *ONE_PROCESS)
    ran = run(*arguments)
    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[-1] == f"report: {out / 'report.html'}"
    lines = ran.out.splitlines()
    assert lines[0].split() == ["track", *STEMS, "average"]
    assert len([line for line in lines if line.startswith("bss-sdr v1")]) == 1
    (folder,) = (out / "museval").iterdir()
    assert tree(folder / "test") == ["three.json"]
    first = {name: (out / name).read_bytes() for name in tree(out)}
    assert first["scores.csv"].count(b"\n") == 1 + len(STEMS) * len(METRICS)
    assert run(*arguments).out == ran.out
    assert {name: (out / name).read_bytes() for name in tree(out)} == first
    text = first["report.html"].decode()
    assert "Best and worst moments" in text
    assert text.count("<audio") == 3 * text.count("<section>") > 0


def test_a_folder_needs_its_extra_and_nothing_else_does(tracks, tmp_path):
    gone = "import sys\nsys.modules['pyarrow'] = sys.modules['matplotlib'] = None\n"
    code = f"{gone}{TORCH_GONE}"
    arguments = ("evaluate", "mixture", "--data", tracks / "two")
    ran = python(code, *arguments, "-o", tmp_path / "out")
    assert ran.returncode == 1
    assert "pip install 'stemlight[evaluate]'" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert python(code, *arguments, "--jobs", 1).returncode == 0


def test_a_split_is_that_of_musdb18(run, tracks, tmp_path):
    for name in ("ANiMAL - Rockshow", "A Song"):
        shutil.copytree(tracks / "one", tmp_path / "train" / name)
    arguments = ("evaluate", "mixture", "--data", tmp_path, *ONE_PROCESS, "--split")
    assert run(*arguments, "valid").err == "[1/1] ANiMAL - Rockshow\n"
    assert run(*arguments, "train").err == "[1/1] A Song\n"
    assert run(*arguments, "test").err.startswith(f"error: {tmp_path} has no folder 'test'")
    assert "there is no split 'tset' (did you mean 'test'?)" in run(*arguments, "tset").err


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ([], 2, "give either --data PATH or --recipe RECIPE"),
        (["--data", "x", "--recipe", "y"], 2, "give either --data PATH or --recipe RECIPE"),
        (["--recipe", "y", "--only", "z"], 2, "--only belongs to --data"),
        (["--recipe", "y", "--split", "test"], 2, "--split belongs to --data"),
        (["--data", "x", "--set", "a=1"], 2, "--set belongs to --recipe"),
        (["--data", "nowhere"], 1, "nowhere is not a folder"),
        (["--data", "{tracks}", "--only", "nofile"], 1, "cannot read nofile: No such file"),
        (["--data", "{tracks}", "--only", "empty"], 1, "empty names no track"),
        (["--data", "{tracks}", "--only", "typo"], 1, "{tracks} has no track 'onee' of typo (did"),
        (
            ["--data", "{tracks}", "--metrics", "sdrr"],
            2,
            "there is no metric 'sdrr' (did you mean 'sdr'?)",
        ),
        (["--data", "{tracks}", "--metrics", ","], 2, "--metrics names no metric; choose from sdr"),
        (["--data", "{tracks}", "-o", "empty"], 2, "--output empty is a file; name a folder"),
        (["--data", "{tracks}", "--model", "mixtur"], 2, "no model 'mixtur'"),
        (["mixture", "mixture", "--data", "x"], 2, "'mixture' is named 2 times"),
        (["estimates:", "--data", "x"], 2, "estimates: names no folder"),
        (["--estimates", "nowhere", "--data", "x"], 1, "cannot read nowhere: No such file"),
    ],
)
def test_wrong_questions_are_one_line(
    run, model, tracks, tmp_path, monkeypatch, arguments, code, line
):
    monkeypatch.chdir(tmp_path)
    Path("empty").write_text("\n")
    Path("typo").write_text("onee\n")
    ran = run("evaluate", *(word.format(tracks=tracks) for word in arguments))
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith(f"error: {line.format(tracks=tracks)}")
    assert ran.err.count("\n") == 1


def test_a_baseline_that_is_misspelt_is_offered(run, tracks):
    assert "(did you mean 'oracle-irm'?)" in run("evaluate", "oracle-im", "--data", tracks).err


def test_two_tracks_of_one_name_are_refused(run, tracks, tmp_path):
    for folder in ("a", "b"):
        write_song(tmp_path / folder / "song" / "vocals.wav")
    ran = run("evaluate", "mixture", "--data", tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert "holds two tracks called 'song'; results go by name, so rename one" in ran.err
