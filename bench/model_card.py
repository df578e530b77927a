"""Measures every number of a model's card anew and says where the card differs.

    python -m bench.model_card --tracks MUSDB18_7S/train [MODEL] [--write]

Parameters and band limits come from the network, hashes and sizes from the files, scores from the
fourteen validation tracks of MUSDB18, separated by the default engine. With --write the scores are
put into the card; the files must be those that it names. The exit code is 1 where the card differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import stemlight
from stemlight.errors import StemlightError
from stemlight.evaluation import evaluate_tracks
from stemlight.models.size import network_size
from stemlight.tracks import find_tracks
from stemlight.weights.cards import ModelCard, Score, file_facts, read_card, write_card
from stemlight.weights.catalogue import DEFAULT_MODEL, find_model

NAMES = Path("recipes/musdb18-validation.txt")
TOLERANCE_DB = 0.005  # of scores, between machines


def measured_score(model: str, tracks: Path) -> Score:
    """Separate and score the validation tracks."""
    separator = stemlight.load(model)
    names = NAMES.read_text(encoding="utf-8").splitlines()
    found = [t for t in find_tracks(tracks, sources=separator.sources) if t.name in names]
    if len(found) != len(names):
        raise SystemExit(f"{tracks} has {len(found)} of the {len(names)} validation tracks")
    rate_hz = separator.sample_rate_hz
    scores = evaluate_tracks(
        separator, ((track.name, *track.read(separator.sources, rate_hz)) for track in found)
    )
    return Score(
        metric="SDR (Music Demixing Challenge 2021)",
        aggregation="mean over tracks, then over stems",
        data="MUSDB18, 7-second excerpts of the 14 standard validation tracks, none trained on",
        command="stemlight evaluate --data MUSDB18_7S --split valid",
        average_db=round(scores.average_sdr_db, 3),
        stems_db={stem: round(value, 3) for stem, value in scores.mean_sdr_db.items()},
    )


def measured(card: ModelCard, folder: Path, score: Score) -> ModelCard:
    """Return the card with all numbers as they are found to be."""
    config = card.model_config()
    return dataclasses.replace(
        card,
        n_parameters=network_size(config).n_parameters,
        band_limit_hz=dict.fromkeys(config.sources, config.band_limit_hz),
        files={name: file_facts(folder / name) for name in card.files},
        scores=(score,),
    )


def differences(stated: ModelCard, found: ModelCard) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of each number that differs, as it is stated and as it is found."""
    for name in ("n_parameters", "band_limit_hz", "files"):
        if getattr(stated, name) != getattr(found, name):
            yield name, getattr(stated, name), getattr(found, name)
    (new,) = found.scores
    old = next((score for score in stated.scores if score.data == new.data), None)
    if old is None:
        yield "scores", None, new.stems_db
        return
    pairs: list[tuple[str, float | None, float]] = [("average", old.average_db, new.average_db)]
    pairs += [(stem, old.stems_db.get(stem), value) for stem, value in new.stems_db.items()]
    for name, before, now in pairs:
        if before is None or abs(before - now) > TOLERANCE_DB:
            yield f"SDR of {name}", before, now


def main() -> int:
    """Measure, compare, and write if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL)
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    try:
        folder = find_model(arguments.model)
        stated = read_card(folder)
        if not isinstance(stated, ModelCard):
            raise SystemExit(f"{arguments.model} is a system; give one of its models")
        score = measured_score(arguments.model, arguments.tracks)
        found = measured(stated, folder, score)
    except StemlightError as error:
        raise SystemExit(str(error)) from error
    print(f"{found.n_parameters} parameters")
    for name, facts in found.files.items():
        print(f"{name}: {facts.n_bytes} bytes, sha256 {facts.sha256}")
    for stem, value in score.stems_db.items():
        print(f"SDR of {stem}: {value:.3f} dB")
    print(f"SDR, average: {score.average_db:.3f} dB")
    differing = list(differences(stated, found))
    for name, before, now in differing:
        print(f"the card differs in {name}: {before} there, {now} here", file=sys.stderr)
    if arguments.write:
        write_card(dataclasses.replace(stated, scores=(score,)), folder)
        return 0
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
