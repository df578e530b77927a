"""`stemlight compare`: systems side by side, and what is real of their differences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stemlight.audio import read_audio

from .material import RATE_HZ, STEMS, noise, tree, write_song

ONE_PROCESS = ("--jobs", 1, "--threads", 1)
N_TRACKS = 6


@pytest.fixture(scope="module")
def tracks(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("tracks")
    for track in range(N_TRACKS):
        for stem, name in enumerate(STEMS):
            samples = 0.2 * noise(RATE_HZ // 2, seed=10 * track + stem)
            write_song(root / f"song {track}" / f"{name}.wav", samples)
    return root


def rows(out):
    return [line.split() for line in out.splitlines()]


def test_scores_stand_side_by_side_and_differences_have_intervals(run, tracks, tmp_path):
    report = tmp_path / "x.json"
    ran = run(
        *("compare", "mixture", "oracle-irm", "hpss", "--data", tracks, *ONE_PROCESS),
        *("--report", report),
    )
    assert ran.code == 0, ran.err
    found = json.loads(report.read_text())["differences"]
    assert {(each["first"], each["second"], each["stem"]) for each in found} == {
        ("mixture", "oracle-irm", "drums"),
        ("mixture", "hpss", "drums"),
        ("oracle-irm", "hpss", "drums"),
    }
    (oracle,) = (each for each in found if each["second"] == "oracle-irm")
    assert oracle["mean_interval"][1] < 0
    assert (oracle["is_real"], oracle["first_ahead"]) == (True, 0)
    assert len(oracle["differences"]) == N_TRACKS
    lines = ran.out.splitlines()
    assert lines[0].split() == ["system", "drums", "AVG"]
    assert lines[5].startswith(f"sdr v1 [dB], mean over {N_TRACKS} tracks, data ")
    assert lines[7].startswith("first")
    assert "oracle-irm is better" in lines[8]
    assert "95% intervals by bootstrap (10000 resamples, seed 0), data " in lines[-1]


def test_what_a_system_lacks_is_a_dash_and_not_compared(run, model, tracks, tmp_path):
    for track in range(N_TRACKS):
        name = Path(f"song {track}") / "vocals.wav"
        write_song(tmp_path / "theirs" / name, 0.9 * read_audio(tracks / name).samples.T)
    theirs = f"estimates:{tmp_path / 'theirs'}"
    ran = run("compare", model, theirs, "--data", tracks, *ONE_PROCESS)
    assert ran.code == 0, ran.err
    lines = rows(ran.out)
    assert lines[0] == ["system", *STEMS, "AVG"]
    assert lines[2] == [theirs, "20.00", "-", "-", "-", "-"]
    assert [line[2] for line in lines[7:-2]] == ["vocals"]
    assert f"{theirs} is better" in ran.out


def test_models_of_other_projects_stand_beside_ours(run, model, tracks, tmp_path, foreign):
    (tmp_path / "only").write_text("song 0\n")
    ran = run(
        *("compare", model, "demucs:htdemucs", "--data", tracks, "--only", tmp_path / "only"),
        *ONE_PROCESS,
    )
    assert ran.code == 0, ran.err
    assert foreign == ["htdemucs"]
    assert [line[0] for line in rows(ran.out)[1:3]] == [str(model), "demucs:htdemucs"]
    assert "-" not in rows(ran.out)[2]


def test_a_folder_gets_the_page_and_all_differences(run, tracks, tmp_path, monkeypatch):
    monkeypatch.setattr("stemlight.comparison.plots.box_figure", lambda *arguments: None)
    monkeypatch.setattr("stemlight.comparison.plots.png_bytes", lambda figure: b"picture")
    out = tmp_path / "out"
    (tmp_path / "only").write_text("song 0\nsong 1\n")
    arguments = ("--data", tracks, "--only", tmp_path / "only", "-o", out, *ONE_PROCESS)
    ran = run("compare", "mixture", "oracle-irm", *arguments, "--metrics", "sdr,csdr")
    assert ran.code == 0, ran.err
    assert "too few tracks (2, not 6)" in ran.out
    text = (out / "report.html").read_text()
    assert "Where they differ most" in text
    assert text.count("<section>") == len(STEMS)
    head, *lines = (out / "differences.csv").read_text().splitlines()
    assert head.startswith("metric,version,unit,first,second,stem,tracks,first_ahead,mean,mean_low")
    assert len(lines) == 2 * (len(STEMS) + 1)
    assert "results/oracle-irm/song 0.json" in tree(out)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["mixture"], "'mixture' alone cannot be compared; name two systems or more"),
        (["mixture", "nobody"], "no model 'nobody'"),
        (["mixture", "hpss", "--metrics", "x"], "there is no metric 'x'"),
    ],
)
def test_wrong_questions_are_one_line(run, tracks, arguments, line):
    ran = run("compare", *arguments, "--data", tracks)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {line}")
    assert ran.err.count("\n") == 1
