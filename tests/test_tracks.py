"""Tracks with ground truth are found, whatever they are stored in."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from stemlight.errors import InputError
from stemlight.tracks import find_tracks

SOURCES = ("vocals", "drums", "bass", "other")


def write(path, n_samples, *, seed=0, channels=2, rate=44_100):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal((n_samples, channels))
    soundfile.write(path, samples, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return samples.T.astype(np.float32)


def test_a_folder_of_stems_is_a_track_whose_mixture_is_the_sum(tmp_path):
    vocals = write(tmp_path / "song" / "vocals.wav", 1000)
    drums = write(tmp_path / "song" / "drums.wav", 800, seed=1)
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    mixture, stems = track.read(SOURCES, 44_100)
    assert track.name == "song"
    assert set(track.stems) == {"vocals", "drums"}
    expected = vocals.copy()
    expected[:, :800] += drums
    np.testing.assert_allclose(mixture, expected, atol=1e-7)
    assert list(stems) == list(SOURCES)
    assert not stems["bass"].any()
    assert all(stem.shape == (2, 1000) for stem in stems.values())


def test_a_mixture_of_its_own_is_preferred_to_the_sum(tmp_path):
    write(tmp_path / "song" / "vocals.wav", 500)
    own = write(tmp_path / "song" / "mixture.wav", 600, seed=2)
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    np.testing.assert_allclose(track.read(SOURCES, 44_100)[0], own, atol=1e-7)


def test_renamed_material_serves_under_the_new_name_only(tmp_path):
    guitar = write(tmp_path / "song" / "guitar.wav", 500)
    write(tmp_path / "song" / "song.wav", 500, seed=1)
    (track,) = find_tracks(tmp_path, sources=SOURCES, renamed={"guitar": "other"})
    assert set(track.stems) == {"other"}
    np.testing.assert_allclose(track.read(SOURCES, 44_100)[1]["other"], guitar, atol=1e-7)


def test_tracks_are_found_at_any_depth_and_sorted(tmp_path):
    for name in ("b/two", "a/one", "three"):
        write(tmp_path / name / "bass.flac", 100)
    assert [t.name for t in find_tracks(tmp_path, sources=SOURCES)] == ["one", "three", "two"]


def test_other_rates_and_mono_become_what_is_asked_for(tmp_path):
    write(tmp_path / "song" / "vocals.wav", 4000, channels=1, rate=22_050)
    (track,) = find_tracks(tmp_path, sources=SOURCES)
    mixture, _ = track.read(SOURCES, 44_100)
    assert mixture.shape == (2, 8000)
    np.testing.assert_array_equal(mixture[0], mixture[1])


def test_the_streams_of_a_stem_mp4_have_their_names(shared):
    """The bass is the lowest stem, the drums come in bursts, and all add up to the mixture."""
    tracks = find_tracks(shared("data/musdb18-7s/train"), sources=SOURCES)
    assert len(tracks) == 94
    mixture, stems = tracks[0].read(SOURCES, 44_100)
    assert all(stem.shape == mixture.shape for stem in stems.values())
    assert min(SOURCES, key=lambda name: centre_hz(stems[name])) == "bass"
    assert max(SOURCES, key=lambda name: burstiness(stems[name])) == "drums"
    residual = mixture - sum(stems.values())
    # The mixture is an encoding of its own: it equals the sum to 23 to 33 dB.
    ratio_db = 10 * np.log10(np.square(mixture).sum() / np.square(residual).sum())
    assert ratio_db > 20


def centre_hz(stem):
    """Return the mean frequency of a stem, weighted by power."""
    power = np.abs(np.fft.rfft(stem.mean(axis=0))) ** 2
    return (power * np.fft.rfftfreq(stem.shape[1], 1 / 44_100)).sum() / power.sum()


def burstiness(stem):
    """Return the greatest over the mean energy of short stretches."""
    n_whole = stem.shape[1] // 512 * 512
    energy = np.square(stem.mean(axis=0)[:n_whole]).reshape(-1, 512).mean(axis=1)
    return energy.max() / energy.mean()


@pytest.mark.parametrize("empty", [True, False])
def test_a_root_without_tracks_is_refused_with_what_is_expected(tmp_path, empty):
    root = tmp_path if empty else tmp_path / "missing"
    message = r"holds no tracks; expected \*\.stem\.mp4" if empty else "is not a folder"
    with pytest.raises(InputError, match=message):
        find_tracks(root, sources=SOURCES)
