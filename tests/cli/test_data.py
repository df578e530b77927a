"""`stemlight data check`: a table, one line for each finding, and exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest

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
