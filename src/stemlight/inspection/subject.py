"""What is looked into: a model with as much of it as is here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stemlight.errors import UsageError, WeightsError
from stemlight.models.config import ModelConfig
from stemlight.models.presets import resolve_preset
from stemlight.models.spectrogram import SpectrogramModel
from stemlight.models.unet import UNet
from stemlight.weights.cards import WEIGHTS_FILE, EnsembleCard, read_card
from stemlight.weights.catalogue import find_model
from stemlight.weights.checkpoints import is_training_checkpoint, load_model, load_trained

__all__ = ["Subject", "open_subject"]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model by its name, with config and weights where they are known.

    A system of several networks has neither; a model that is a graph alone has no weights here.
    """

    name: str
    sources: tuple[str, ...]
    sample_rate_hz: int
    config: ModelConfig | None = None
    model: SpectrogramModel | None = None

    @classmethod
    def of_model(cls, name: str, config: ModelConfig, model: SpectrogramModel | None) -> Subject:
        """Take a network that is in memory; it is looked into in evaluation mode."""
        return cls(
            name=name,
            sources=config.sources,
            sample_rate_hz=config.sample_rate_hz,
            config=config,
            model=None if model is None else model.eval(),
        )

    def known_config(self) -> ModelConfig:
        """Return the config.

        Raises:
            UsageError: there is none.
        """
        if self.config is None:
            raise UsageError(
                f"{self.name!r} is no single network of ours; inspect the members of a system one "
                "by one"
            )
        return self.config

    def known_model(self) -> SpectrogramModel:
        """Return the model with its weights.

        Raises:
            WeightsError: its weights are in a graph alone.
            UsageError: it is no single network.
        """
        self.known_config()
        if self.model is None:
            raise WeightsError(
                f"{self.name!r} has its weights in a graph alone, into which nothing looks; what "
                "needs no weights can be drawn"
            )
        return self.model

    def known_network(self) -> UNet:
        """Return the network inside of the model; errors are those of `known_model`."""
        return self.known_model().network


def open_subject(model: str | Path) -> Subject:
    """Open a model by name, folder, `hf://` address, file of others, or checkpoint of `train`.

    Raises:
        UsageError: there is no such model.
        WeightsError: its files are missing or damaged, or a checkpoint does not tell enough.
    """
    path = Path(model)
    if path.is_file() and path.suffix == ".ckpt" and is_training_checkpoint(path):
        trained, told = load_trained(path)
        facts = told["facts"]
        config = resolve_preset(facts["preset"], facts["arguments"])
        return Subject.of_model(f"{path.stem}, step {told['step']}", config, trained)
    folder = find_model(model)
    card = read_card(folder)
    if isinstance(card, EnsembleCard):
        return Subject(name=card.name, sources=card.sources, sample_rate_hz=card.sample_rate_hz)
    has_weights = WEIGHTS_FILE in card.files
    return Subject.of_model(
        card.name, card.model_config(), load_model(folder)[0] if has_weights else None
    )
