"""`stemlight inspect`."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import soundfile

from stemlight.inspection import PICTURES
from stemlight.weights.cards import read_card, write_card

from .material import RATE_HZ, STEMS, noise, python, tree, write_song

SILENT = {"attention-over-time"}  # the tiny model does not listen
OF_SONGS = {"gates", "interpolation", "spectrograms", "errors"}
QUICK = "embedding"

NO_MATPLOTLIB = (
    "import sys\nsys.modules['matplotlib'] = None\nfrom stemlight.cli import main\nmain()"
)


@pytest.fixture
def track(tmp_path):
    """The four stems of one second, `track/vocals.wav` and so on."""
    for number, stem in enumerate(STEMS):
        write_song(tmp_path / "track" / f"{stem}.wav", 0.25 * noise(seed=number))
    return tmp_path / "track"


def test_all_pictures_that_the_model_allows_are_written_and_named(run, model, track, tmp_path):
    ran = run("inspect", model, "--references", track, "-o", tmp_path / "out", "--threads", 1)
    assert ran.code == 0, ran.err
    written = [f"{name}.png" for name in PICTURES if name not in SILENT]
    assert ran.out.splitlines() == [str(tmp_path / "out" / name) for name in written]
    assert tree(tmp_path / "out") == sorted(written)
    assert ran.err == (
        "left out: attention-over-time: its attention does not listen: it is the same in every "
        "frame\n"
    )


def test_without_a_song_what_needs_one_is_left_out_and_said(run, model, tmp_path):
    only = "architecture,embedding"
    assert run("inspect", model, "--only", only, "-o", tmp_path / "a").code == 0
    assert tree(tmp_path / "a") == ["architecture.png", "embedding.png"]
    for name in sorted(OF_SONGS):
        ran = run("inspect", model, "--only", name, "-o", tmp_path / "b")
        assert ran.code == 2
        assert ran.errors == [f"error: no picture {name!r} of 'tiny': needs a song"]
    assert not (tmp_path / "b").exists()


def test_an_interpolation_is_written_as_sound(run, model, song, tmp_path):
    ran = run(
        *("inspect", model, "--audio", song, "--only", "interpolation", "-o", tmp_path / "out"),
        *("--between", "bass,other", "--steps", 3, "--sounds", "--seconds", 0.5),
    )
    assert ran.code == 0, ran.err
    assert "taken: 0.50 s from 0 s on" in ran.err
    names = ["bass.flac", "bass-50-other-50.flac", "other.flac"]
    expected = ["interpolation.png", *(f"interpolation/{name}" for name in names)]
    assert ran.out.splitlines() == [str(tmp_path / "out" / name) for name in expected]
    for name in names:
        samples, rate_hz = soundfile.read(tmp_path / "out" / "interpolation" / name)
        assert (samples.shape, rate_hz) == ((RATE_HZ // 2, 2), RATE_HZ)


def test_the_part_that_is_taken_is_the_one_asked_for(run, model, tmp_path):
    samples = np.zeros((RATE_HZ, 2))
    samples[RATE_HZ // 2 :] = noise(RATE_HZ - RATE_HZ // 2)
    song = write_song(tmp_path / "song.wav", samples)
    common = ("inspect", model, "--audio", song, "--only", "interpolation", "--sounds")
    for start, folder in ((0.0, "silent"), (0.5, "loud")):
        ran = run(*common, "--start", start, "--seconds", 0.25, "-o", tmp_path / folder)
        assert ran.code == 0, ran.err
    levels = [
        np.abs(soundfile.read(tmp_path / folder / "interpolation" / "vocals.flac")[0]).max()
        for folder in ("silent", "loud")
    ]
    assert levels[0] == 0
    assert levels[1] > 0.01


def test_what_is_there_is_kept_and_nothing_is_begun(run, model, tmp_path):
    (tmp_path / f"{QUICK}.png").write_bytes(b"mine")
    ran = run("inspect", model, "--only", f"architecture,{QUICK}", "-o", tmp_path)
    assert ran.code == 1
    assert f"{QUICK}.png exists already; add --overwrite" in ran.err
    assert tree(tmp_path) == [f"{QUICK}.png"]
    assert (tmp_path / f"{QUICK}.png").read_bytes() == b"mine"
    assert run("inspect", model, "--only", QUICK, "-o", tmp_path, "--overwrite").code == 0
    assert (tmp_path / f"{QUICK}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("format", ["svg", "pdf"])
def test_pictures_may_be_drawings_of_lines(run, model, tmp_path, format):
    assert run("inspect", model, "--only", QUICK, "-o", tmp_path, "--format", format).code == 0
    assert tree(tmp_path) == [f"{QUICK}.{format}"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "atention"], "no picture 'atention' (did you mean 'attention'?)"),
        (["--only", ","], "--only names no picture; pictures are architecture"),
        (["--only", "attention-over-time"], "does not listen"),
        (["--format", "jpg"], "no format 'jpg' (did you mean 'png'?); choose from png, svg, pdf"),
        (["--start", "1"], "--start and --seconds belong to --audio or --references"),
        (["--sounds"], "--sounds needs a song; add --audio SONG"),
        (["--sounds", "--only", QUICK], "--sounds belongs to the picture 'interpolation'"),
        (["--audio", "SONG", "--seconds", "0"], "--seconds must be above 0, not 0"),
        (["--audio", "SONG", "--start", "2"], "--start 2 lies behind the song, which lasts 1.00 s"),
        (["--audio", "SONG", "--between", "vocals"], "--between takes two of vocals, drums, bass"),
        (["--audio", "SONG", "--between", "bass,bass"], "--between takes two of vocals, drums"),
        (["--audio", "SONG", "--between", "bass,tuba"], "got 'bass,tuba'"),
    ],
)
def test_wrong_usage_is_refused_with_what_came(run, model, song, tmp_path, words, message):
    words = [song if word == "SONG" else word for word in words]
    ran = run("inspect", model, *words, "-o", tmp_path / "out")
    assert (ran.code, ran.out) == (2, "")
    assert message in " ".join(ran.errors)
    assert not (tmp_path / "out").exists()


def test_an_unknown_model_and_an_unreadable_song_are_one_line(run, model, tmp_path):
    assert "no model 'nix'" in run("inspect", "nix", "-o", tmp_path / "out").err
    ran = run("inspect", model, "--audio", tmp_path / "nix.wav", "-o", tmp_path / "out")
    assert ran.code == 1
    assert ran.errors == [f"error: cannot read {tmp_path / 'nix.wav'}: No such file or directory"]


def test_stems_of_another_song_are_refused(run, model, track, tmp_path):
    song = write_song(tmp_path / "other.wav", noise(RATE_HZ // 2))
    ran = run("inspect", model, "--audio", song, "--references", track, "-o", tmp_path / "out")
    assert ran.code == 1
    assert "lasts 0.500 s" in ran.err
    assert "1.000 s; give the stems of the same song" in ran.err


def test_several_tracks_are_refused_with_their_names(run, model, track, tmp_path):
    shutil.copytree(track, tmp_path / "all" / "one")
    shutil.copytree(track, tmp_path / "all" / "two")
    ran = run("inspect", model, "--references", tmp_path / "all", "-o", tmp_path / "out")
    assert ran.code == 1
    assert "holds 2 tracks (one, two ...); name one of them" in ran.err
    ran = run("inspect", model, "--references", track / "vocals.wav", "-o", tmp_path / "out")
    assert "vocals.wav is no *.stem.mp4 file" in ran.err


def test_a_model_that_is_a_graph_alone_has_its_architecture(run, model, tmp_path):
    folder = tmp_path / "graph"
    shutil.copytree(model, folder)
    (folder / "model.safetensors").unlink()
    card = read_card(folder)
    del card.files["model.safetensors"]
    write_card(card, folder)
    ran = run("inspect", folder, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert tree(tmp_path / "out") == ["architecture.png"]
    assert "left out: attention: its weights are in a graph alone" in ran.err


def test_matplotlib_is_asked_for_by_the_name_of_its_extra(model, tmp_path):
    ran = python(NO_MATPLOTLIB, "inspect", model, "-o", tmp_path / "out")
    assert ran.returncode == 1
    assert "inspecting needs matplotlib" in ran.stderr
    assert "pip install 'stemlight[inspect]'" in ran.stderr
    assert "Traceback" not in ran.stderr
