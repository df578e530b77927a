"""Songs, what lies in a folder, and the command as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 44100
STEMS = ("vocals", "drums", "bass", "other")

TORCH_GONE = (
    "import sys\n"
    "for name in ('torch', 'lightning', 'einops', 'onnx', 'yaml', 'tensorboard'):\n"
    "    sys.modules[name] = None\n"
    "from stemlight.cli import main\n"
    "main()"
)


def noise(n_samples: int = RATE_HZ, n_channels: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n_samples, n_channels))


def write_song(path: Path, samples: np.ndarray | None = None, rate_hz: int = RATE_HZ) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    subtype = "PCM_24" if path.suffix in (".wav", ".flac") else None
    soundfile.write(path, noise() if samples is None else samples, rate_hz, subtype=subtype)
    return path


def tree(folder: Path) -> list[str]:
    """All files below a folder, hidden ones, too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def stems_of(name: str, format: str = "wav") -> list[str]:
    return sorted(f"{name}/{stem}.{format}" for stem in STEMS)


def stemlight(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stemlight", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
