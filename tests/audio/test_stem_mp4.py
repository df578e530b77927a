"""STEM files: five streams, the first one on, a description, and every sample in its place."""

from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from mutagen.mp4 import MP4

from stemlight.audio import (
    STEM_MP4_STEMS,
    Picture,
    StemFileWriter,
    Tags,
    probe,
    read_audio,
    read_tags,
)
from stemlight.audio.mp4_boxes import Box, find_box, read_box
from stemlight.errors import OutputError, UsageError
from stemlight.tracks import MIXTURE, STEM_MP4_ORDER, find_tracks

from .material import lag_samples, noise, signal_to_error_db

N_SAMPLES = 50_001
NAMES = ("mixture", *STEM_MP4_STEMS)
SOUNDS = {name: noise(2, N_SAMPLES, seed) for seed, name in enumerate(NAMES)}


def write(path: Path, *parts: dict[str, np.ndarray], sample_rate_hz: int = 44100, **arguments):
    with StemFileWriter(path, sample_rate_hz=sample_rate_hz, **arguments) as writer:
        for blocks in parts:
            writer.write(blocks)
    return writer


def part(start: int, end: int) -> dict[str, np.ndarray]:
    return {name: sound[:, start:end] for name, sound in SOUNDS.items()}


def description_in(path: Path) -> dict:
    with path.open("rb") as file:
        found = find_box(file, Box(b"", 0, 0, path.stat().st_size), b"moov", b"udta", b"stem")
        return json.loads(read_box(file, found))


@pytest.mark.parametrize(("bit_depth", "codec"), [(None, "aac"), ("16", "alac"), ("24", "alac")])
@pytest.mark.parametrize("rate_hz", [44100, 48000])
def test_each_stream_has_its_sound_its_length_and_no_lag(tmp_path, bit_depth, codec, rate_hz):
    path = tmp_path / "x.stem.mp4"
    writer = write(path, SOUNDS, sample_rate_hz=rate_hz, bit_depth=bit_depth)
    assert writer.n_samples == N_SAMPLES
    info = probe(path)
    assert (info.n_streams, info.codec, info.sample_rate_hz) == (5, codec, rate_hz)
    for stream, name in enumerate(NAMES):
        samples = read_audio(path, stream=stream).samples
        assert samples.shape == SOUNDS[name].shape
        assert lag_samples(samples, SOUNDS[name]) == 0
        assert signal_to_error_db(samples, SOUNDS[name]) > 20


def test_our_finder_of_tracks_reads_it(tmp_path):
    assert NAMES == STEM_MP4_ORDER
    assert NAMES[0] == MIXTURE
    write(tmp_path / "song.stem.mp4", SOUNDS)
    [track] = find_tracks(tmp_path, sources=STEM_MP4_STEMS)
    mixture, stems = track.read(STEM_MP4_STEMS, 44100)
    assert track.name == "song"
    assert lag_samples(mixture, SOUNDS["mixture"]) == 0
    assert all(lag_samples(stems[name], SOUNDS[name]) == 0 for name in STEM_MP4_STEMS)


