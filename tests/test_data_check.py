"""The check of training data finds what is wrong with it, and only that."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from stemlight.tracks import check_tracks, find_tracks, measure_track

SOURCES = ("vocals", "drums")
RATE_HZ = 8000


def noise(seed, n_samples=2 * RATE_HZ, channels=2):
    return np.random.default_rng(seed).uniform(-0.4, 0.4, (n_samples, channels))


def write(path, samples, rate_hz=RATE_HZ):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, subtype="FLOAT" if path.suffix == ".wav" else None)


def write_track(folder, *, seed=0, **changes):
    """Write vocals and drums of two seconds and their sum; `changes` replace or, None, omit one."""
    stems = {"vocals": noise(seed), "drums": noise(seed + 1)}
    files = {**stems, "mixture": sum(stems.values()), **changes}
    for name, samples in files.items():
        if samples is not None:
            write(folder / f"{name}.wav", samples)


def check(root):
    return check_tracks(find_tracks(root, sources=SOURCES), SOURCES)


def only_finding(root):
    (finding,) = check(root).findings
    return finding.kind, finding.track, finding.text


def test_nothing_is_found_in_whole_tracks(tmp_path):
    write_track(tmp_path / "one")
    write_track(tmp_path / "two", seed=10, mixture=None)
    result = check(tmp_path)
    assert not result.findings
    assert result.duration_seconds == pytest.approx(4)
    assert result.n_tracks_of_rate == {RATE_HZ: 2}
    one, two = result.tracks
    assert one.sum_db > 100
    assert two.sum_db is None


def test_missing_stems_are_found_and_the_rest_of_the_mixture_is_no_error(tmp_path):
    write_track(tmp_path / "song", drums=None)
    assert only_finding(tmp_path) == ("missing", "song", "has no drums")


def test_silent_stems_are_found_and_silent_seconds_counted(tmp_path):
    vocals, drums = noise(0), noise(1) * 1e-3
    vocals[:RATE_HZ] = 0
    write_track(tmp_path / "song", vocals=vocals, drums=drums, mixture=None)
    assert only_finding(tmp_path) == ("silent", "song", "drums: all silence (-60 dB)")
    (track,) = check(tmp_path).tracks
    assert track.stems["vocals"].silent_share == 0.5
    assert track.stems["drums"].silent_share == 1


def test_runs_at_full_scale_are_clipped_and_single_samples_are_not(tmp_path):
    vocals, drums = noise(0), noise(1)
    vocals[100:103, 0] = 1  # a run
    vocals[200:202, 0] = 1  # none yet
    vocals[RATE_HZ - 1 : RATE_HZ + 5, 1] = -1.2  # one run, across the border of two blocks
    drums[::2] = 1
    write_track(tmp_path / "song", vocals=vocals, drums=drums, mixture=None)
    text = "runs at or beyond full scale: vocals 2"
    assert only_finding(tmp_path) == ("clipped", "song", text)


def test_stems_that_do_not_add_up_are_found_with_their_decibels(tmp_path):
    rest = 0.1 * noise(5)
    write_track(tmp_path / "song", mixture=None)
    write(tmp_path / "song" / "mixture.wav", noise(0) + noise(1) + rest)
    kind, _, text = only_finding(tmp_path)
    assert kind == "sum"
    # Two stems and the rest over the rest: 10 log10 (2 + 0.01) / 0.01.
    assert text == (
        "the mixture is only 23.0 dB above what the stems lack of it; lossless files should reach "
        "40 dB"
    )


def test_a_lossy_mixture_need_not_equal_the_sum(tmp_path):
    def rumble(seed):  # noise itself is beyond Vorbis
        return 0.02 * np.cumsum(noise(seed), axis=0)

    write_track(tmp_path / "song", vocals=rumble(0), drums=rumble(1), mixture=None)
    write(tmp_path / "song" / "mixture.ogg", rumble(0) + rumble(1) + 0.1 * rumble(5))
    result = check(tmp_path)
    assert not result.findings
    assert 15 < result.tracks[0].sum_db < 25


def test_lengths_that_differ_are_found(tmp_path):
    write_track(tmp_path / "song", drums=noise(1, n_samples=100), mixture=None)
    text = "lengths in samples differ: drums 100, vocals 16000"
    assert only_finding(tmp_path) == ("lengths", "song", text)


def test_rates_that_differ_are_found_and_nothing_is_compared(tmp_path):
    write_track(tmp_path / "song")
    write(tmp_path / "song" / "drums.wav", noise(1, n_samples=4 * RATE_HZ), 2 * RATE_HZ)
    text = "sample rates differ: drums 16000 Hz, vocals 8000 Hz, mixture 8000 Hz"
    assert only_finding(tmp_path) == ("rates", "song", text)
    (track,) = check(tmp_path).tracks
    assert track.sum_db is None
    assert track.duration_seconds == pytest.approx(2)
    assert track.sample_rates_hz == (RATE_HZ, 2 * RATE_HZ)


def test_the_same_samples_are_found_whatever_holds_them_but_silence_is_no_twin(tmp_path):
    silence = np.zeros((2 * RATE_HZ, 2))
    pcm = np.round(noise(0) * 2**15) / 2**15
    mono = np.round(noise(9, channels=1) * 2**15) / 2**15
    write_track(tmp_path / "a", vocals=pcm, drums=silence, mixture=None)
    write_track(tmp_path / "b", vocals=None, drums=silence, mixture=None)
    write(tmp_path / "b" / "vocals.flac", pcm)
    write_track(tmp_path / "c", vocals=mono, drums=mono.repeat(2, axis=1), mixture=None)
    write_track(tmp_path / "copy" / "a", vocals=pcm, drums=noise(3), mixture=None)
    twins = [(f.track, f.text) for f in check(tmp_path).findings if f.kind == "duplicate"]
    assert twins == [
        ("a", "vocals: the same samples as in a, another track of this name"),
        ("b", "vocals: the same samples as in a"),
        ("c", "vocals: the same samples as in c/drums"),
    ]


def test_files_that_cannot_be_read_get_a_line_and_the_others_are_measured(tmp_path):
    write_track(tmp_path / "song")
    (tmp_path / "song" / "drums.wav").write_bytes(b"no sound at all")
    kind, _, text = only_finding(tmp_path)
    assert kind == "unreadable"
    assert "drums.wav is no audio, or cut off or damaged" in text
    (track,) = check(tmp_path).tracks
    assert track.stems["vocals"].n_samples == 2 * RATE_HZ
    assert track.sum_db is None


def test_more_than_two_channels_are_unreadable_as_they_are_for_training(tmp_path):
    write_track(tmp_path / "song", mixture=None, drums=noise(1, channels=3))
    kind, _, text = only_finding(tmp_path)
    assert kind == "unreadable"
    assert "has 3 channels; stems must be mono or stereo" in text


def test_a_file_that_ends_early_is_a_fault(tmp_path):
    write_track(tmp_path / "song", drums=None, mixture=None)
    flac = tmp_path / "song" / "drums.flac"
    write(flac, noise(1))
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    assert only_finding(tmp_path)[0] == "unreadable"


def test_several_files_of_a_stem_are_measured_as_their_sum(tmp_path):
    song = tmp_path / "song"
    write_track(song, drums=None)
    kick = noise(7)
    write(song / "kick.wav", kick)
    write(song / "rest.wav", noise(1) - kick)
    (song / "stems.yaml").write_text(
        "vocals: vocals.wav\ndrums: [kick.wav, rest.wav]\nmixture: mixture.wav"
    )
    result = check(tmp_path)
    assert not result.findings
    assert result.tracks[0].sum_db > 100


def test_known_silence_is_neither_missing_nor_silent_nor_short_nor_a_twin(tmp_path):
    for name in ("one", "two"):
        write_track(tmp_path / name, seed=len(name) * ord(name[0]), drums=None, mixture=None)
        (tmp_path / name / "stems.yaml").write_text("vocals: vocals.wav\ndrums: []")
    result = check(tmp_path)
    assert not result.findings
    assert all(track.stems["drums"].is_known_silent for track in result.tracks)
    assert result.duration_seconds == pytest.approx(4)
    assert result.to_json()["tracks"][0]["parts"]["drums"]["is_known_silent"]


def test_the_sum_counts_known_silence_as_known(tmp_path):
    write_track(tmp_path / "song", mixture=noise(0) + 0.1 * noise(5))
    (tmp_path / "song" / "stems.yaml").write_text(
        "vocals: vocals.wav\ndrums: []\nmixture: mixture.wav"
    )
    kind, _, text = only_finding(tmp_path)
    assert kind == "sum"
    assert "only 20.0 dB above" in text


def test_single_files_are_checked_as_tracks(tmp_path):
    write(tmp_path / "a.wav", noise(0))
    write(tmp_path / "kit" / "b.wav", noise(0))
    (tmp_path / "stems.yaml").write_text("every_file: drums\nvocals: []")
    assert only_finding(tmp_path) == ("duplicate", "kit/b", "drums: the same samples as in a")


def test_samples_that_no_sum_can_hold_end_in_no_number(tmp_path):
    huge = np.full((RATE_HZ, 2), 3e38)
    write_track(tmp_path / "song", vocals=-huge, drums=-huge, mixture=huge)
    (track,) = check(tmp_path).tracks
    assert track.sum_db is None


def test_stems_that_are_their_mixture_to_the_last_bit_lack_nothing(tmp_path):
    write_track(tmp_path / "song", drums=np.zeros((2 * RATE_HZ, 2)), mixture=noise(0))
    (track,) = check(tmp_path).tracks
    assert track.sum_db == np.inf
    assert check(tmp_path).to_json()["tracks"][0]["sum_db"] is None


def test_memory_does_not_grow_with_the_track(tmp_path):
    import tracemalloc

    peaks = []
    for n_seconds in (2, 40):
        folder = tmp_path / str(n_seconds)
        write_track(folder / "song", vocals=np.tile(noise(0), (n_seconds // 2, 1)), mixture=None)
        (track,) = find_tracks(folder, sources=SOURCES)
        measure_track(track)  # imports and caches of the first call are not counted
        tracemalloc.start()
        measure_track(track)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 100_000


def test_real_stem_mp4s_add_up_as_far_as_their_encodings_allow(shared):
    tracks = find_tracks(shared("data/musdb18-7s/train"), sources=("vocals",))[::8]
    result = check_tracks(tracks, ("vocals", "drums", "bass", "other"))
    assert not result.findings
    assert all(20 < track.sum_db < 40 for track in result.tracks)
    assert all(6.7 < track.duration_seconds < 6.9 for track in result.tracks)
