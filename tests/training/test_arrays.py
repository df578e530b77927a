"""Stems are decoded once, whatever files they are made of."""

from __future__ import annotations

import numpy as np
import soundfile

from stemlight.tracks import find_tracks
from stemlight.training.arrays import decode_tracks


def write(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, (1000, 2))
    soundfile.write(path, samples, 44_100, subtype="FLOAT")


def test_summed_files_are_decoded_as_read_and_anew_when_one_of_them_changes(tmp_path):
    song = tmp_path / "music" / "song"
    write(song / "kick.wav", 0)
    write(song / "snare.wav", 1)
    (song / "stems.yaml").write_text("drums: [kick.wav, snare.wav]")
    decoded_names = []

    def decode():
        tracks = find_tracks(tmp_path / "music", sources=["drums"])
        cache = tmp_path / "cache"
        (arrays,) = decode_tracks(tracks, cache, sample_rate_hz=44_100, report=decoded_names.append)
        np.testing.assert_array_equal(
            arrays.stems["drums"].samples, tracks[0].read(["drums"], 44_100)[1]["drums"]
        )

    decode()
    decode()
    assert decoded_names == ["song"]
    (song / "snare.wav").unlink()
    write(song / "snare.wav", 2)
    decode()
    assert decoded_names == ["song", "song"]
