"""Resident memory of one process that separates many songs, as a service does.

    python -m bench.longevity [--songs 200] [--seconds 5]

Songs are cut from the example at different places and written as WAV files; every one is separated
into a folder that is removed again. Prints the resident memory after the tenth song and at the end.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import soundfile

import stemlight
from bench.material import EXAMPLE
from stemlight.separation.songs import separate_file

N_WARM_UP = 10
MIB = 2**20


def resident_bytes() -> int:
    """Return the resident memory of this process, as Linux counts it."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096


def main() -> None:
    """Separate song after song and print what the process holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=5)
    arguments = parser.parse_args()
    separator = stemlight.load(n_threads=2)
    audio = stemlight.read_audio(EXAMPLE)
    n_samples = arguments.seconds * audio.sample_rate_hz
    after_warm_up = 0
    for number in range(1, arguments.songs + 1):
        first = number * 4_001 % (audio.n_samples - n_samples)
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "song.wav"
            piece = audio.samples[:, first : first + n_samples]
            soundfile.write(path, np.ascontiguousarray(piece.T), audio.sample_rate_hz)
            separate_file(separator, path, Path(name) / "stems")
            shutil.rmtree(Path(name) / "stems")
        if number == N_WARM_UP:
            after_warm_up = resident_bytes()
        if number % 20 == 0 or number == N_WARM_UP:
            print(f"after {number:3d} songs: {resident_bytes() / MIB:6.1f} MiB", flush=True)
    growth = resident_bytes() - after_warm_up
    print(f"growth since the tenth song: {growth / MIB:.1f} MiB")


if __name__ == "__main__":
    main()
