"""Lossy formats of ours, read with our own reader: exact length, no lag, the order of channels."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from stemlight.audio import AudioWriter, output_samples, probe, read_audio, resample
from stemlight.audio.mp4_muxer import Mp4Muxer, Mp4Track

from .material import encode, lag_samples, noise, repackage, signal_to_error_db

N_SAMPLES = 40_011


def clicks(n_channels: int) -> np.ndarray:
    """Short bursts of noise at odd places: a lag of one sample would be seen in each of them."""
    sound = np.zeros((n_channels, N_SAMPLES), np.float32)
    for start in (0, 777, 10_007, 39_900):
        burst = sound[:, start : start + 111]
        burst[:] = noise(n_channels, 111, seed=start)
    return sound


SOUNDS = {"noise": noise, "clicks": lambda n_channels, _: clicks(n_channels)}


def written(path: Path, samples: np.ndarray, sample_rate_hz: int, **arguments) -> Path:
    with AudioWriter(
        path, sample_rate_hz=sample_rate_hz, n_channels=samples.shape[0], **arguments
    ) as writer:
        writer.write(samples)
    return path


@pytest.mark.parametrize("format", ["mp3", "ogg", "m4a"])
@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("n_channels", [1, 2])
def test_lossy_sound_has_its_length_and_no_lag(tmp_path, format, sound, n_channels):
    source = SOUNDS[sound](n_channels, N_SAMPLES)
    rates_hz = (22050, 44100, 48000) if format == "mp3" else (22050, 44100, 48000, 96000)
    for rate_hz in rates_hz:
        audio = read_audio(written(tmp_path / f"x.{format}", source, rate_hz))
        assert (audio.samples.shape, audio.sample_rate_hz) == (source.shape, rate_hz)
        assert lag_samples(audio.samples, source) == 0
        # 96 kHz is far beyond the noise's band, so codecs spend few bits on it.
        assert signal_to_error_db(audio.samples, source) > 6


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8000, 12000, 16000, 24000, 48000])
def test_opus_has_its_length_and_no_lag_at_each_of_its_sample_rates(tmp_path, rate_hz, n_channels):
    source = noise(n_channels, N_SAMPLES)
    audio = read_audio(written(tmp_path / "x.opus", source, rate_hz))
    assert (audio.samples.shape, audio.sample_rate_hz) == (source.shape, rate_hz)
    assert lag_samples(audio.samples, source) == 0
    assert signal_to_error_db(audio.samples, source) > 10


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("rate_hz", [11025, 22050, 44100, 96000])
def test_opus_makes_48_khz_of_other_rates_and_back_again_there_is_no_lag(tmp_path, rate_hz, sound):
    source = SOUNDS[sound](2, N_SAMPLES)
    audio = read_audio(written(tmp_path / "x.opus", source, rate_hz))
    assert audio.sample_rate_hz == 48000
    assert audio.n_samples == output_samples(N_SAMPLES, rate_hz, 48000)
    again = resample(audio.samples, 48000, rate_hz, n_samples=N_SAMPLES)
    assert lag_samples(again, source) == 0


@pytest.mark.parametrize("n_samples", [1, 2, 500, 960, 1023, 1024, 1025, 2048, 4096, 4097])
@pytest.mark.parametrize(
    ("format", "bit_depth"), [("m4a", None), ("m4a", "16"), ("m4a", "24"), ("opus", None)]
)
def test_any_length_around_a_frame_is_kept(tmp_path, n_samples, format, bit_depth):
    source = noise(2, n_samples)
    path = written(tmp_path / f"x.{format}", source, 48000, bit_depth=bit_depth)
    samples = read_audio(path).samples
    assert samples.shape == source.shape
    if bit_depth is not None:
        assert np.abs(samples - source).max() <= 2.0 ** -int(bit_depth)


@pytest.mark.parametrize("format", ["ogg", "opus", "m4a"])
def test_six_channels_stay_in_their_order(tmp_path, format):
    source = noise(6, N_SAMPLES)
    rate_hz = 48000 if format == "opus" else 44100
    samples = read_audio(written(tmp_path / f"x.{format}", source, rate_hz)).samples
    assert samples.shape == source.shape
    likeness = np.corrcoef(np.concatenate([samples, source]))[:6, 6:]
    assert np.argmax(likeness, axis=1).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("format", ["opus", "ogg"])
def test_two_of_ours_in_a_row_are_read_to_the_end(tmp_path, format):
    source = noise(8, N_SAMPLES)  # FFmpeg, which reads chains, has frames of eight planes
    first = written(tmp_path / f"x.{format}", source, 48000).read_bytes()
    second = written(tmp_path / f"y.{format}", source[:, ::-1].copy(), 48000).read_bytes()
    (tmp_path / "chain").write_bytes(first + second)
    samples = read_audio(tmp_path / "chain").samples
    assert samples.shape[1] == pytest.approx(2 * N_SAMPLES, abs=5000)  # FFmpeg errs at joints
    for part in (read_audio(tmp_path / f"x.{format}").samples, samples[:, :N_SAMPLES]):
        likeness = np.corrcoef(np.concatenate([part, source]))[:8, 8:]
        assert np.argmax(likeness, axis=1).tolist() == list(range(8))


def test_eight_planes_from_ffmpeg_are_read(tmp_path):
    source = noise(8, N_SAMPLES)
    written(tmp_path / "x.opus", source, 48000)
    repackage(tmp_path / "x.opus", tmp_path / "x.mka")
    samples = read_audio(tmp_path / "x.mka").samples
    assert samples.shape == source.shape
    likeness = np.corrcoef(np.concatenate([samples, source]))[:8, 8:]
    assert np.argmax(likeness, axis=1).tolist() == list(range(8))


@pytest.mark.parametrize(
    ("format", "rates_kbps", "tolerance"),
    [
        ("mp3", (64, 128, 320), 0.05),
        ("m4a", (96, 192, 320), 0.1),
        ("opus", (64, 128, 256), 0.2),
        ("ogg", (96, 192, 320), 0.35),  # whose rate varies with the sound,
    ],
)
def test_the_bit_rate_is_that_which_was_asked(tmp_path, format, rates_kbps, tolerance):
    white = np.random.default_rng(0).standard_normal((2, 5 * 48000)).astype(np.float32) / 5
    n_bits = []
    for kbps in rates_kbps:
        path = written(tmp_path / f"x.{format}", white, 48000, bit_rate_kbps=kbps)
        n_bits.append(8 * path.stat().st_size)
        assert n_bits[-1] == pytest.approx(5000 * kbps, rel=tolerance)
    assert all(low < high for low, high in pairwise(n_bits))


@pytest.mark.parametrize("rate_hz", [8000, 22050])
def test_low_rates_of_mp3_have_low_bit_rates(tmp_path, rate_hz):
    path = written(tmp_path / "x.mp3", noise(1, 10 * rate_hz), rate_hz, bit_rate_kbps=16)
    assert 8 * path.stat().st_size == pytest.approx(160_000, rel=0.1)


def test_an_m4a_of_ours_needs_nothing_but_its_edit_list(tmp_path):
    source = noise(2, N_SAMPLES)
    path = written(tmp_path / "x.m4a", source, 44100)
    assert probe(path).duration_seconds == N_SAMPLES / 44100
    content = path.read_bytes()
    path.write_bytes(content.replace(b"iTunSMPB", b"iTunXXXX"))
    assert read_audio(path).samples.shape == source.shape
    assert lag_samples(read_audio(path).samples, source) == 0
    path.write_bytes(content.replace(b"edts", b"free"))  # or nothing but Apple's note
    assert read_audio(path).samples.shape == source.shape
    assert lag_samples(read_audio(path).samples, source) == 0


def test_ffmpeg_alone_gives_an_m4a_of_ours_without_its_priming(tmp_path):
    source = noise(2, N_SAMPLES)
    with av.open(str(written(tmp_path / "x.m4a", source, 44100))) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    samples = np.concatenate(frames, axis=1)
    assert 0 <= samples.shape[1] - N_SAMPLES < 1024
    assert lag_samples(samples, source) == 0


def test_an_mp4_beyond_4_gib_is_read(tmp_path):
    source = noise(2, 4 * 1024)
    packets = []
    with av.open(str(encode(tmp_path / "x.m4a", source))) as container:
        stream = container.streams.audio[0]
        extradata = bytes(stream.codec_context.extradata)
        packets = [(bytes(x), x.duration) for x in container.demux(stream) if x.size]
    track = Mp4Track(
        codec="aac",
        extradata=extradata,
        sample_rate_hz=44100,
        n_channels=2,
        frame_samples=1024,
        n_priming=1024,
    )
    with (tmp_path / "large.m4a").open("x+b") as file:  # a hole in it takes no space
        muxer = Mp4Muxer(file, [track])
        for number, (packet, n_samples) in enumerate(packets):
            if number == 2:
                muxer._last_track = None
                muxer._end = file.seek(5 << 30)
            muxer.write(track, packet, n_samples)
        muxer.finish()
    np.testing.assert_array_equal(
        read_audio(tmp_path / "large.m4a").samples, read_audio(tmp_path / "x.m4a").samples
    )
