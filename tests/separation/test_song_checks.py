"""The audit finds what was broken, and nothing in what is whole."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlight.audio import read_audio
from stemlight.chunking import ChunkPlan
from stemlight.separation import Separator
from stemlight.separation.song_checks import check_song
from stemlight.separation.songs import SongOptions, SongReport, separate_file

from .fakes import GainBackend, IdentityBackend, noise

PLAN = ChunkPlan(chunk_samples=4000, trim_samples=200, overlap_samples=400)
GAINS = {"loud": 0.6, "soft": 0.4}
EXACT = SongOptions(exact_sum="proportional")
RATE_HZ = 8000


class SeamedBackend(IdentityBackend):
    """Errs most at the first tenth of every window."""

    def separate_chunks(self, mixture, sources):
        gains = np.full(mixture.shape[-1], 0.9, np.float32)
        gains[: mixture.shape[-1] // 10] = 0
        return (mixture * gains)[:, np.newaxis]


def separated(folder: Path, backend, samples: np.ndarray, options=None) -> tuple[Path, SongReport]:
    song = folder / "song.wav"
    soundfile.write(song, samples.T, RATE_HZ, subtype="PCM_16")
    return song, separate_file(Separator(backend, PLAN), song, folder / "out", options=options)


def change(report: SongReport, name: str, edit) -> None:
    path = report.stems[name].path
    soundfile.write(path, edit(read_audio(path).samples).T, RATE_HZ, subtype="PCM_24")


@pytest.fixture
def exact(tmp_path):
    return separated(tmp_path, GainBackend(GAINS), 0.9 * noise(2, 150_000), EXACT)


def test_an_exact_sum_passes_every_check(exact):
    check = check_song(*exact, hop_seconds=0.4)
    assert check.n_samples_off == {"loud": 0, "soft": 0}
    assert (check.lag_samples, check.n_off_sum, check.problems) == (0, 0, ())
    assert check.gain_db == pytest.approx(0, abs=1e-9)
    assert check.sum_error_db == -math.inf
    assert check.line == (
        "length exact, lag 0, gain 0.00 dB, no sum error, sum exact, 0 clipped"
    ) or check.line.startswith("length exact, lag 0, gain -0.00 dB")
    assert json.loads(json.dumps(check.to_json(), allow_nan=False))["sum_error_db"] is None


def test_a_changed_sample_is_found(exact):
    def edit(samples):
        samples[1, 70_000] += 2.0**-23
        return samples

    change(exact[1], "soft", edit)
    check = check_song(*exact)
    assert check.n_off_sum == 1
    assert check.problems == ("1 samples of the stems do not add up to the song",)


def test_a_lost_sample_is_found(exact):
    change(exact[1], "soft", lambda samples: samples[:, :-1])
    check = check_song(*exact)
    assert check.problems[0] == "soft is 1 samples shorter than the song"
    assert check.line.startswith("length wrong")


@pytest.mark.parametrize("lag", [-1105, 1, 529])
def test_a_lag_of_all_stems_is_found(tmp_path, lag):
    song, report = separated(tmp_path, GainBackend(GAINS), 0.9 * noise(2, 150_000))
    for name in GAINS:
        change(report, name, lambda samples: np.roll(samples, lag, axis=1))
    check = check_song(song, report)
    assert check.lag_samples == lag
    assert f"the stems are {abs(lag)} samples" in check.problems[0]


def test_the_gain_and_the_error_of_the_sum_are_measured(tmp_path):
    backend = GainBackend({"loud": 0.3, "soft": 0.2})
    song, report = separated(tmp_path, backend, 0.9 * noise(2, 50_000))
    check = check_song(song, report, hop_seconds=PLAN.hop_samples / RATE_HZ)
    assert check.gain_db == pytest.approx(20 * math.log10(0.5), abs=1e-3)
    assert check.sum_error_db == pytest.approx(20 * math.log10(0.5), abs=1e-3)
    assert check.seams_db == pytest.approx(0, abs=0.5)  # the error is everywhere alike
    assert check.problems == ()


def test_a_guard_gain_is_no_error(tmp_path):
    backend = GainBackend({"loud": 1.5, "soft": -0.5})
    options = dataclasses.replace(EXACT, bit_depth="16")
    song, report = separated(tmp_path, backend, noise(2, 50_000), options)
    assert report.gain_db < -3
    check = check_song(song, report)
    assert check.gain_db == pytest.approx(report.gain_db, abs=1e-3)
    assert (check.n_off_sum, check.problems) == (0, ())


def test_seams_are_seen(tmp_path):
    plan = ChunkPlan(chunk_samples=4000)
    song = tmp_path / "song.wav"
    soundfile.write(song, (0.9 * noise(2, 100_000)).T, RATE_HZ, subtype="PCM_16")
    report = separate_file(Separator(SeamedBackend(), plan), song, tmp_path / "out")
    check = check_song(song, report, hop_seconds=plan.hop_samples / RATE_HZ)
    assert check.seams_db is not None
    assert check.seams_db > 6


def test_some_stems_alone_have_only_a_length(tmp_path):
    song, report = separated(
        tmp_path, GainBackend(GAINS), noise(1, 5000), SongOptions(sources=["soft"])
    )
    check = check_song(song, report)
    assert check.n_samples_off == {"soft": 0}
    assert (check.lag_samples, check.gain_db, check.sum_error_db) == (None, None, None)


def test_silence_has_no_lag_and_no_gain(tmp_path):
    song, report = separated(tmp_path, GainBackend(GAINS), np.zeros((1, 5000), np.float32), EXACT)
    check = check_song(song, report)
    assert (check.lag_samples, check.gain_db, check.n_off_sum) == (None, None, 0)
    assert check.problems == ()
