from __future__ import annotations

import io
import os
import resource
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stemlight.audio import BIT_DEPTHS, FORMATS, AudioWriter, read_audio, wav
from stemlight.errors import OutputError, UsageError

from .material import lag_samples, noise, signal_to_error_db

LOSSLESS = [("wav", "16"), ("wav", "24"), ("wav", "float"), ("flac", "16"), ("flac", "24")]
WHOLE_NUMBERS = [kind for kind in LOSSLESS if kind[1] != "float"]
ALL = [
    *LOSSLESS,
    ("m4a", "16"),
    ("m4a", "24"),
    ("mp3", None),
    ("ogg", None),
    ("opus", None),
    ("m4a", None),
]


def write(path: Path, *blocks: np.ndarray, sample_rate_hz: int = 8000, **arguments) -> AudioWriter:
    n_channels = blocks[0].shape[0]
    with AudioWriter(
        path, sample_rate_hz=sample_rate_hz, n_channels=n_channels, **arguments
    ) as writer:
        for block in blocks:
            writer.write(block)
    return writer


def sounds(low: float, high: float, *, exclude_max: bool = False):
    shapes = st.tuples(st.integers(1, 8), st.integers(1, 60))
    values = st.floats(low, high, width=32, exclude_max=exclude_max)
    return arrays(np.float32, shapes, elements=values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One folder for all examples of a property."""
    return tmp_path_factory.mktemp("writing")


@pytest.fixture
def no_file_beyond_100_kb():
    """Let the operating system refuse larger files, which is how a full disk looks to a program."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


# What is in the file


@settings(deadline=None, max_examples=60)
@given(samples=sounds(-1, 1, exclude_max=True), format=st.sampled_from(["wav", "flac"]))
def test_24_bits_keep_every_sample_to_2_to_the_minus_24(folder, samples, format):
    writer = write(folder / f"x.{format}", samples)
    again = read_audio(folder / f"x.{format}").samples
    assert np.abs(again.astype(np.float64) - samples).max() <= 2.0**-24
    assert writer.n_clipped == 0


@settings(deadline=None, max_examples=60)
@given(samples=sounds(-1, 1 - 2**-15), format=st.sampled_from(["wav", "flac"]))
def test_16_bits_round_to_the_nearest(folder, samples, format):
    write(folder / f"x.{format}", samples, bit_depth="16")
    again = read_audio(folder / f"x.{format}").samples
    assert np.abs(again.astype(np.float64) - samples).max() <= 2.0**-16


@settings(deadline=None, max_examples=60)
@given(samples=sounds(-(2.0**127), 2.0**127))
def test_float_keeps_every_bit(folder, samples):
    write(folder / "x.wav", samples, bit_depth="float")
    again = read_audio(folder / "x.wav").samples
    np.testing.assert_array_equal(again.view(np.int32), samples.view(np.int32))


@pytest.mark.parametrize(("format", "bit_depth"), [*WHOLE_NUMBERS, ("m4a", "16"), ("m4a", "24")])
def test_a_file_of_whole_numbers_is_written_back_bit_for_bit(tmp_path, format, bit_depth):
    n_bits = int(bit_depth)
    ends = [-(2 ** (n_bits - 1)), 2 ** (n_bits - 1) - 1, 0, -1, 1]
    drawn = np.random.default_rng(0).integers(ends[0], ends[1], 995).tolist()
    steps = np.array([ends + drawn], np.int32) << (32 - n_bits)
    soundfile.write(tmp_path / "original.wav", steps.T, 8000, subtype=f"PCM_{n_bits}")
    path = tmp_path / f"copy.{format}"
    write(path, read_audio(tmp_path / "original.wav").samples, bit_depth=bit_depth)
    again = read_audio(path).samples.astype(np.float64) * 2**31
    np.testing.assert_array_equal(again, steps)


@settings(deadline=None, max_examples=60)
@given(samples=sounds(-100, 100), kind=st.sampled_from(WHOLE_NUMBERS))
def test_values_beyond_full_scale_saturate_never_wrap_and_are_counted(folder, samples, kind):
    format, bit_depth = kind
    writer = write(folder / f"x.{format}", samples, bit_depth=bit_depth)
    again = read_audio(folder / f"x.{format}").samples
    step = 2.0 ** (1 - int(bit_depth))
    assert np.abs(again - np.clip(samples, -1, 1 - step)).max() <= step
    assert writer.n_clipped == np.count_nonzero((samples < -1) | (samples >= 1))


@pytest.mark.parametrize("format", [x for x in FORMATS if x != "opus"])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_every_format_keeps_length_rate_channels_and_time(tmp_path, format, n_channels):
    source = noise(n_channels, 50_001)
    writer = write(tmp_path / f"x.{format}", source, sample_rate_hz=44100)
    again = read_audio(tmp_path / f"x.{format}")
    assert again.samples.shape == source.shape
    assert again.sample_rate_hz == 44100
    assert lag_samples(again.samples, source) == 0
    assert signal_to_error_db(again.samples, source) > 20
    assert (writer.n_samples, writer.n_clipped) == (50_001, 0)


@pytest.mark.parametrize("sample_rate_hz", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 48000])
def test_mp3_keeps_the_length_at_each_of_its_sample_rates(tmp_path, sample_rate_hz):
    source = noise(2, 20_011)
    write(tmp_path / "x.mp3", source, sample_rate_hz=sample_rate_hz)
    again = read_audio(tmp_path / "x.mp3")
    assert again.samples.shape == source.shape
    assert lag_samples(again.samples, source) == 0


