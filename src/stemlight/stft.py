"""Short-time Fourier transform in NumPy and SciPy, for separation without PyTorch.

`stemlight.stft_torch` is the same transform in PyTorch; a test pins the two to each other. Frames
are centred on multiples of the hop and the signal is reflected at its ends, so that a window of
`hop_samples * (n_frames - 1)` samples gives `n_frames` frames; or they are not, and the window
takes `n_fft` samples more. The inverse adds the windowed frames up and divides by the sum of the
squared windows, which returns the signal exactly.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from stemlight.configs import Packing, Representation
from stemlight.errors import UsageError
from stemlight.shapes import Complex, Float32

__all__ = ["Analysis", "Stft", "hann_window", "pack_planes", "unpack_planes"]

_COMPLEX_AXIS = {"complex-major": 1, "channel-major": 2}
_FRAMES_AT_ONCE = 32
_LEAST_ENVELOPE = np.float32(1e-8)  # where nothing but a window's edge reaches


class Analysis(NamedTuple):
    """What a network sees of a window, and the phases that it does not see, as unit numbers."""

    planes: Float32[np.ndarray, "batch planes frames bins"]
    phase: Complex[np.ndarray, "batch channels frames bins"] | None


def hann_window(n_fft: int) -> Float32[np.ndarray, " samples"]:
    """Return the periodic Hann window of `n_fft` samples."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft), np.float32)


def pack_planes(
    spectrogram: Complex[np.ndarray, "batch channels frames bins"], packing: Packing
) -> Float32[np.ndarray, "batch planes frames bins"]:
    """Stack real and imaginary parts of all channels as real planes, in the order `packing`."""
    batch, channels, frames, bins = spectrogram.shape
    axis = _COMPLEX_AXIS[packing]
    parts = np.stack((spectrogram.real, spectrogram.imag), axis=axis)
    return np.asarray(parts.reshape(batch, 2 * channels, frames, bins), np.float32)


def unpack_planes(
    planes: Float32[np.ndarray, "batch planes frames bins"], packing: Packing
) -> Complex[np.ndarray, "batch channels frames bins"]:
    """Undo `pack_planes`."""
    real, imaginary = _parts(planes, packing)
    spectrogram = np.empty(real.shape, np.complex64)
    spectrogram.real, spectrogram.imag = real, imaginary
    return spectrogram


