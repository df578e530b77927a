"""The authors' ways of cutting a song into windows, to get their published outputs again.

A compatibility mode: the song and all results are held whole, so it is not for long files in
bounded memory. For all else use `stemlight.separation.Separator`, which cuts by a `ChunkPlan`.

    window     |<- trim P ->|<--------- true samples S = W - 2P --------->|<- trim P ->|
    region of a chunk: true samples a .. a + S of the song; the context P on both sides is real
    samples or zeros, which is where most routines differ

Every routine is a list of chunks: where the region starts, which real samples the window holds
(zeros everywhere else), and over which ends it is halved because a neighbour shares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from stemlight.errors import UsageError, did_you_mean
from stemlight.shapes import Float32

__all__ = [
    "OfficialRoutine",
    "SeparateChunks",
    "official_trim_samples",
    "quantize_pcm16",
    "separate_officially",
]

SeparateChunks = Callable[[np.ndarray], np.ndarray]
"""`(batch, channels, samples) -> (batch, sources, channels, samples)`, float32."""

_LEAST_TRIM_SAMPLES = 5000
_LEAST_TRIM_SAMPLES_LIGHTSAFT_MDX = 8192


class OfficialRoutine(StrEnum):
    """A published way of cutting; the string of the same name may be passed wherever one is asked.

    Where P is the trim, S the true samples of a window and n the song's length:

    LASAFT ("lasaft"): LaSAFT and LASAFT-Net-v2, chunks a hop of `int(S * (1 - overlap_ratio))`
        apart. The left context is zeros where the region starts with 0 < a < P, though there are
        real samples. The right context is zeros in the "gap", n - P <= a + S <= n, though there are
        up to P real samples; there the halving is forgotten as well (`reproduce_gain_bug`).
    ZERO_CONTEXT ("zero-context"): TFC-TDF-U-Net v1 (ISMIR 2020), context always zeros.
    LIGHTSAFT_MDX ("lightsaft-mdx"): LightSAFT as submitted to the MDX challenge, real context on
        both sides. Equals `ChunkPlan(chunk_samples=W, trim_samples=P)`, sample for sample.
    MDX_NET ("mdx-net"): KUIELab-MDX-Net as submitted, P = n_fft / 2 of each network. Equals the
        same `ChunkPlan`, but runs one more chunk, of the silence behind the song, if S divides n.
    MDX_NET_VALIDATION ("mdx-net-validation"): the routine of its training. The same cutting as
        MDX_NET; what differs is the window that the caller passes (256 frames instead of 512).
    """

    LASAFT = "lasaft"
    ZERO_CONTEXT = "zero-context"
    LIGHTSAFT_MDX = "lightsaft-mdx"
    MDX_NET = "mdx-net"
    MDX_NET_VALIDATION = "mdx-net-validation"


@dataclass(frozen=True)
class _Cut:
    """What all routines know: the song's length and the window."""

    n_samples: int
    chunk_samples: int
    trim_samples: int

    @property
    def true_samples(self) -> int:
        return self.chunk_samples - 2 * self.trim_samples


@dataclass(frozen=True)
class _Chunk:
    """One window; positions are samples of the song."""

    start: int  # of the region that reaches the result
    read_from: int  # real samples of the song that the window holds ...
    read_to: int  # ... up to here; zeros elsewhere
    n_halved_left: int = 0
    n_halved_right: int = 0
    compounds: bool = False  # where the two ends meet: a quarter if so, else nothing