@pytest.mark.parametrize(("format", "bit_depth"), ALL)
def test_the_same_samples_give_the_same_bytes_however_they_are_divided(tmp_path, format, bit_depth):
    source = noise(2, 100_000)
    whole, divided = tmp_path / f"whole.{format}", tmp_path / f"divided.{format}"
    write(whole, source, bit_depth=bit_depth)
    write(divided, *np.split(source, [0, 1, 1000, 70_000], axis=1), bit_depth=bit_depth)
    assert whole.read_bytes() == divided.read_bytes()


def test_a_long_block_of_vorbis_is_written_whole(tmp_path):
    # libvorbis keeps a write on its stack: 2^20 frames at once have killed the process.
    write(tmp_path / "x.ogg", np.zeros((2, 1_500_000), np.float32), sample_rate_hz=44100)
    assert soundfile.info(tmp_path / "x.ogg").frames == 1_500_000


def test_more_channels_than_two_are_written(tmp_path):
    source = noise(6, 1000)
    for format in ("wav", "flac", "ogg"):
        write(tmp_path / f"x.{format}", source)
        assert read_audio(tmp_path / f"x.{format}").samples.shape == (6, 1000)


# WAV beyond 4 GiB


@pytest.mark.parametrize("bit_depth", BIT_DEPTHS)
def test_a_wav_beyond_the_limit_of_riff_becomes_rf64(tmp_path, monkeypatch, bit_depth):
    source = noise(1, 1001)
    write(tmp_path / "small.wav", source, bit_depth=bit_depth)
    monkeypatch.setattr(wav, "_RIFF_LIMIT_BYTES", 1000)
    write(tmp_path / "large.wav", source, bit_depth=bit_depth)
    small, large = soundfile.info(tmp_path / "small.wav"), soundfile.info(tmp_path / "large.wav")
    assert (small.format, large.format) == ("WAV", "RF64")
    assert (small.subtype, small.frames) == (large.subtype, large.frames)
    np.testing.assert_array_equal(
        read_audio(tmp_path / "small.wav").samples, read_audio(tmp_path / "large.wav").samples
    )


