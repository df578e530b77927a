"""How notebooks show sound: a drawing of all of it, and a player of its first seconds."""

from __future__ import annotations

import base64
import html
import io

import numpy as np

from stemlight.audio.formats import check_layout
from stemlight.audio.sndfile_encoder import SndfileEncoder
from stemlight.audio.wav import WavEncoder
from stemlight.errors import UsageError
from stemlight.shapes import Float, Float32

__all__ = ["PLAYED_SECONDS", "player_html"]

PLAYED_SECONDS = 30
"""How much of a sound is put into a notebook, which is a text file that grows by all of it."""

_N_COLUMNS, _HEIGHT = 400, 40  # of the drawing

Samples = Float32[np.ndarray, "channels samples"]


def player_html(
    samples: Samples, sample_rate_hz: int, *, title: str = "", with_facts: bool = True
) -> str:
    """Return HTML that needs nothing else: title, length, waveform and an `<audio>` element.

    The waveform spans full scale, or the highest peak above it. Sound is MP3 where that holds it,
    otherwise 16-bit WAV. Channels, rate and length are told unless `with_facts` is false.
    """
    n_played = min(samples.shape[1], PLAYED_SECONDS * sample_rate_hz)
    n_channels = samples.shape[0]
    facts = []
    if with_facts:
        facts = [
            f"{n_channels} channel{'' if n_channels == 1 else 's'}",
            f"{sample_rate_hz} Hz",
            f"{samples.shape[1] / sample_rate_hz:.2f} s",
        ]
    if n_played < samples.shape[1]:
        facts.append(f"the first {PLAYED_SECONDS} s play")
    if title:
        facts.insert(0, f"<b>{html.escape(title)}</b>")
    finite = np.nan_to_num(samples, posinf=1.0, neginf=-1.0)
    kind, content = _encoded(finite[:, :n_played], sample_rate_hz)
    encoded = base64.b64encode(content).decode("ascii")
    spoken = f' aria-label="{html.escape(title)}"' if title else ""
    return (
        f'<figure style="margin:0 0 1em 0"><figcaption>{", ".join(facts)}</figcaption>'
        f"{_waveform(finite, n_played)}<br>"
        f'<audio controls{spoken} src="data:audio/{kind};base64,{encoded}"></audio></figure>'
    )


def _encoded(samples: Samples, sample_rate_hz: int) -> tuple[str, bytes]:
    file = io.BytesIO()
    layout = {"sample_rate_hz": sample_rate_hz, "n_channels": samples.shape[0]}
    encoder: SndfileEncoder | WavEncoder
    try:
        check_layout("mp3", **layout)
        kind, kbps = "mpeg", 128 if sample_rate_hz >= 32000 else 64
        encoder = SndfileEncoder(file, **layout, format="mp3", bit_depth=None, bit_rate_kbps=kbps)
    except UsageError:  # more than two channels, or a rate that MP3 does not have
        kind, encoder = "wav", WavEncoder(file, **layout, bit_depth="16")
    encoder.write(samples)
    encoder.finish()
    return kind, file.getvalue()


def _waveform(samples: Samples, n_played: int) -> str:
    """Draw lowest and highest sample of each column; what is not played is paler."""
    n_samples = samples.shape[1]
    edges = np.linspace(0, n_samples, min(_N_COLUMNS, max(n_samples, 1)) + 1).astype(int)
    low, high = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    if n_samples:
        low = np.minimum.reduceat(samples.min(axis=0), edges[:-1])
        high = np.maximum.reduceat(samples.max(axis=0), edges[:-1])
    scale = _HEIGHT / 2 / max(1.0, float(high.max()), -float(low.min()))
    n_columns = int(np.searchsorted(edges[:-1], n_played))
    parts = [(0, n_columns, 0.8), (n_columns, len(low), 0.3)]
    paths = "".join(
        f'<path fill="currentColor" fill-opacity="{opacity}" '
        f'd="{_outline(low[first:last] * scale, high[first:last] * scale, first)}"/>'
        for first, last, opacity in parts
        if last > first
    )
    return (
        f'<svg width="{_N_COLUMNS}" height="{_HEIGHT}" preserveAspectRatio="none" '
        f'viewBox="0 0 {len(low)} {_HEIGHT}">'
        f'<path stroke="currentColor" stroke-opacity="0.3" stroke-width="0.5" '
        f'd="M0 {_HEIGHT / 2:g}H{len(low)}"/>{paths}</svg>'
    )


def _outline(
    low: Float[np.ndarray, " columns"], high: Float[np.ndarray, " columns"], first: int
) -> str:
    """Return a path along all highest values and back along all lowest ones."""
    centre = _HEIGHT / 2
    there = [f"{first + i} {centre - y:.1f}H{first + i + 1}" for i, y in enumerate(high)]
    back = [f"{first + i + 1} {centre - y:.1f}H{first + i}" for i, y in enumerate(low)]
    return f"M{'L'.join([*there, *back[::-1]])}Z"