def test_players_play_the_mixture_alone(tmp_path):
    write(tmp_path / "x.stem.mp4", SOUNDS)
    with av.open(str(tmp_path / "x.stem.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["audio"] * 5
        is_default = [bool(stream.disposition & 1) for stream in container.streams]
    assert is_default == [True, False, False, False, False]


def test_the_description_names_and_colours_the_stems(tmp_path):
    write(tmp_path / "x.stem.mp4", SOUNDS)
    description = description_in(tmp_path / "x.stem.mp4")
    assert description["version"] == 1
    assert [stem["name"] for stem in description["stems"]] == ["Drums", "Bass", "Other", "Vocals"]
    assert len({stem["color"] for stem in description["stems"]}) == 4
    mastering = description["mastering_dsp"]
    assert not mastering["compressor"]["enabled"]
    assert not mastering["limiter"]["enabled"]


def test_other_stems_have_their_own_names(tmp_path):
    stems = ("kick", "guitar", "piano", "choir")
    blocks = dict(zip(("mixture", *stems), SOUNDS.values(), strict=True))
    write(tmp_path / "x.stem.mp4", blocks, stems=stems)
    names = [stem["name"] for stem in description_in(tmp_path / "x.stem.mp4")["stems"]]
    assert names == ["Kick", "Guitar", "Piano", "Choir"]


def test_the_same_samples_give_the_same_bytes_however_they_are_divided(tmp_path):
    tags = Tags(title="Song", pictures=(Picture(data=b"\x89PNG" + bytes(99), mime="image/png"),))
    write(tmp_path / "whole.stem.mp4", SOUNDS, tags=tags)
    ends = [0, 0, 1, 1000, 30_000, N_SAMPLES]
    parts = [part(a, b) for a, b in pairwise(ends)]
    write(tmp_path / "parts.stem.mp4", *parts, tags=tags)
    whole, divided = tmp_path / "whole.stem.mp4", tmp_path / "parts.stem.mp4"
    assert whole.read_bytes() == divided.read_bytes()


def test_tags_stand_beside_the_description(tmp_path):
    path = tmp_path / "x.stem.mp4"
    cover = Picture(data=b"\x89PNG\r\n\x1a\n" + bytes(99), mime="image/png")
    writer = write(path, SOUNDS, tags=Tags(title="Song", artist="Band", pictures=(cover,)))
    assert writer.notes == ()
    tags = read_tags(path)
    assert (tags.title, tags.artist, tags.pictures) == ("Song", "Band", (cover,))
    assert len(description_in(path)["stems"]) == 4
    assert MP4(path)["\xa9nam"] == ["Song"]
    for stream, name in enumerate(NAMES):
        assert lag_samples(read_audio(path, stream=stream).samples, SOUNDS[name]) == 0


def test_mono_becomes_both_channels(tmp_path):
    write(tmp_path / "x.stem.mp4", {k: v[:1] for k, v in SOUNDS.items()}, n_channels=1)
    left, right = read_audio(tmp_path / "x.stem.mp4", stream=4).samples
    assert signal_to_error_db(left[np.newaxis], SOUNDS["vocals"][:1]) > 20
    np.testing.assert_allclose(left, right, atol=0.001)


def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak_bytes(n_parts: int) -> int:
        tracemalloc.start()
        write(tmp_path / "x.stem.mp4", *[part(0, 20_000)] * n_parts)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(2)  # imports
    assert peak_bytes(12) < peak_bytes(4) + 200_000


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_nothing_behind(tmp_path, interruption):
    def write_and_fail():
        with StemFileWriter(tmp_path / "x.stem.mp4", sample_rate_hz=44100) as writer:
            writer.write(SOUNDS)
            raise interruption

    with pytest.raises(interruption):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_a_full_device_gives_one_line_and_leaves_nothing(tmp_path):
    import resource

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*x\.stem\.mp4: File too large; the"):
            write(tmp_path / "x.stem.mp4", SOUNDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert list(tmp_path.iterdir()) == []


def test_without_samples_nothing_is_written(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*x\.stem\.mp4: no samples were given"):
        write(tmp_path / "x.stem.mp4", part(0, 0))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_unless_it_may_be_overwritten(tmp_path):
    (tmp_path / "x.stem.mp4").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"x\.stem\.mp4 exists already; allow to overwrite it"):
        write(tmp_path / "x.stem.mp4", SOUNDS, overwrite=False)
    assert (tmp_path / "x.stem.mp4").read_bytes() == b"old"


def test_a_sample_that_is_no_number_is_refused_with_its_place(tmp_path):
    bad = {name: sound.copy() for name, sound in SOUNDS.items()}
    bad["bass"][1, 300] = np.nan
    with pytest.raises(OutputError, match=r"sample 50301 \(1\.14 s\) is NaN or infinite"):
        write(tmp_path / "x.stem.mp4", SOUNDS, bad)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_rate_hz": 96000}, r"stem\.mp4 holds the sample rates 44100, 48000 Hz, not 96000"),
        ({"n_channels": 6}, r"stem\.mp4 holds 1 to 2 channels, not 6; use wav"),
        ({"stems": ("vocals", "accompaniment")}, r"4 different stems .*, not vocals, accompanim"),
        ({"stems": ("a", "b", "c", "c")}, r"4 different stems .*, not a, b, c, c; use another"),
        ({"bit_depth": "float"}, r"holds 16 or 24 bits, not float"),
        ({"bit_depth": "16", "bit_rate_kbps": 256}, r"lossless stem\.mp4 has no bit rate"),
        ({"bit_rate_kbps": 5}, r"bit rates of 16 to 528 kbit/s, not 5"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_anything_happens(arguments, message):
    with pytest.raises(UsageError, match=message):
        StemFileWriter("x.stem.mp4", **({"sample_rate_hz": 44100} | arguments))


def test_blocks_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "x.stem.mp4"
    with pytest.raises(UsageError, match=r"needs blocks of mixture, drums, .* not of drums"):
        write(path, {"drums": SOUNDS["drums"]})
    with pytest.raises(UsageError, match=r"the blocks have the shapes .* ones of 2 channels"):
        write(path, SOUNDS | {"bass": SOUNDS["bass"][:, :10]})
    with pytest.raises(UsageError, match=r"writer of .*x\.stem\.mp4 is not open"):
        StemFileWriter(path, sample_rate_hz=44100).write(SOUNDS)
    assert list(tmp_path.iterdir()) == []


def test_real_ones_have_the_same_order(shared):
    path = shared("data/musdb18-7s/train/A Classic Education - NightOwl.stem.mp4")
    with av.open(str(path)) as container:
        is_default = [bool(x.disposition & 1) for x in container.streams if x.type == "audio"]
    assert is_default == [True, False, False, False, False]
    assert read_tags(path).pictures[0].mime == "image/png"