@pytest.mark.parametrize(
    ("n_samples", "format"), [(715_827_870, "WAV"), (715_827_871, "RF64"), (2**32 + 5, "RF64")]
)
def test_the_limit_lies_at_4_gib_exactly(tmp_path, n_samples, format):
    # The data is a hole in the file, which takes no space.
    with (tmp_path / "x.wav").open("w+b") as file:
        encoder = wav.WavEncoder(file, sample_rate_hz=44100, n_channels=2, bit_depth="24")
        n_header_bytes = file.tell()
        encoder._n_samples = n_samples
        file.truncate(n_header_bytes + 6 * n_samples)
        encoder.finish()
    assert (n_header_bytes - 8 + 6 * n_samples > 0xFFFFFFFF) == (format == "RF64")
    info = soundfile.info(tmp_path / "x.wav")
    assert (info.format, info.frames) == (format, n_samples)


# Complete under its name, or not there at all


@pytest.mark.parametrize(("format", "bit_depth"), ALL)
@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_nothing_behind(tmp_path, format, bit_depth, interruption):
    path = tmp_path / f"x.{format}"

    def write_and_fail():
        with AudioWriter(path, sample_rate_hz=8000, n_channels=2, bit_depth=bit_depth) as writer:
            writer.write(noise(2, 30_000))
            [part] = tmp_path.iterdir()  # hidden while it is written
            assert part.name.startswith(f".x.{format}.")
            assert part.suffix == ".part"
            raise interruption

    with pytest.raises(interruption):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "x.wav"
    write(path, noise(1, 10))
    old = path.read_bytes()
    with AudioWriter(path, sample_rate_hz=8000, n_channels=1) as writer:
        writer.write(noise(1, 20))
        assert path.read_bytes() == old
    assert soundfile.info(path).frames == 20
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_file_is_kept_unless_it_may_be_overwritten(tmp_path):
    path = tmp_path / "x.wav"
    write(path, noise(1, 10), overwrite=False)
    old = path.read_bytes()
    with pytest.raises(OutputError, match=r"x\.wav exists already; allow to overwrite it"):
        write(path, noise(1, 20), overwrite=False)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_came_into_being_meanwhile_is_kept(tmp_path):
    path = tmp_path / "x.wav"

    def write_and_meet_another():
        with AudioWriter(path, sample_rate_hz=8000, n_channels=1, overwrite=False) as writer:
            writer.write(noise(1, 10))
            path.write_bytes(b"another")

    with pytest.raises(OutputError, match="exists already"):
        write_and_meet_another()
    assert path.read_bytes() == b"another"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_keeps_pointing_to_its_file(tmp_path):
    (tmp_path / "link.wav").symlink_to(tmp_path / "real.wav")
    write(tmp_path / "link.wav", noise(1, 10))
    assert (tmp_path / "link.wav").is_symlink()
    assert soundfile.info(tmp_path / "real.wav").frames == 10


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    write(tmp_path / "x.wav", noise(1, 10))
    (tmp_path / "y").touch()
    assert (tmp_path / "x.wav").stat().st_mode == (tmp_path / "y").stat().st_mode


# Errors of the disk


@pytest.mark.parametrize(("format", "bit_depth"), ALL)
@pytest.mark.usefixtures("no_file_beyond_100_kb")
def test_a_file_that_outgrows_what_is_allowed_gives_one_line_and_leaves_nothing(
    tmp_path, capfd, format, bit_depth
):
    path = tmp_path / f"x.{format}"
    white = np.random.default_rng(0).uniform(-1, 1, (2, 500_000)).astype(np.float32)
    with pytest.raises(OutputError) as caught:
        write(path, white, sample_rate_hz=44100, bit_depth=bit_depth)
    assert str(caught.value) == (
        f"cannot write {path}: File too large; "
        "the file system or a limit allows no larger file; choose another folder"
    )
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("format", "bit_depth"), ALL)
def test_a_full_disk_gives_one_line_and_leaves_nothing(tmp_path, format, bit_depth):
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can make a tiny disk")
    path = tmp_path / f"x.{format}"
    white = np.random.default_rng(0).uniform(-1, 1, (2, 300_000)).astype(np.float32)
    try:
        with pytest.raises(OutputError) as caught:
            write(path, white, sample_rate_hz=44100, bit_depth=bit_depth)
        left = list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device; free some space or choose another folder"
    )
    assert left == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*/a/x\.wav: No such .*; make the folder"):
        write(tmp_path / "a" / "x.wav", noise(1, 10))


