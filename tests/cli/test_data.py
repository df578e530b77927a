"""`stemlight data`: what `check` finds, what `prepare` makes, and exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import threading

import numpy as np
import pytest

from stemlight.tracks import VALIDATION_TRACKS
from stemlight.tracks.stems_yaml import read_stems_yaml
from stemlight.training import shard_storing
from stemlight.training.material import TrackFacts
from stemlight.training.shards import open_prepared
from stemlight.weights.locks import exclusive

from ..conftest import REPOSITORY
from .material import RATE_HZ, STEMS, TORCH_GONE, noise, python, write_song


@pytest.fixture
def tracks(tmp_path):
    """One whole track, and one with silent drums and without bass."""
    root = tmp_path / "tracks"
    for index, name in enumerate(STEMS):
        write_song(root / "one" / f"{name}.wav", noise(RATE_HZ // 2, seed=index))
        if name != "bass":
            gain = 0 if name == "drums" else 1
            write_song(root / "two" / f"{name}.wav", gain * noise(RATE_HZ // 2, seed=index + 9))
    return root


def test_findings_are_results_and_no_failure(run, tracks, tmp_path):
    report = tmp_path / "report.json"
    ran = run("data", "check", tracks, "--report", report)
    assert ran.code == 0
    assert ran.err.splitlines() == ["[1/2] one", "[2/2] two"]
    lines = ran.out.splitlines()
    assert lines[0].split() == ["track", "seconds", "Hz", *STEMS, "sum"]
    assert lines[2].replace("0 %", "0%").split()[3:] == ["0%", "silent", "missing", "0%", "-"]
    assert "missing  two  has no bass" in lines
    assert "silent   two  drums: all silence (-60 dB)" in lines
    assert lines[-3:] == [
        "tracks    2 (2 of 44100 Hz)",
        "hours     0.00 (1.0 s)",
        "findings  1 missing, 1 silent",
    ]
    content = json.loads(report.read_text())
    assert content["n_tracks"] == 2
    assert content["tracks"][1]["parts"]["drums"]["silent_share"] == 1
    assert [finding["kind"] for finding in content["findings"]] == ["missing", "silent"]


def test_the_sum_of_a_track_that_lacks_a_stem_stands_in_brackets(run, tmp_path):
    vocals, rest = noise(seed=0), noise(seed=1)
    write_song(tmp_path / "song" / "vocals.wav", vocals)
    write_song(tmp_path / "song" / "mixture.wav", vocals + rest)
    assert run("data", "check", tmp_path).out.splitlines()[1].endswith("[3.0 dB]")
    ran = run("data", "check", tmp_path, "--sources", "vocals")
    assert ran.out.splitlines()[1].endswith("  3.0 dB")
    assert "findings  1 sum" in ran.out


def test_what_cannot_be_read_is_named_and_the_others_go_on(run, tracks, tmp_path):
    (tracks / "one" / "vocals.wav").write_bytes(b"RIFF")
    write_song(tracks / "three" / "vocals.wav")
    (tracks / "three" / "stems.yaml").write_text("[")
    ran = run("data", "check", tracks)
    assert ran.code == 1
    assert len(ran.errors) == 2
    assert "three/stems.yaml is no readable YAML" in ran.errors[0]
    assert "error: one: " in ran.errors[1]
    assert "unreadable" in ran.out.splitlines()[1]
    assert "tracks    2" in ran.out


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"RIFF\xff\xff\xff\xffWAVEfmt "])
def test_damaged_stem_mp4s_are_one_line_each(run, tmp_path, content):
    (tmp_path / "song.stem.mp4").write_bytes(content)
    ran = run("data", "check", tmp_path)
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert "hours     0.00 (0.0 s)" in ran.out


def test_wrong_usage_is_told_before_anything_is_read(run, tracks, tmp_path):
    ran = run("data", "check", tracks, "--sources", "vocals,,drums")
    assert (ran.code, len(ran.errors)) == (2, 1)
    assert "--sources needs names with commas between them, not 'vocals,,drums'" in ran.err
    ran = run("data", "check", tracks, "--report", tmp_path / "none" / "report.json")
    assert (ran.code, len(ran.errors)) == (2, 1)
    ran = run("data", "check", tmp_path / "none")
    assert (ran.code, len(ran.errors)) == (1, 1)
    assert "is not a folder" in ran.err


def test_checking_needs_no_extra_but_stems_yaml_does(tracks):
    ran = python(TORCH_GONE, "data", "check", tracks)
    assert ran.returncode == 0, ran.stderr
    (tracks / "one" / "stems.yaml").write_text("vocals: vocals.wav")
    ran = python(TORCH_GONE, "data", "check", tracks)
    assert ran.returncode == 1
    assert "needs yaml, which is not installed; run: pip install 'stemlight[train]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_names_that_would_break_lines_are_escaped(run, tmp_path):
    write_song(tmp_path / "a\nb" / "vocals.wav", np.zeros((100, 2)))
    ran = run("data", "check", tmp_path)
    assert ran.err == "[1/1] 'a\\nb'\n"
    assert ran.out.splitlines()[1].startswith("'a\\nb'")


def test_known_silence_has_a_cell_of_its_own(run, tracks):
    (tracks / "two" / "stems.yaml").write_text(
        "{vocals: vocals.wav, drums: [], bass: [], other: other.wav}"
    )
    ran = run("data", "check", tracks)
    assert ran.out.splitlines()[2].replace("0 %", "0%").split()[3:] == [
        "0%",
        "none",
        "none",
        "0%",
        "-",
    ]
    assert ran.out.splitlines()[-1] == "findings  none"


def test_tracks_are_prepared_once_and_told_of(run, tracks, tmp_path):
    out = tmp_path / "out"
    ran = run("data", "prepare", tracks, "-o", out)
    assert ran.code == 0
    assert ran.err.splitlines() == ["[1/2] one", "[2/2] two"]
    # Seven stems of half a second; silent drums take nothing.
    assert ran.out.splitlines() == [
        "tracks  2 (2 decoded)",
        "hours   0.00 (1.0 s)",
        "whole   1; 1 lack stems, 0 of them have a mixture",
        f"stored  0.5 MB in {out}",
    ]
    again = run("data", "prepare", tracks, "-o", out)
    assert (again.code, again.err) == (0, "")
    assert again.out.splitlines()[0] == "tracks  2 (2 there before)"
    assert [track.name for track in open_prepared(out, sample_rate_hz=RATE_HZ)] == ["one", "two"]


def test_several_folders_are_prepared_into_one_with_what_was_asked(run, tracks, tmp_path):
    write_song(tmp_path / "more" / "three" / "guitar.wav", noise(RATE_HZ))
    options = ("--sources", "vocals,guitar", "--sample-rate", 22050, "--format", "float16")
    ran = run("data", "prepare", tracks, tmp_path / "more", "-o", tmp_path / "out", *options)
    assert ran.code == 0, ran.err
    prepared = open_prepared(tmp_path / "out", sample_rate_hz=22050)
    assert {track.name: [*track.stems] for track in prepared} == {
        "one": ["vocals"],
        "two": ["vocals"],
        "three": ["guitar"],
    }
    assert prepared[2].n_samples == 22050
    assert prepared[2].stems["guitar"].sample_format == "float16"


def test_a_split_of_musdb18_is_prepared_and_checked(run, tmp_path):
    for name in (VALIDATION_TRACKS[0], "Some - Song"):
        write_song(tmp_path / "musdb" / "train" / name / "vocals.wav", noise(1000))
    ran = run("data", "prepare", tmp_path / "musdb", "-o", tmp_path / "out", "--split", "valid")
    assert ran.code == 0, ran.err
    assert [track.name for track in open_prepared(tmp_path / "out")] == [VALIDATION_TRACKS[0]]
    ran = run("data", "check", tmp_path / "musdb", "--split", "train")
    assert ran.err == "[1/1] Some - Song\n"


def test_what_cannot_be_prepared_is_named_and_the_others_are_there(run, tracks, tmp_path):
    (tracks / "one" / "vocals.wav").write_bytes(b"RIFF")
    write_song(tracks / "three" / "vocals.wav")
    (tracks / "three" / "stems.yaml").write_text("[")
    ran = run("data", "prepare", tracks, "-o", tmp_path / "out")
    assert ran.code == 1
    assert len(ran.errors) == 2
    assert "three/stems.yaml is no readable YAML" in ran.errors[0]
    assert ran.errors[1].startswith("error: one: ")
    assert ran.out.splitlines()[0] == "tracks  1 (1 decoded, 1 failed)"


def test_ctrl_c_ends_it_after_a_track_and_the_next_call_goes_on(run, tracks, tmp_path, monkeypatch):
    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)
        return TrackFacts()

    with monkeypatch.context() as patch:
        patch.setattr(shard_storing, "measure_facts", interrupted)
        ran = run("data", "prepare", tracks, "-o", tmp_path / "out")
    assert (ran.code, ran.out, ran.err) == (130, "", "[1/2] one\n")
    ran = run("data", "prepare", tracks, "-o", tmp_path / "out")
    assert (ran.code, ran.err) == (0, "[1/1] two\n")
    assert ran.out.splitlines()[0] == "tracks  2 (1 decoded, 1 there before)"


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_another_process_is_waited_for_unless_somebody_ends_it(
    run, tracks, tmp_path, is_interrupted
):
    out = tmp_path / "out"
    is_held, may_end = threading.Event(), threading.Event()

    def hold():
        with exclusive(out / ".lock"):
            is_held.set()
            may_end.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(10)
    act = (lambda: os.kill(os.getpid(), signal.SIGINT)) if is_interrupted else may_end.set
    timer = threading.Timer(0.5, act)
    timer.start()
    ran = run("data", "prepare", tracks, "-o", out)
    timer.join()
    may_end.set()
    holder.join()
    assert f"another process prepares {out}; waiting for it" in ran.err.splitlines()[0]
    assert ran.code == (130 if is_interrupted else 0)
    assert ("2 decoded" in ran.out) is not is_interrupted


def test_preparing_is_refused_before_anything_is_read_or_written(run, tracks, tmp_path):
    out = tmp_path / "out"
    wrong = {
        ("--format", "mp3"): "--format must be int16 or float16, not 'mp3'",
        ("--sample-rate", 10): "'--sample-rate'",
        ("--sources", ""): "--sources needs names with commas between them",
        ("--split", "valdi"): "there is no split 'valdi' (did you mean 'valid'?)",
    }
    for options, message in wrong.items():
        ran = run("data", "prepare", tracks, "-o", out, *options)
        assert ran.code == 2
        assert message in ran.err
    ran = run("data", "prepare", tracks, tmp_path / "none", "-o", out)
    assert (ran.code, len(ran.errors)) == (1, 1)
    assert "none is not a folder" in ran.err
    ran = run("data", "prepare", tracks, "-o", tracks)
    assert ran.code == 2
    assert "is no prepared folder, and one is in it" in ran.err
    assert not out.exists()


def test_preparing_names_the_extra_that_it_needs(tracks, tmp_path):
    ran = python(TORCH_GONE, "data", "prepare", tracks, "-o", tmp_path / "out")
    assert ran.returncode == 1
    assert (
        "preparing tracks needs torch, which is not installed; run: pip install 'st" in ran.stderr
    )
    assert "Traceback" not in ran.stderr


PAGE = (REPOSITORY / "docs" / "data.md").read_text(encoding="utf-8")


def test_each_stems_yaml_of_the_page_is_one(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        path = tmp_path / "stems.yaml"
        path.write_text(block, encoding="utf-8")
        assert read_stems_yaml(path)


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_song(tmp_path / "MUSDB18" / "train" / "a" / "vocals.wav", noise(4 * RATE_HZ))
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(compile(block, "docs/data.md", "exec"), names)
    assert names["excerpt"].shape == (2, 3 * RATE_HZ)
    assert abs(names["excerpt"]).max() > 0.1
