"""An engine that separates nothing: for the load of a server, and for what happens around jobs.

Every stem is an equal part of the song. A song of full scale crashes the process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stemlight.audio import AudioWriter, open_audio
from stemlight.errors import CancelledError
from stemlight.serve.engine import Separated, Tell
from stemlight.serve.settings import ServeSettings

__all__ = ["FakeEngine", "open_engine"]

_STEMS = ("vocals", "drums", "bass", "other")
_STEP_SECONDS = 0.02


class FakeEngine:
    """Writes an equal part of the song into each stem."""

    def separate(
        self, song: Path, folder: Path, options: Mapping[str, Any], tell: Tell
    ) -> Separated:
        """Write the stems; STEMLIGHT_FAKE_SECONDS is how long that takes."""
        seconds = float(os.environ.get("STEMLIGHT_FAKE_SECONDS", "0"))
        folder.mkdir(parents=True, exist_ok=True)
        with open_audio(song) as reader:
            info = reader.info
            mixture = np.concatenate(list(reader.blocks()), axis=1)
        if float(np.abs(mixture).max()) > 0.999:  # songs of full scale
            os.abort()
        started = time.monotonic()
        while (elapsed := time.monotonic() - started) < seconds:
            if tell(elapsed / seconds, seconds - elapsed) is False:
                raise CancelledError("the job was cancelled")
            time.sleep(_STEP_SECONDS)
        names = [*(options["stems"] or _STEMS)]
        if options["complement"] is not None:
            names.append(options["complement"])
        files = {name: folder / f"{name}.{options['format']}" for name in names}
        for path in files.values():
            with AudioWriter(
                path,
                sample_rate_hz=info.sample_rate_hz,
                n_channels=info.n_channels,
                format=options["format"],
                bit_depth=options["bit_depth"],
            ) as writer:
                writer.write(mixture / np.float32(len(names)))
        tell(1.0, 0.0)
        return Separated(
            stems=files,
            duration_seconds=mixture.shape[1] / info.sample_rate_hz,
            sample_rate_hz=info.sample_rate_hz,
            n_channels=info.n_channels,
        )


def open_engine(settings: ServeSettings, device: str) -> FakeEngine:
    """Return the engine that `ServeSettings.engine` names."""
    return FakeEngine()