def test_a_zero_byte_in_a_name_is_an_error_of_the_output(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*x\\x00\.wav': embedded null byte"):
        write(tmp_path / "x\0.wav", noise(1, 10))


def test_a_change_of_the_current_folder_does_not_move_the_file(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with AudioWriter("x.wav", sample_rate_hz=8000, n_channels=1) as writer:
        monkeypatch.chdir("elsewhere")
        writer.write(noise(1, 10))
    assert soundfile.info(tmp_path / "x.wav").frames == 10


def test_the_most_channels_and_the_highest_rate_fit_the_header(tmp_path):
    write(tmp_path / "x.wav", np.zeros((1024, 2), np.float32), sample_rate_hz=2**31 - 1)
    assert soundfile.info(tmp_path / "x.wav").channels == 1024


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match=r"a/x\.wav: Not a directory; choose another folder"):
        write(tmp_path / "a" / "x.wav", noise(1, 10))


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path):
    writer = AudioWriter(tmp_path / ("x" * 300 + ".wav"), sample_rate_hz=8000, n_channels=1)
    with pytest.raises(OutputError, match="File name too long; choose a shorter name"):
        writer.__enter__()
    write(tmp_path / ("x" * 251 + ".wav"), noise(1, 10))  # as long as may be
    write(tmp_path / ("음" * 83 + ".wav"), noise(1, 10))


def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)  # nobody
    try:
        with pytest.raises(OutputError, match="Permission denied; choose a folder that you may"):
            write(tmp_path / "x.wav", noise(1, 10))
    finally:
        if was_root:
            os.seteuid(0)
        tmp_path.chmod(0o755)


