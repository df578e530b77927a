"""Draws the README's picture: spectrograms of the example and of its stems.

python -m bench.picture [SONG] [-o docs/stems.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import stemlight
from bench.material import EXAMPLE
from stemlight.audio import Audio
from stemlight.stft import Stft

N_FFT = 4096
HOP_SAMPLES = 1024
MAX_HZ = 8000
RANGE_DB = 70
START_SECONDS, DURATION_SECONDS = 4, 12


def levels_db(audio: Audio) -> np.ndarray:
    """Return the level of each frame and bin, both channels together."""
    n_samples = audio.n_samples // HOP_SAMPLES * HOP_SAMPLES
    planes = Stft(N_FFT, HOP_SAMPLES, packing="complex-major").forward(
        audio.samples[None, :, :n_samples]
    )
    return 10 * np.log10(np.square(planes[0]).sum(axis=0) + 1e-9)


def main() -> None:
    """Separate and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("song", nargs="?", type=Path, default=EXAMPLE)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/stems.png"))
    arguments = parser.parse_args()
    mixture = stemlight.read_audio(arguments.song)
    panels = {"mixture": mixture, **stemlight.separate(mixture)}
    loudest = levels_db(mixture).max()
    figure, axes = plt.subplots(
        1, len(panels), figsize=(15, 3.2), sharey=True, layout="constrained"
    )
    for axis, (name, audio) in zip(axes, panels.items(), strict=True):
        axis.imshow(
            levels_db(audio).T,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=loudest - RANGE_DB,
            vmax=loudest,
            extent=(0, audio.duration_seconds, 0, audio.sample_rate_hz / 2000),
        )
        axis.set(title=name, xlabel="seconds", ylim=(0, MAX_HZ / 1000))
        axis.set_xlim(START_SECONDS, START_SECONDS + DURATION_SECONDS)
    axes[0].set_ylabel("kHz")
    figure.savefig(arguments.output, dpi=80)


if __name__ == "__main__":
    main()
