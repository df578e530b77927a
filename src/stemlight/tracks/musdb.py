"""The splits of MUSDB18 and MUSDB18-HQ, as the package `musdb` makes them.

`train/` and `test/` lie below one folder. The fourteen validation tracks are part of `train/`; the
split `train` is the rest of it.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

from stemlight.audio.wording import shown
from stemlight.errors import InputError, UsageError, did_you_mean
from stemlight.tracks.files import TrackFiles
from stemlight.tracks.finding import find_tracks, raise_refused

__all__ = ["SPLITS", "VALIDATION_TRACKS", "Split", "find_split"]

Split = Literal["train", "valid", "test"]
SPLITS: tuple[str, ...] = typing.get_args(Split)

VALIDATION_TRACKS = (
    "ANiMAL - Rockshow",
    "Actions - One Minute Smile",
    "Alexander Ross - Goodbye Bolero",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Fergessen - Nos Palpitants",
    "James May - On The Line",
    "Johnny Lokke - Promises & Lies",
    "Leaf - Summerghost",
    "Meaxic - Take A Step",
    "Patrick Talbot - A Reason To Leave",
    "Skelpolu - Human Mistakes",
    "Traffic Experiment - Sirens",
    "Triviul - Angelsaint",
    "Young Griffo - Pennies",
)
"""Those that everybody validates on. Nothing may be trained on them."""


def find_split(
    root: Path,
    split: Split,
    *,
    sources: Iterable[str],
    renamed: Mapping[str, str] | None = None,
    on_refused: Callable[[InputError], None] = raise_refused,
) -> list[TrackFiles]:
    """Find the tracks of one split below `root`, the folder that holds `train` and `test`.

    All else is as of `find_tracks`. A data set that has only some of the validation tracks, as its
    excerpts do, is as good.

    Raises:
        UsageError: there is no such split.
        InputError: a folder is missing, or holds no track of the split.
    """
    if split not in SPLITS:
        raise UsageError(
            f"there is no split {split!r}{did_you_mean(split, SPLITS)}; allowed are "
            f"{', '.join(SPLITS)}"
        )
    half = "test" if split == "test" else "train"
    folder = root / half
    if not folder.is_dir():
        raise InputError(
            f"{shown(root)} has no folder {half!r}, where the split {split!r} is; give the folder "
            "that holds train and test, or no split to take all tracks"
        )
    tracks = find_tracks(folder, sources=sources, renamed=renamed, on_refused=on_refused)
    if half == "test":
        return tracks
    chosen = [t for t in tracks if (t.name in VALIDATION_TRACKS) == (split == "valid")]
    if not chosen:
        what = "none" if split == "valid" else "nothing but some"
        raise InputError(
            f"{shown(folder)} holds {what} of the {len(VALIDATION_TRACKS)} validation tracks of "
            f"MUSDB18, so its split {split!r} is empty; give no split to take all tracks"
        )
    return chosen
