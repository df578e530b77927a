"""All pictures by name, what each of them needs, and who draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from stemlight.errors import UsageError, did_you_mean
from stemlight.inspection.architecture_picture import architecture_figure
from stemlight.inspection.attention_pictures import (
    attention_figure,
    attention_over_time_figure,
)
from stemlight.inspection.condition_pictures import (
    embedding_figure,
    gates_figure,
    interpolation_figure,
    modulation_figure,
)
from stemlight.inspection.drawing import Picture
from stemlight.inspection.field_picture import receptive_field_figure
from stemlight.inspection.observing import Observation, listens
from stemlight.inspection.sound_pictures import errors_figure, spectrograms_figure
from stemlight.inspection.subject import Subject
from stemlight.inspection.weight_pictures import (
    harmonics_figure,
    latents_figure,
    targets_figure,
    tdf_figure,
)
from stemlight.models.config import UNetConfig
from stemlight.shapes import Float32

__all__ = ["PICTURES", "Material", "draw", "what_is_missing"]


@dataclass(frozen=True, kw_only=True)
class Material:
    """A model and what is known beside it: a song, its true stems, an interpolation."""

    subject: Subject
    observation: Observation | None = None
    references: Mapping[str, Float32[np.ndarray, "2 samples"]] = field(default_factory=dict)
    steps: Mapping[str, Float32[np.ndarray, "2 samples"]] = field(default_factory=dict)

    @property
    def network(self) -> UNetConfig:
        """The network's config."""
        return self.subject.known_config().network

    @property
    def song(self) -> Observation:
        """The observed song, which must be there."""
        assert self.observation is not None, "drawn without asking what is missing"
        return self.observation


_Draw = Callable[[Material], Picture]
_Missing = Callable[[Material], str | None]


@dataclass(frozen=True, kw_only=True)
class _Kind:
    draw: _Draw
    missing: _Missing
    needs_config: bool = True
    needs_weights: bool = True


def _nothing(material: Material) -> None:
    return None


def _of_song(material: Material) -> str | None:
    return None if material.observation is not None else "needs a song"


def _of_references(material: Material) -> str | None:
    return _of_song(material) or (None if material.references else "needs the true stems")


def _of_latents(material: Material) -> str | None:
    if not material.network.has_latents:
        return "the model has no latent sources"
    if listens(material.subject) and material.observation is None:
        return "its attention listens, which needs a song"
    return None


def _of_listening(material: Material) -> str | None:
    if not material.network.has_latents:
        return "the model has no latent sources"
    if not listens(material.subject):
        return "its attention does not listen: it is the same in every frame"
    return _of_song(material)


def _of_tdf(material: Material) -> str | None:
    network = material.network
    if network.transformation == "none":
        return "no block transforms frequencies"
    if network.has_latents and network.latent_blocks == "all":
        return "all of its blocks have latent sources, none a TDF of its own"
    return None


def _of_harmonics(material: Material) -> str | None:
    if material.network.transformation == "none":
        return "no block transforms frequencies"
    return _of_latents(material) if material.network.has_latents else None


def _of_modulation(material: Material) -> str | None:
    return "nothing is modulated" if material.network.modulation == "none" else None


def _of_gates(material: Material) -> str | None:
    if material.network.modulation != "gpocm":
        return f"its modulation is {material.network.modulation!r}, which has no gates"
    return _of_song(material)


def _of_control(material: Material) -> str | None:
    return None if material.network.is_conditioned else "the model is not conditioned"


def _of_interpolation(material: Material) -> str | None:
    if not material.network.is_conditioned:
        return "the model is not conditioned"
    if len(material.subject.sources) < 2:
        return "the model has one source"
    return _of_song(material) or (None if material.steps else "was not interpolated")


PICTURES: Mapping[str, _Kind] = {
    "architecture": _Kind(
        draw=lambda m: architecture_figure(m.subject), missing=_nothing, needs_weights=False
    ),
    "receptive-field": _Kind(
        draw=lambda m: receptive_field_figure(
            m.subject, mixture=None if m.observation is None else m.observation.mixture
        ),
        missing=_nothing,
    ),
    "attention": _Kind(
        draw=lambda m: attention_figure(m.subject, m.observation), missing=_of_latents
    ),
    "attention-over-time": _Kind(
        draw=lambda m: attention_over_time_figure(m.subject, m.song), missing=_of_listening
    ),
    "tdf": _Kind(draw=lambda m: tdf_figure(m.subject), missing=_of_tdf),
    "latents": _Kind(
        draw=lambda m: latents_figure(m.subject),
        missing=lambda m: None if m.network.has_latents else "the model has no latent sources",
    ),
    "targets": _Kind(draw=lambda m: targets_figure(m.subject, m.observation), missing=_of_latents),
    "harmonics": _Kind(
        draw=lambda m: harmonics_figure(m.subject, m.observation), missing=_of_harmonics
    ),
    "modulation": _Kind(draw=lambda m: modulation_figure(m.subject), missing=_of_modulation),
    "gates": _Kind(draw=lambda m: gates_figure(m.subject, m.song), missing=_of_gates),
    "embedding": _Kind(draw=lambda m: embedding_figure(m.subject), missing=_of_control),
    "interpolation": _Kind(
        draw=lambda m: interpolation_figure(m.subject, dict(m.steps), m.song.mixture),
        missing=_of_interpolation,
    ),
    "spectrograms": _Kind(
        draw=lambda m: spectrograms_figure(m.subject, m.song, m.references),
        missing=_of_song,
        needs_config=False,
        needs_weights=False,
    ),
    "errors": _Kind(
        draw=lambda m: errors_figure(m.subject, m.song, m.references),
        missing=_of_references,
        needs_config=False,
        needs_weights=False,
    ),
}
"""What there is to see, in the order of drawing."""


def what_is_missing(name: str, material: Material) -> str | None:
    """Say why a picture cannot be drawn, or nothing if it can.

    Raises:
        UsageError: there is no picture of this name.
    """
    if name not in PICTURES:
        raise UsageError(
            f"no picture {name!r}{did_you_mean(name, PICTURES)}; pictures are {', '.join(PICTURES)}"
        )
    kind = PICTURES[name]
    if kind.needs_config and material.subject.config is None:
        return "it is no single network of ours; inspect the members of a system one by one"
    if kind.needs_weights and material.subject.model is None:
        return "its weights are in a graph alone, into which nothing looks"
    return kind.missing(material)


def draw(name: str, material: Material) -> Picture:
    """Draw a picture by its name.

    Raises:
        UsageError: there is no such picture, or the model or the material lacks what it shows.
    """
    reason = what_is_missing(name, material)
    if reason is not None:
        raise UsageError(f"no picture {name!r} of {material.subject.name!r}: {reason}")
    return PICTURES[name].draw(material)
