"""The authors' routines around the same networks: what their inference costs.

Their code is not installed: the networks are ours, with the authors' arithmetic and none of our
engines' preparations, in PyTorch as it comes (or their ONNX graph), cut and batched the way they
do. Results of a routine and of a `Separator` with as many windows agree but for the context that
the routine leaves out (see `OfficialRoutine`).

Source: the authors' public code of LaSAFT, LightSAFT, LASAFT-Net-v2 and KUIELab-MDX-Net.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.peers import N_THREADS, Separate

__all__ = ["lasaft", "lasaft_v2", "lightsaft_mdx", "mdx_net"]

_CHUNKS_AT_ONCE_V2 = 16  # their batch of 64 windows holds four targets
_ITEMS_AT_ONCE_LIGHTSAFT = 32
_MDX_ORDER = ("bass", "drums", "other", "vocals")


class _Eager:
    """A network in PyTorch, one pass for each group of targets, each with its own STFT."""

    def __init__(self, folder: Path) -> None:
        import torch

        from stemlight.weights.checkpoints import load_model

        torch.set_num_threads(N_THREADS)
        model, card = load_model(folder)
        config = card.model_config()
        self.chunk = config.chunk
        self.sources = range(len(config.sources))
        self.torch = torch
        self.model = model.eval()

    def __call__(self, windows: np.ndarray, sources: Sequence[int]) -> np.ndarray:
        torch = self.torch
        with torch.no_grad():
            estimates = self.model(torch.from_numpy(windows), torch.tensor(list(sources)))
        stems: np.ndarray = estimates.numpy()
        return stems

    def routine(
        self,
        mixture: np.ndarray,
        sources: Sequence[int],
        name: str,
        *,
        overlap_ratio: float = 0.0,
        batch_size: int = 1,
    ) -> np.ndarray:
        from stemlight.separation.official_routines import separate_officially

        return separate_officially(
            lambda windows: self(windows, sources),
            mixture,
            routine=name,
            chunk_samples=self.chunk.chunk_samples,
            trim_samples=self.chunk.trim_samples,
            overlap_ratio=overlap_ratio,
            batch_size=batch_size,
        )


def lasaft(folder: Path, *, overlap_ratio: float) -> Separate:
    """Return LaSAFT's `separate_track`, called for one target after another, one window a time."""
    network = _Eager(folder)

    def separate(mixture: np.ndarray) -> object:
        return [
            network.routine(mixture, [source], "lasaft", overlap_ratio=overlap_ratio)
            for source in network.sources
        ]

    return separate


def lasaft_v2(folder: Path, *, overlap_ratio: float) -> Separate:
    """Return LASAFT-Net-v2's `separate_tracks`, whose encoder runs once for all targets."""
    network = _Eager(folder)

    def separate(mixture: np.ndarray) -> object:
        return network.routine(
            mixture,
            network.sources,
            "lasaft",
            overlap_ratio=overlap_ratio,
            batch_size=_CHUNKS_AT_ONCE_V2,
        )

    return separate


def lightsaft_mdx(folder: Path) -> Separate:
    """Return LightSAFT's predictor: pairs of a window and a target, 32 of them in a batch."""
    network = _Eager(folder)
    n_sources = len(network.sources)

    def run(windows: np.ndarray) -> np.ndarray:
        # Each window stands in the batch once for each target, and is transformed as often.
        return _pairs(network, windows)

    def separate(mixture: np.ndarray) -> object:
        from stemlight.separation.official_routines import separate_officially

        return separate_officially(
            run,
            mixture,
            routine="lightsaft-mdx",
            chunk_samples=network.chunk.chunk_samples,
            trim_samples=network.chunk.trim_samples,
            batch_size=_ITEMS_AT_ONCE_LIGHTSAFT // n_sources,
        )

    return separate


def _pairs(network: _Eager, windows: np.ndarray) -> np.ndarray:
    torch, model = network.torch, network.model
    n_sources = len(network.sources)
    repeated = torch.from_numpy(np.repeat(windows, n_sources, axis=0))
    targets = torch.arange(n_sources).repeat(len(windows))
    with torch.no_grad():
        planes = model.stft.analyse(repeated)[0]
        estimates = model.network.forward_pairs(planes, targets)
        samples = model.stft.inverse(estimates, windows.shape[-1], None)
    stems: np.ndarray = samples.numpy()
    return stems.reshape(len(windows), n_sources, *windows.shape[1:])


def mdx_net(folder: Path) -> Separate:
    """Return KUIELab-MDX-Net's `demix_base`: of each source, all windows in one batch."""
    import torch

    from stemlight.separation.sessions import open_session
    from stemlight.stft_torch import Stft
    from stemlight.weights.cards import GRAPH_FILE, ModelCard, read_card

    torch.set_num_threads(N_THREADS)
    networks = []
    for source in _MDX_ORDER:
        card = read_card(folder / source)
        assert isinstance(card, ModelCard)
        config = card.model_config()
        stft = Stft(
            config.stft.n_fft,
            config.stft.hop_samples,
            packing=config.stft.packing,
            kept_bins=config.stft.kept_bins,
        )
        session = open_session(folder / source / GRAPH_FILE, n_threads=N_THREADS)
        networks.append((stft, session, config.chunk))
    mixer = torch.nn.Linear(2 * len(_MDX_ORDER) + 2, 2 * len(_MDX_ORDER), bias=False)

    def separate(mixture: np.ndarray) -> object:
        from stemlight.separation.official_routines import separate_officially

        estimates = []
        for stft, session, chunk in networks:

            def run(
                windows: np.ndarray, stft: Stft = stft, session: object = session
            ) -> np.ndarray:
                planes = stft.analyse(torch.from_numpy(windows))[0].numpy()
                (found,) = session.run(None, {"planes": planes})  # type: ignore[attr-defined]
                inverse = stft.inverse(torch.from_numpy(found), windows.shape[-1], None)
                samples: np.ndarray = inverse.numpy()
                return samples[:, np.newaxis]

            estimates.append(
                separate_officially(
                    run,
                    mixture,
                    routine="mdx-net",
                    chunk_samples=chunk.chunk_samples,
                    trim_samples=chunk.trim_samples,
                    batch_size=max(1, mixture.shape[1]),
                )[0]
            )
        signals = np.concatenate([*estimates, mixture])
        with torch.no_grad():
            return mixer(torch.from_numpy(signals).T)

    return separate
