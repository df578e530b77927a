"""Recipes of mixers: trained separators, one for each source, and what learns to mix them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stemlight.configs import from_mapping
from stemlight.errors import ConfigError, InputError, UsageError, WeightsError
from stemlight.evaluation import Scores, score_track
from stemlight.models.folding import prepare_for_inference
from stemlight.models.mixer import MixerConfig
from stemlight.models.presets import resolve_preset
from stemlight.models.spectrogram import SpectrogramModel
from stemlight.separation import Bag, Ensemble, MixerWeights, Separator, save_mixer
from stemlight.separation.torch_engine import TorchEngine, choose_device
from stemlight.training.callbacks import LAST_CHECKPOINT
from stemlight.training.data import FoundTrack, RecipeTracks
from stemlight.training.mixer import MixerTraining, Track, train_mixer
from stemlight.training.recipe import DataConfig, refuse_drawing
from stemlight.weights.cards import CARD_FILE, ModelCard, TrainingData
from stemlight.weights.catalogue import find_model
from stemlight.weights.checkpoints import (
    is_training_checkpoint,
    load_model,
    load_trained,
    save_model,
)
from stemlight.weights.systems import EnsembleFacts, complete_folder, seal_ensemble

__all__ = ["MixerRecipe", "mixer_recipe", "train_mixer_recipe"]

_NOT_STATED = "not stated"

_Trained = tuple[SpectrogramModel, ModelCard]


@dataclass(frozen=True, kw_only=True)
class MixerRecipe:
    """A linear mixer over separators that stay as they are; the result is a system of all."""

    name: str
    separators: dict[str, str]
    """For each source its separator: a model's name or folder, or the folder or a checkpoint of a
    run of `stemlight train`, of whose checkpoints the best counts."""
    data: DataConfig
    training: MixerTraining = field(default_factory=MixerTraining)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """What separators run on."""
    output: str = "runs"

    def __post_init__(self) -> None:
        if len(self.separators) < 2:
            raise ConfigError(
                f"separators needs at least two sources, not {len(self.separators)}: there is "
                "nothing to mix"
            )
        refuse_drawing(self.data.train, "a mixer learns from all tracks alike")


def mixer_recipe(fields: Mapping[str, Any]) -> MixerRecipe:
    """Make a recipe of the fields of a file.

    Raises:
        ConfigError: a field is unknown, missing or wrong.
    """
    return from_mapping(MixerRecipe, fields)


def train_mixer_recipe(
    recipe: MixerRecipe, *, report: Callable[[str], None] = lambda line: None
) -> Path:
    """Train the mixer and return `<output>/<name>`, a folder that is the model of all together.

    Each track is separated once; estimates lie in `data.cache` meanwhile, 3 MB for each second of
    four sources. `report` is told of each track and, where there are validation tracks, of the SDR
    without and with the mixer.

    Raises:
        ConfigError: there is a model in the folder already.
        UsageError: a separator is not there, or gives other sources.
        WeightsError: its weights are damaged or missing.
        InputError: tracks are missing, or one has not all sources.
    """
    folder = Path(recipe.output) / recipe.name
    if (folder / CARD_FILE).exists():
        raise ConfigError(f"{folder} holds a model already; remove it, or choose another name")
    trained = {
        source: _trained(source, origin, recipe) for source, origin in recipe.separators.items()
    }
    sources, rate = tuple(trained), next(iter(trained.values()))[1].sample_rate_hz
    found = RecipeTracks.find(recipe.data, sources, rate)
    for track in (*found.train, *found.validation):
        _refuse_part(track, sources)
    with complete_folder(folder) as partial:
        for source, (model, card) in trained.items():
            save_model(model, card, partial / source)
        separate = _separate_all(trained, recipe.device)
        cache = Path(recipe.data.cache)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="estimates-", dir=cache) as estimates:
            weights = train_mixer(
                _read(found.train, sources, rate, report),
                separate,
                MixerConfig(n_estimates=len(sources), n_sources=len(sources)),
                training=recipe.training,
                sources=sources,
                cache=Path(estimates),
            )
        save_mixer(weights, partial)
        seal_ensemble(partial, sources, _facts(recipe, trained))
        if found.validation:
            report(_told(weights, separate, _read(found.validation, sources, rate, report)))
    return folder


# The separators


def _trained(source: str, origin: str, recipe: MixerRecipe) -> _Trained:
    """Load a separator with its weights; there is no other."""
    try:
        model, card = _load(origin, f"{recipe.name}-{source}")
    except UsageError as error:
        raise UsageError(
            f"the separator of {source}, {origin!r}, is not here: {error}; train it first, or name "
            f"another with --set separators.{source}=MODEL"
        ) from error
    if card.sources != (source,):
        raise UsageError(
            f"the separator of {source}, {origin!r}, gives {', '.join(card.sources)}; a mixer "
            "needs one for each source alone"
        )
    return model, card


def _load(origin: str, name: str) -> _Trained:
    checkpoint = _checkpoint(Path(origin))
    if checkpoint is None:
        return load_model(find_model(origin))
    model, progress = load_trained(checkpoint)
    facts = progress["facts"]
    config = resolve_preset(facts["preset"], facts["arguments"])
    card = ModelCard(
        name=name,
        summary=f"The preset {facts['preset']}, trained for {progress['step']} steps.",
        preset=facts["preset"],
        arguments=facts["arguments"],
        licence=_NOT_STATED,
        band_limit_hz=dict.fromkeys(config.sources, round(config.band_limit_hz, 1)),
        training_data=(),
    )
    return model, card


def _checkpoint(path: Path) -> Path | None:
    """Return the checkpoint that a path means: itself, or the best of a run; None: a model."""
    if path.is_file():
        return path if is_training_checkpoint(path) else None
    if not path.is_dir() or (path / CARD_FILE).exists():
        return None
    best = sorted(path.glob("best*.ckpt"))
    if len(best) > 1:
        raise WeightsError(f"{path} keeps {len(best)} checkpoints; name one, such as {best[0]}")
    last = path / LAST_CHECKPOINT
    return best[0] if best else last if last.is_file() else None


def _separate_all(trained: Mapping[str, _Trained], device: str) -> Separator:
    """Return what gives the estimates of all."""
    chosen = choose_device(device)
    members = {}
    for source, (model, card) in trained.items():
        config = card.model_config()
        model.network = prepare_for_inference(model.network)
        engine = TorchEngine(
            model.to(chosen), sources=config.sources, sample_rate_hz=config.sample_rate_hz
        )
        members[source] = Separator(engine, config.chunk)
    return Ensemble(members, Bag())


# The tracks


def _refuse_part(found: FoundTrack, sources: Sequence[str]) -> None:
    missing = [source for source in sources if source not in found.track.stems]
    if missing:
        raise InputError(
            f"the track {found.name!r} has no {missing[0]}; a mixer learns from tracks that have "
            "all sources: exclude it"
        )


def _read(
    tracks: Sequence[FoundTrack],
    sources: Sequence[str],
    sample_rate_hz: int,
    report: Callable[[str], None],
) -> Iterator[Track]:
    for number, track in enumerate(tracks, start=1):
        report(f"[{number}/{len(tracks)}] separating {track.name}")
        yield track.read(sources, sample_rate_hz)


# What comes of it


def _facts(recipe: MixerRecipe, trained: Mapping[str, _Trained]) -> EnsembleFacts:
    cards = [card for _, card in trained.values()]
    own = [TrainingData(name=name, terms=_NOT_STATED) for name in recipe.data.training_names()]
    return EnsembleFacts(
        name=recipe.name,
        summary=f"A linear mixer over {', '.join(card.name for card in cards)}.",
        licence="; ".join(dict.fromkeys(card.licence for card in cards)),
        training_data=tuple(dict.fromkeys([*(d for c in cards for d in c.training_data), *own])),
    )


def _told(weights: MixerWeights, separate: Separator, tracks: Iterator[Track]) -> str:
    """Say what the mixer is worth on these tracks."""
    without, mixed = [], []
    for mixture, references in tracks:
        estimates = separate(mixture)
        stems = weights.mix(np.stack([estimates[name] for name in weights.estimates]), mixture)
        named = dict(zip(weights.sources, stems, strict=True))
        without.append(score_track("", references, estimates))
        mixed.append(score_track("", references, named))
    before_db, after_db = (Scores(tracks=each).average_sdr_db for each in (without, mixed))
    return f"validation SDR {before_db:.2f} dB without the mixer, {after_db:.2f} dB with it"