def test_what_exists_and_is_no_file_stays_as_it_is(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    for name in ("pipe.wav", "folder.wav"):
        with pytest.raises(OutputError, match=rf"{name}: it exists and is no file"):
            write(tmp_path / name, noise(1, 10))
    assert stat.S_ISFIFO((tmp_path / "pipe.wav").stat().st_mode)


def test_a_name_with_a_line_break_is_shown_in_one_line(tmp_path):
    with pytest.raises(OutputError) as caught:
        write(tmp_path / "a\nb" / "x.wav", noise(1, 10))
    assert "a\\nb/x.wav'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_refused_with_its_place(tmp_path, bad):
    block = np.zeros((2, 70_000), np.float32)
    block[1, 68_000] = bad
    with pytest.raises(OutputError, match=r"sample 168000 \(21\.00 s\) is NaN or infinite"):
        write(tmp_path / "x.wav", np.zeros((2, 100_000), np.float32), block)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_without_samples_is_not_written(tmp_path, format):
    with pytest.raises(OutputError, match=rf"cannot write .*x\.{format}: no samples were given"):
        write(tmp_path / f"x.{format}", np.zeros((2, 0), np.float32))
    assert list(tmp_path.iterdir()) == []


# Errors of the call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "x.wave"}, r"x\.wave has '\.wave', but stemlight writes wav, .*mean 'wav'"),
        ({"name": "x"}, r"x has no suffix, but stemlight writes wav, flac, mp3, ogg"),
        ({"format": "WAV"}, r"format must be one of wav, flac, mp3, ogg, opus, m4a, not 'WAV'"),
        ({"bit_depth": "32"}, r"bit depth must be one of 16, 24, float, not '32'"),
        ({"format": "flac", "bit_depth": "float"}, r"flac holds 16 or 24 bits, not float; use wav"),
        ({"format": "mp3", "bit_depth": "24"}, r"mp3 has no bit depth, but '24' was asked"),
        ({"format": "mp3", "sample_rate_hz": 96000}, r"mp3 .* 44100, 48000 Hz, not 96000; use wav"),
        ({"format": "mp3", "n_channels": 6}, r"mp3 holds 1 to 2 channels, not 6; use wav"),
        ({"format": "flac", "n_channels": 9}, r"flac holds 1 to 8 channels, not 9; use wav"),
        (
            {"format": "flac", "sample_rate_hz": 88201},
            r"flac .* steps of 10 Hz, not 88201; use wav",
        ),
        ({"format": "ogg", "n_channels": 256}, r"ogg holds 1 to 255 channels, not 256; use wav"),
        ({"format": "ogg", "sample_rate_hz": 384000}, r"ogg .* 1 to 200000 Hz, not 384000"),
        ({"format": "opus", "n_channels": 9}, r"opus holds 1 to 8 channels, not 9; use wav"),
        ({"format": "opus", "n_channels": 5}, r"opus holds 1, 2, 3, 4, 6 or 8 channels, not 5"),
        ({"format": "opus", "bit_depth": "16"}, r"opus has no bit depth, but '16' was asked"),
        ({"format": "m4a", "n_channels": 7}, r"m4a holds 1 to 6 channels, not 7; use wav"),
        ({"format": "m4a", "bit_depth": "float"}, r"m4a holds 16 or 24 bits, not float; use wav"),
        ({"format": "m4a", "sample_rate_hz": 192000}, r"m4a .* 96000 Hz, not 192000; use wav"),
        ({"format": "wav", "bit_rate_kbps": 128}, r"wav has no bit rate to choose; leave it out"),
        (
            {"format": "m4a", "bit_depth": "16", "bit_rate_kbps": 128},
            r"lossless m4a has no bit rate to choose; leave it out",
        ),
        ({"format": "mp3", "bit_rate_kbps": 100}, r"mp3 at 44100 Hz has .* 256, 320 kbit/s, not 1"),
        (
            {"format": "opus", "bit_rate_kbps": 511},
            r"opus of 2 channels at 44100 Hz has bit rates of 12 to 510 kbit/s, not 511",
        ),
        ({"format": "m4a", "bit_rate_kbps": 600}, r"of 16 to 528 kbit/s, not 600"),
        ({"format": "ogg", "bit_rate_kbps": 10}, r"of 64 to 500 kbit/s, not 10"),
        ({"n_channels": 0}, r"wav holds 1 to 1024 channels, not 0"),
        ({"sample_rate_hz": 0}, r"wav holds sample rates of 1 to 2147483647 Hz, not 0"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_before_anything_happens(tmp_path, arguments, message):
    settings = {"sample_rate_hz": 44100, "n_channels": 2} | arguments
    with pytest.raises(UsageError, match=message):
        AudioWriter(tmp_path / settings.pop("name", "x.wav"), **settings)


def test_a_block_of_other_channels_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"shape \(1, 10\) but .*x\.wav was opened for 2 channels"):
        write(tmp_path / "x.wav", noise(2, 10), noise(1, 10))


def test_a_writer_writes_only_within_its_with_block(tmp_path):
    writer = AudioWriter(tmp_path / "x.wav", sample_rate_hz=8000, n_channels=1)
    with pytest.raises(UsageError, match=r"writer of .*x\.wav is not open"):
        writer.write(noise(1, 10))
    with writer:
        writer.write(noise(1, 10))
    with pytest.raises(UsageError, match=r"writer of .*x\.wav is not open"):
        writer.write(noise(1, 10))


def test_a_wav_is_written_into_memory_too():
    file = io.BytesIO()
    encoder = wav.WavEncoder(file, sample_rate_hz=8000, n_channels=1, bit_depth="24")
    encoder.write(noise(1, 11))
    encoder.finish()
    assert len(file.getvalue()) % 2 == 0
    file.seek(0)
    assert soundfile.info(file).frames == 11