def official_trim_samples(
    routine: OfficialRoutine | str, *, hop_samples: int, n_fft: int | None = None
) -> int:
    """Return the trim at each end of a window that the authors' code takes in `routine`.

    At least 5000 samples in whole hops (8192 for "lightsaft-mdx"), or half a frame for MDX-Net.

    Raises:
        UsageError: no such routine, or MDX-Net without its `n_fft`.
    """
    routine = _routine(routine)
    if routine in (OfficialRoutine.MDX_NET, OfficialRoutine.MDX_NET_VALIDATION):
        if n_fft is None:
            raise UsageError(f"the routine {routine.value!r} trims n_fft / 2 samples; pass n_fft")
        return n_fft // 2
    least = (
        _LEAST_TRIM_SAMPLES_LIGHTSAFT_MDX
        if routine is OfficialRoutine.LIGHTSAFT_MDX
        else _LEAST_TRIM_SAMPLES
    )
    return -(-least // hop_samples) * hop_samples


# Eight keywords, two more than the house allows: together they are the authors' own settings, and
# a settings object would have this one user.
def separate_officially(
    separate_chunks: SeparateChunks,
    mixture: np.ndarray,
    *,
    routine: OfficialRoutine | str,
    chunk_samples: int,
    trim_samples: int,
    overlap_ratio: float = 0.5,
    reproduce_gain_bug: bool = True,
    keep_padding: bool = False,
    batch_size: int = 1,
) -> Float32[np.ndarray, "sources channels kept"]:
    """Separate a whole song as the authors' code does; see `OfficialRoutine`.

    `mixture` is float32 `(channels, samples)`, and so is each source of the result.
    `separate_chunks` is given at most `batch_size` windows of `chunk_samples` at once. Only
    "lasaft" reads `overlap_ratio` and `reproduce_gain_bug`; the latter gives the half-overlapping
    samples around a gap chunk 1.5 times their level, as published (a song of exactly 30 s has
    them); without it all gains are one. `keep_padding` leaves the padding of the last window at
    the end where the authors' code leaves it: in "lasaft" without overlap, and in "zero-context".

    Differs: the authors' code crashes in "lasaft" with overlap 0.5 for songs of at most S / 2
    samples, and on empty ones; here those are one chunk, padded with zeros. It also sends the
    result through a 16-bit file: apply `quantize_pcm16` for that.

    Raises:
        UsageError: an unknown routine, a trim that leaves nothing of the window, an overlap ratio
            outside 0..0.5, or `separate_chunks` gives another shape than it should.
    """
    routine = _routine(routine)
    _check(mixture, chunk_samples, trim_samples, batch_size)
    cut = _Cut(mixture.shape[1], chunk_samples, trim_samples)
    if routine is OfficialRoutine.LASAFT:
        chunks = _lasaft_chunks(cut, overlap_ratio, reproduce_gain_bug)
        pads = overlap_ratio == 0
    elif routine is OfficialRoutine.ZERO_CONTEXT:
        chunks, pads = _zero_context_chunks(cut), True
    elif routine is OfficialRoutine.LIGHTSAFT_MDX:
        chunks, pads = _real_context_chunks(cut, -(-cut.n_samples // cut.true_samples)), False
    else:  # padded by 1..S samples, never by none
        chunks, pads = _real_context_chunks(cut, cut.n_samples // cut.true_samples + 1), False
    n_kept = chunks[-1].start + cut.true_samples if keep_padding and pads else cut.n_samples
    return _run(separate_chunks, mixture, cut, chunks, n_kept, batch_size)


def quantize_pcm16(samples: np.ndarray) -> np.ndarray:
    """Return what `soundfile.write` to a WAV file and `soundfile.read` make of finite samples.

    16-bit steps of 1 / 32768, clipped to -1 .. 32767 / 32768, equal to soundfile to the bit, in the
    dtype that came (float32 or float64). Steps are rounded down, not to the nearest: libsndfile
    rounds at 32 bits and drops the lower half.
    """
    at_32_bits = np.rint(np.clip(samples, -1, 1) * samples.dtype.type(2**31))
    steps = np.clip(np.floor(at_32_bits / 65536), -32768, 32767).astype(np.int16)
    return (steps / 32768).astype(samples.dtype)


def _lasaft_chunks(cut: _Cut, overlap_ratio: float, reproduce_gain_bug: bool) -> list[_Chunk]:
    n_samples, n_true, n_trim = cut.n_samples, cut.true_samples, cut.trim_samples
    if not 0 <= overlap_ratio <= 0.5:
        raise UsageError(f"overlap_ratio must lie in 0..0.5, not {overlap_ratio}")
    hop = int(n_true * (1 - overlap_ratio))
    if hop < 1:
        raise UsageError(
            f"overlap_ratio {overlap_ratio} leaves no hop between windows that keep {n_true} "
            "samples; trim or overlap less"
        )
    n_chunks = max(1, -(-(n_samples - n_true) // hop) + 1)
    chunks = []
    for index in range(n_chunks):
        start = index * hop
        stop = start + n_true
        last = stop > n_samples
        gap = n_samples - n_trim <= stop <= n_samples
        halves = not (gap and reproduce_gain_bug)
        chunks.append(
            _Chunk(
                start,
                read_from=start - n_trim if start >= n_trim else start,
                # A gap chunk reads its region alone; the last one reads whatever is there.
                read_to=n_samples if last else stop if gap else stop + n_trim,
                n_halved_left=n_true - hop if halves and index else 0,
                n_halved_right=n_true - hop if halves and index < n_chunks - 1 else 0,
                compounds=reproduce_gain_bug,
            )
        )
    return chunks


def _zero_context_chunks(cut: _Cut) -> list[_Chunk]:
    n_true = cut.true_samples
    return [
        _Chunk(start, read_from=start, read_to=min(start + n_true, cut.n_samples))
        for start in range(0, max(1, cut.n_samples), n_true)
    ]


def _real_context_chunks(cut: _Cut, n_chunks: int) -> list[_Chunk]:
    n_true, n_trim = cut.true_samples, cut.trim_samples
    return [
        _Chunk(
            start,
            read_from=max(0, start - n_trim),
            read_to=min(start + n_true + n_trim, cut.n_samples),
        )
        for start in range(0, max(1, n_chunks) * n_true, n_true)
    ]


def _run(
    separate_chunks: SeparateChunks,
    mixture: Float32[np.ndarray, "channels samples"],
    cut: _Cut,
    chunks: list[_Chunk],
    n_kept: int,
    batch_size: int,
) -> Float32[np.ndarray, "sources channels kept"]:
    """Separate batch after batch and add the regions up, cut at `n_kept` samples."""
    summed: np.ndarray | None = None
    for first in range(0, len(chunks), batch_size):
        batch = chunks[first : first + batch_size]
        windows = np.stack([_window(mixture, cut, chunk) for chunk in batch])
        stems = np.asarray(separate_chunks(windows))
        if stems.ndim != 4 or (len(stems), *stems.shape[2:]) != windows.shape:
            raise UsageError(
                f"separate_chunks was given {windows.shape} and returned {stems.shape}; it must "
                "return (batch, sources, channels, samples)"
            )
        if summed is None:
            summed = np.zeros((stems.shape[1], mixture.shape[0], n_kept), np.float32)
        for chunk, estimates in zip(batch, stems, strict=True):
            region = estimates[..., cut.trim_samples : cut.chunk_samples - cut.trim_samples]
            target = summed[..., chunk.start : chunk.start + cut.true_samples]
            target += (region * _gains(cut, chunk))[..., : target.shape[-1]]
    assert summed is not None, "every routine has at least one chunk"
    return summed


def _window(
    mixture: Float32[np.ndarray, "channels samples"], cut: _Cut, chunk: _Chunk
) -> Float32[np.ndarray, "channels chunk_samples"]:
    window = np.zeros((mixture.shape[0], cut.chunk_samples), np.float32)
    real = mixture[:, chunk.read_from : chunk.read_to]
    offset = chunk.read_from - (chunk.start - cut.trim_samples)
    window[:, offset : offset + real.shape[1]] = real
    return window


def _gains(cut: _Cut, chunk: _Chunk) -> Float32[np.ndarray, " samples"]:
    """Halve each end that a neighbour shares.

    The ends meet, in one sample, only if S is odd and the overlap a half. Both neighbours have a
    half of that sample already, so nothing of this chunk makes one; the authors' quarter does not.
    """
    gains = np.ones(cut.true_samples, np.float32)
    gains[: chunk.n_halved_left] = 0.5
    right = gains[cut.true_samples - chunk.n_halved_right :]
    if chunk.compounds:
        right *= 0.5
    else:
        right -= 0.5
    return gains


def _routine(name: OfficialRoutine | str) -> OfficialRoutine:
    try:
        return OfficialRoutine(name)
    except ValueError as error:
        known = [routine.value for routine in OfficialRoutine]
        hint = did_you_mean(str(name), known) or "; routines are " + ", ".join(known)
        raise UsageError(f"no routine {str(name)!r}{hint}") from error


def _check(mixture: np.ndarray, chunk_samples: int, trim_samples: int, batch_size: int) -> None:
    if mixture.ndim != 2 or mixture.dtype != np.float32:
        raise UsageError(
            f"the mixture has the shape {mixture.shape} and the dtype {mixture.dtype} but "
            "(channels, samples) of float32 is needed"
        )
    if trim_samples < 0 or chunk_samples <= 2 * trim_samples:
        raise UsageError(
            f"trim_samples must lie in 0..{max(0, (chunk_samples - 1) // 2)} for chunk_samples "
            f"{chunk_samples}, not {trim_samples}"
        )
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, not {batch_size}")
