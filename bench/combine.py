"""What combining separators gains: a blend of two for the vocals, and learned mixers.

    python -m bench.combine --tracks MUSDB18_7S/train --only recipes/musdb18-validation.txt \\
        [--vocals-model cac_tdc_17_vocals_top3.pt]

Mixers are learned on one half of the tracks and scored on the other, then the other way round, so
every track is scored by a mixer that never heard it. Prints mean SDR in dB.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import stemlight
from stemlight.evaluation import Scores, score_track
from stemlight.models.mixer import MixerConfig
from stemlight.separation import MixerWeights
from stemlight.tracks import find_tracks
from stemlight.training.mixer import MixerTraining, fit_linear_mixer, train_mixer

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
Separated = tuple[str, np.ndarray, Mapping[str, np.ndarray], Mapping[str, np.ndarray]]


def main() -> None:
    """Separate once, combine in several ways, score and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--only", type=Path, required=True)
    parser.add_argument("--model", default="stemlight")
    parser.add_argument("--vocals-model", default=None)
    arguments = parser.parse_args()
    separator = stemlight.load(arguments.model)
    second = stemlight.load(arguments.vocals_model) if arguments.vocals_model else None
    names = arguments.only.read_text(encoding="utf-8").splitlines()
    separated: list[Separated] = []
    for track in find_tracks(arguments.tracks, sources=separator.sources):
        if track.name in names:
            mixture, references = track.read(separator.sources, separator.sample_rate_hz)
            estimates = separator(mixture)
            if second is not None:
                estimates["second/vocals"] = second(mixture)["vocals"]
            separated.append((track.name, mixture, references, estimates))
    print(f"{'estimates':30s}" + "".join(f"{name:>9s}" for name in (*separator.sources, "mean")))
    report("as they are", separated, dict)
    if second is not None:
        for share in SHARES:
            report(f"vocals: {1 - share:.2f} + {share:.2f} of second", separated, blended(share))
    report_halves("linear mixer", separated, lambda half: fit_linear_mixer(*material(half)))
    for layers, kernel in ((2, 9), (3, 1)):
        n_estimates = len(separated[0][3])
        config = MixerConfig(n_estimates=n_estimates, n_layers=layers, kernel_samples=kernel)
        training = MixerTraining(n_epochs=20, chunk_samples=131_072)

        def learn(
            half: Sequence[Separated], c: MixerConfig = config, t: MixerTraining = training
        ) -> MixerWeights:
            tracks, separate = material(half)
            return train_mixer(tracks, separate, c, training=t)

        report_halves(f"{layers} layers, kernel {kernel}", separated, learn)


def blended(share: float):  # type: ignore[no-untyped-def]
    """Return what blends the two estimates of the vocals."""

    def combine(estimates: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        vocals = (1 - share) * estimates["vocals"] + share * estimates["second/vocals"]
        return {**estimates, "vocals": vocals}

    return combine


def material(half: Sequence[Separated]):  # type: ignore[no-untyped-def]
    """Return tracks, and a separator that looks the estimates up."""
    known = {mixture.tobytes(): estimates for _, mixture, _, estimates in half}
    return [(m, references) for _, m, references, _ in half], lambda m: known[m.tobytes()]


def report_halves(title: str, separated: Sequence[Separated], learn) -> None:  # type: ignore[no-untyped-def]
    """Score each half with the mixer of the other."""
    halves = separated[::2], separated[1::2]
    learned: list[MixerWeights] = [learn(half) for half in reversed(halves)]
    scores = []
    for half, weights in zip(halves, learned, strict=True):
        for name, mixture, references, estimates in half:
            signals = np.stack([estimates[key] for key in weights.estimates])
            halo = weights.halo_samples
            padding = ((0, 0), (halo, halo))
            mixed = weights.mix(np.pad(signals, ((0, 0), *padding)), np.pad(mixture, padding))
            scores.append(
                score_track(name, references, dict(zip(weights.sources, mixed, strict=True)))
            )
    show(title, Scores(tracks=scores))


def report(title: str, separated: Sequence[Separated], combine) -> None:  # type: ignore[no-untyped-def]
    """Score all tracks."""
    show(
        title,
        Scores(
            tracks=[
                score_track(name, references, {k: combine(estimates)[k] for k in references})
                for name, _, references, estimates in separated
            ]
        ),
    )


def show(title: str, scores: Scores) -> None:
    """Print one row."""
    values = [*scores.mean_sdr_db.values(), scores.average_sdr_db]
    print(f"{title:30s}" + "".join(f"{value:9.3f}" for value in values), flush=True)


if __name__ == "__main__":
    main()
