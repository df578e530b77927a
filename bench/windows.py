"""What shorter windows cost: latency, work and SDR of the embedded model.

    python -m bench.windows --tracks MUSDB18_7S/train --only recipes/musdb18-validation.txt

Latency is how much later than its song a stem comes at most; work is against windows without any
context or overlap.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stemlight.chunking import ChunkPlan
from stemlight.evaluation import evaluate_tracks
from stemlight.separation import Separator
from stemlight.separation.onnx_engine import OnnxEngine
from stemlight.stft import Stft
from stemlight.tracks import find_tracks
from stemlight.weights.cards import GRAPH_FILE, ModelCard, read_card, verified_file
from stemlight.weights.catalogue import DEFAULT_MODEL, find_model

PLANS = (  # frames, trim and overlap in samples
    (256, 8192, 8192),
    (256, 4096, 8192),
    (256, 4096, 4096),
    (256, 2048, 4096),
    (256, 2048, 2048),
    (128, 8192, 8192),
    (128, 8192, 4096),
    (128, 4096, 4096),
    (64, 8192, 4096),
    (64, 4096, 4096),
    (32, 8192, 2048),
    (32, 4096, 2048),
    (16, 4096, 1024),
)


def main() -> None:
    """Score every plan and print a row for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--only", type=Path, required=True)
    arguments = parser.parse_args()
    folder = find_model(DEFAULT_MODEL)
    card = read_card(folder)
    assert isinstance(card, ModelCard)
    config = card.model_config()
    stft, rate_hz = config.stft, config.sample_rate_hz
    engine = OnnxEngine(
        verified_file(folder, card, GRAPH_FILE),
        stft=Stft(stft.n_fft, stft.hop_samples, packing=stft.packing, kept_bins=stft.kept_bins),
        sources=config.sources,
        sample_rate_hz=rate_hz,
    )
    names = set(arguments.only.read_text(encoding="utf-8").splitlines())
    tracks = find_tracks(arguments.tracks, sources=engine.sources)
    chosen = [(t.name, *t.read(engine.sources, rate_hz)) for t in tracks if t.name in names]
    print("frames   trim  overlap  latency   work  average dB  " + "  ".join(engine.sources))
    for n_frames, trim_samples, overlap_samples in PLANS:
        plan = ChunkPlan(
            chunk_samples=stft.window_samples(n_frames),
            trim_samples=trim_samples,
            overlap_samples=overlap_samples,
        )
        scores = evaluate_tracks(Separator(engine, plan), chosen)
        latency_seconds = (plan.kept_samples + trim_samples) / rate_hz
        stems = "  ".join(f"{scores.mean_sdr_db[name]:.2f}" for name in engine.sources)
        print(
            f"{n_frames:6d} {trim_samples:6d} {overlap_samples:8d} {latency_seconds:6.2f} s "
            f"{plan.chunk_samples / plan.hop_samples:6.2f} {scores.average_sdr_db:11.3f}  {stems}",
            flush=True,
        )


if __name__ == "__main__":
    main()