def _parts(
    planes: Float32[np.ndarray, "batch planes frames bins"], packing: Packing
) -> tuple[np.ndarray, np.ndarray]:
    """Return views of the real and the imaginary parts, `(batch, channels, frames, bins)`."""
    batch, n_planes, frames, bins = planes.shape
    axis = _COMPLEX_AXIS[packing]
    shape = [batch, n_planes // 2, frames, bins]
    parts = np.moveaxis(planes.reshape(*shape[:axis], 2, *shape[axis:]), axis, 0)
    return parts[0], parts[1]


@functools.cache
def _threads(n_threads: int, process_id: int) -> ThreadPoolExecutor:
    """Return this process's threads for transforms, which live as long as it does.

    New threads for every window would each start a heap of their own, and the process would grow.
    A forked process does not inherit threads, so it gets its own.
    """
    return ThreadPoolExecutor(n_threads, thread_name_prefix="stemlight-stft")


class Stft:
    """Waveform to planes and back; bins from `kept_bins` on are dropped, and zero on the way back.

    `n_workers` threads share the transforms; their number changes no sample.
    """

    def __init__(
        self,
        n_fft: int,
        hop_samples: int,
        *,
        packing: Packing,
        kept_bins: int | None = None,
        representation: Representation = "complex",
        centered: bool = True,
        n_workers: int = 1,
    ) -> None:
        self.n_fft = n_fft
        self.hop_samples = hop_samples
        self.packing: Packing = packing
        self.representation: Representation = representation
        self.centered = centered
        self.n_bins = n_fft // 2 + 1
        self.kept_bins = self.n_bins if kept_bins is None else kept_bins
        self.n_workers = n_workers
        self.window = hann_window(n_fft)

    def forward(
        self, mixture: Float32[np.ndarray, "batch channels samples"]
    ) -> Float32[np.ndarray, "batch planes frames bins"]:
        """Transform a batch of windows into planes of the kept bins.

        Raises:
            UsageError: the window is no whole number of hops, or too short to be reflected.
        """
        return self.analyse(mixture).planes

    def analyse(self, mixture: Float32[np.ndarray, "batch channels samples"]) -> Analysis:
        """Transform a batch of windows into planes, and what else `inverse` needs.

        Raises:
            UsageError: as `forward`.
        """
        spectrogram = self._spectrogram(mixture)
        if self.representation == "complex":
            return Analysis(pack_planes(spectrogram, self.packing), None)
        magnitude = np.abs(spectrogram)
        # Where there is no sound there is no phase; zero stands for it.
        phase = np.ones_like(spectrogram)
        np.divide(spectrogram, magnitude, out=phase, where=magnitude > 0)
        return Analysis(magnitude, phase)

    def _spectrogram(
        self, mixture: Float32[np.ndarray, "batch channels samples"]
    ) -> Complex[np.ndarray, "batch channels frames bins"]:
        n_samples, half = mixture.shape[-1], self.n_fft // 2
        beyond_first = n_samples if self.centered else n_samples - self.n_fft
        if beyond_first % self.hop_samples or beyond_first < 0 or n_samples <= half:
            more = "longer than" if self.centered else "a multiple more than"
            raise UsageError(
                f"a window of {n_samples} samples does not fit: it must be a multiple of "
                f"{self.hop_samples} and {more} {half if self.centered else self.n_fft}"
            )
        if self.centered:
            mixture = np.pad(mixture, ((0, 0), (0, 0), (half, half)), mode="reflect")
        frames = sliding_window_view(mixture, self.n_fft, axis=-1)[:, :, :: self.hop_samples]
        spectrogram: np.ndarray = scipy.fft.rfft(
            frames * self.window, axis=-1, overwrite_x=True, workers=self.n_workers
        )
        return spectrogram[..., : self.kept_bins]

    def inverse(
        self,
        planes: Float32[np.ndarray, "batch planes frames bins"],
        phase: Complex[np.ndarray, "batch channels frames bins"] | None = None,
    ) -> Float32[np.ndarray, "batch channels samples"]:
        """Transform planes back into a window's samples; magnitudes need the mixture's phase."""
        if self.representation == "complex":
            real, imaginary = _parts(planes, self.packing)

            def write(channel: tuple[int, int], frames: slice, block: np.ndarray) -> None:
                block.real, block.imag = real[channel][frames], imaginary[channel][frames]
        else:
            assert phase is not None, "magnitudes alone make no waveform; give the phase"
            real = planes

            def write(channel: tuple[int, int], frames: slice, block: np.ndarray) -> None:
                np.multiply(planes[channel][frames], phase[channel][frames], out=block)

        n_frames, first = real.shape[2], self.n_fft // 2 if self.centered else 0
        n_samples = self.hop_samples * (n_frames - 1) + (0 if self.centered else self.n_fft)
        kept = slice(first, first + n_samples)
        envelope = np.maximum(self._envelope(n_frames)[kept], _LEAST_ENVELOPE)
        samples = np.empty((*real.shape[:2], n_samples), np.float32)

        def restore(channel: tuple[int, int]) -> None:
            summed = self._add_up(partial(write, channel), n_frames, real.shape[3])
            np.divide(summed[kept], envelope, out=samples[channel])

        self._for_each(restore, list(np.ndindex(real.shape[:2])))
        return samples

    def _add_up(
        self, write: Callable[[slice, np.ndarray], None], n_frames: int, n_bins: int
    ) -> Float32[np.ndarray, " samples"]:
        """Transform one channel back, a few frames at a time.

        Their spectra, frames and sums stay in the processor's cache, and in memory that is used
        again; all frames at once take almost twice the time.
        """
        n_parts = -(-self.n_fft // self.hop_samples)
        summed = np.zeros((n_frames + n_parts - 1, self.hop_samples), np.float32)
        spectra = np.zeros((min(_FRAMES_AT_ONCE, n_frames), self.n_bins), np.complex64)
        for start in range(0, n_frames, _FRAMES_AT_ONCE):
            stop = min(start + _FRAMES_AT_ONCE, n_frames)
            block = spectra[: stop - start]
            write(slice(start, stop), block[:, :n_bins])  # bins beyond stay zero
            frames = scipy.fft.irfft(block, self.n_fft, axis=-1)
            frames *= self.window
            self._add_parts(frames, summed[start : stop + n_parts - 1])
        return summed.reshape(-1)

    def _for_each(
        self, work: Callable[[tuple[int, int]], None], items: list[tuple[int, int]]
    ) -> None:
        n_threads = self.n_workers if self.n_workers > 0 else os.cpu_count() or 1
        if min(n_threads, len(items)) < 2:
            for item in items:
                work(item)
            return
        for _ in _threads(n_threads, os.getpid()).map(work, items):
            pass

    def _add_parts(self, frames: np.ndarray, summed: np.ndarray) -> None:
        """Add frames up at multiples of the hop, a hop's width of all frames at a time."""
        n_frames = len(frames)
        for part in range(-(-self.n_fft // self.hop_samples)):
            piece = frames[:, part * self.hop_samples : (part + 1) * self.hop_samples]
            summed[part : part + n_frames, : piece.shape[1]] += piece

    def _envelope(self, n_frames: int) -> np.ndarray:
        n_parts = -(-self.n_fft // self.hop_samples)
        summed = np.zeros((n_frames + n_parts - 1, self.hop_samples), np.float32)
        self._add_parts(np.broadcast_to(self.window**2, (n_frames, self.n_fft)), summed)
        return summed.reshape(-1)
