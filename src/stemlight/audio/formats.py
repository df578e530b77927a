"""Which formats there are to write, and what each of them can hold."""

from __future__ import annotations

from pathlib import Path

from stemlight.audio.wording import shown
from stemlight.errors import UsageError, did_you_mean

__all__ = [
    "AAC_RATES_HZ",
    "BIT_DEPTHS",
    "FORMATS",
    "OPUS_RATES_HZ",
    "check_aac_rate",
    "check_bit_depth",
    "check_bit_rate",
    "check_format",
    "check_layout",
]

FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")
"""Formats that `AudioWriter` knows, by name and by suffix."""

BIT_DEPTHS = ("16", "24", "float")
"""What a sample becomes in a lossless file; flac and m4a have no float, the lossy no choice."""

# Of m4a only if asked: then it is lossless (ALAC), otherwise AAC.
_BIT_DEPTHS_OF = {"wav": BIT_DEPTHS, "flac": ("16", "24"), "m4a": ("16", "24")}
_LOSSLESS_FORMATS = ("wav", "flac")
_MOST_CHANNELS_OF = {"wav": 1024, "flac": 8, "mp3": 2, "ogg": 255, "opus": 8, "m4a": 6}
_MOST_RATE_HZ_OF = {
    "wav": 2**31 - 1,
    "flac": 655350,
    "mp3": 48000,
    "ogg": 200000,
    "opus": 2**31 - 1,
    "m4a": 384000,
}
_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)
"""Sample rates that Opus keeps; a sound of another rate becomes one of 48000 Hz."""

AAC_RATES_HZ = (
    *(7350, 8000, 11025, 12000, 16000, 22050, 24000),
    *(32000, 44100, 48000, 64000, 88200, 96000),
)

# From 32 kHz on, and below (MPEG 2 and 2.5).
_MP3_BIT_RATES_KBPS: tuple[int, ...] = (
    32,
    40,
    48,
    56,
    64,
    80,
    96,
    112,
    128,
    160,
    192,
    224,
    256,
    320,
)
_MP3_LOW_BIT_RATES_KBPS: tuple[int, ...] = (
    8,
    16,
    24,
    32,
    40,
    48,
    56,
    64,
    80,
    96,
    112,
    128,
    144,
    160,
)
_MP3_LOWEST_BIT_RATES_KBPS: tuple[int, ...] = (8, 16, 24, 32, 40, 48, 56, 64)


def check_format(format: str | None, path: Path) -> str:
    """Return the format, from the suffix of the path if it is None.

    Raises:
        UsageError: there is no such format.
    """
    if format is None:
        format = path.suffix.lower().removeprefix(".")
        if format not in FORMATS:
            ending = f"{path.suffix!r}" if path.suffix else "no suffix"
            raise UsageError(
                f"{shown(path)} has {ending}, but stemlight writes {', '.join(FORMATS)}"
                f"{did_you_mean(format, FORMATS)}"
            )
    elif format not in FORMATS:
        raise UsageError(
            f"format must be one of {', '.join(FORMATS)}, not {format!r}"
            f"{did_you_mean(format, FORMATS)}"
        )
    return format


def check_bit_depth(bit_depth: str | None, format: str) -> str | None:
    """Return the bit depth, its default where None was given, or None for lossy sound.

    Raises:
        UsageError: the format has no such bit depth.
    """
    allowed = _BIT_DEPTHS_OF.get(format, ())
    if bit_depth is None:
        return "24" if format in _LOSSLESS_FORMATS else None
    if bit_depth not in BIT_DEPTHS:
        raise UsageError(f"bit depth must be one of {', '.join(BIT_DEPTHS)}, not {bit_depth!r}")
    if not allowed:
        raise UsageError(f"{format} has no bit depth, but {bit_depth!r} was asked; leave it out")
    if bit_depth not in allowed:
        raise UsageError(f"{format} holds {' or '.join(allowed)} bits, not {bit_depth}; use wav")
    return bit_depth


def check_layout(
    format: str, *, sample_rate_hz: int, n_channels: int, is_lossless: bool = False
) -> None:
    """Refuse sample rates and numbers of channels that the format cannot hold.

    Raises:
        UsageError: with what it can hold.
    """
    most_channels, most_rate_hz = _MOST_CHANNELS_OF[format], _MOST_RATE_HZ_OF[format]
    if not 1 <= n_channels <= most_channels:
        raise UsageError(f"{format} holds 1 to {most_channels} channels, not {n_channels}; use wav")
    if format == "opus" and n_channels in (5, 7):  # which FFmpeg's encoder would mix up
        raise UsageError(f"opus holds 1, 2, 3, 4, 6 or 8 channels, not {n_channels}; use wav")
    if format == "mp3" and sample_rate_hz not in _MP3_RATES_HZ:
        rates = ", ".join(map(str, _MP3_RATES_HZ))
        raise UsageError(f"mp3 holds the sample rates {rates} Hz, not {sample_rate_hz}; use wav")
    if format == "m4a" and not is_lossless:
        check_aac_rate(format, sample_rate_hz, AAC_RATES_HZ)
    if format == "flac" and sample_rate_hz > 65535 and sample_rate_hz % 10:
        raise UsageError(
            f"flac holds sample rates beyond 65535 Hz in steps of 10 Hz, not {sample_rate_hz}; "
            "use wav"
        )
    if not 1 <= sample_rate_hz <= most_rate_hz:
        raise UsageError(
            f"{format} holds sample rates of 1 to {most_rate_hz} Hz, not {sample_rate_hz}; use wav"
        )


def check_aac_rate(format: str, sample_rate_hz: int, rates_hz: tuple[int, ...]) -> None:
    """Refuse sample rates that are not among `rates_hz`.

    Raises:
        UsageError: with those that are.
    """
    if sample_rate_hz not in rates_hz:
        rates = ", ".join(map(str, rates_hz))
        raise UsageError(
            f"{format} holds the sample rates {rates} Hz, not {sample_rate_hz}; use wav"
        )


def check_bit_rate(
    bit_rate_kbps: int | None, format: str, *, sample_rate_hz: int, n_channels: int
) -> None:
    """Refuse bit rates that the format does not have; None is its default and always right.

    Raises:
        UsageError: with those that it has.
    """
    if bit_rate_kbps is None:
        return
    if format in _LOSSLESS_FORMATS:
        raise UsageError(f"{format} is lossless and has no bit rate to choose; leave it out")
    if format == "mp3":
        allowed = _MP3_BIT_RATES_KBPS if sample_rate_hz >= 32000 else _MP3_LOW_BIT_RATES_KBPS
        allowed = _MP3_LOWEST_BIT_RATES_KBPS if sample_rate_hz < 16000 else allowed
        if bit_rate_kbps not in allowed:
            raise UsageError(
                f"mp3 at {sample_rate_hz} Hz has the bit rates {', '.join(map(str, allowed))} "
                f"kbit/s, not {bit_rate_kbps}"
            )
        return
    # AAC spends at most 6144 bits on a frame of 1024 samples of a channel.
    most_kbps = {"ogg": 250, "opus": 255, "m4a": 6 * sample_rate_hz // 1000}[format] * n_channels
    least_kbps = {"ogg": 32, "opus": 6, "m4a": 8}[format] * n_channels
    if not least_kbps <= bit_rate_kbps <= most_kbps:
        raise UsageError(
            f"{format} of {n_channels} channels at {sample_rate_hz} Hz has bit rates of "
            f"{least_kbps} to {most_kbps} kbit/s, not {bit_rate_kbps}"
        )
