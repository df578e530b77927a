"""Writes ensembles that average models: copies of ours, addresses of those of other projects."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemlight.errors import OutputError, UsageError
from stemlight.separation.combiners import Blend
from stemlight.separation.foreign import is_foreign, load_foreign
from stemlight.weights.cards import (
    CARD_FILE,
    GRAPH_FILE,
    WEIGHTS_FILE,
    Card,
    EnsembleCard,
    TrainingData,
    read_card,
    verified_file,
)
from stemlight.weights.catalogue import find_model
from stemlight.weights.systems import (
    MIXER_FILES,
    EnsembleFacts,
    ForeignMember,
    complete_folder,
    folder_name,
    foreign_data,
    seal_ensemble,
    stored_members,
    two_weights,
)

__all__ = ["blend_models"]


@dataclass(frozen=True, kw_only=True)
class _Member:
    """A model of the blend: in a folder, or by its address."""

    gives: Card | ForeignMember
    folder: Path | None


def blend_models(
    models: Sequence[str],
    folder: Path,
    *,
    shares: Mapping[str, float] | None = None,
    name: str | None = None,
) -> EnsembleCard:
    """Write the folder of a weighted average of models, named as `stemlight.load` takes them.

    `shares` are those of the first of two models for each source, the second has the rest; a
    source without one is a plain average. Foreign models are loaded once, to learn what they give.

    Raises:
        UsageError: models, shares or sample rates that do not go together, or no such model.
        OutputError: `folder` holds something, or cannot be written.
        MissingExtraError, WeightsError: a foreign model cannot be loaded.
    """
    if len(models) < 2:
        raise UsageError(f"a blend needs at least two models, not {len(models)}")
    if shares and len(models) != 2:
        raise UsageError(f"shares are those of the first of two models; there are {len(models)}")
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty; choose another folder")
    members = _members(models)
    facts = EnsembleFacts(
        name=name or folder.name,
        summary=f"Weighted average of {', '.join(models)}.",
        licence="; ".join(_licence(member, each) for member, each in members.items()),
        training_data=_training_data(members),
        weights=_weights(members, shares or {}),
    )
    with complete_folder(folder) as partial:
        for member, each in members.items():
            if each.folder is not None:
                _copy_model(each.folder, partial / member)
        foreign = {
            member: each.gives
            for member, each in members.items()
            if isinstance(each.gives, ForeignMember)
        }
        return seal_ensemble(partial, list(members), facts, foreign=foreign)


def _members(models: Sequence[str]) -> dict[str, _Member]:
    members: dict[str, _Member] = {}
    for model in models:
        if not is_foreign(model):
            place = find_model(model)
            card = read_card(place)
            members[folder_name(card.name, members)] = _Member(gives=card, folder=place)
            continue
        if model in members:
            raise UsageError(f"{model} is named twice")
        backend, _ = load_foreign(model)
        gives = ForeignMember(sources=backend.sources, sample_rate_hz=backend.sample_rate_hz)
        members[model] = _Member(gives=gives, folder=None)
    rates_hz = {member: each.gives.sample_rate_hz for member, each in members.items()}
    if len(set(rates_hz.values())) > 1:
        told = ", ".join(f"{member} {rate_hz} Hz" for member, rate_hz in rates_hz.items())
        raise UsageError(f"the models have several sample rates: {told}; blend those of one rate")
    return members


def _weights(
    members: Mapping[str, _Member], shares: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Return the weight of each member for each source, all of them written out."""
    for source, share in shares.items():
        if not 0 <= share <= 1:
            raise UsageError(f"the share for {source!r} must lie in 0..1, not {share}")
    offers = {member: each.gives.sources for member, each in members.items()}
    asked: dict[str, dict[str, float]] = {}
    if shares:
        first, second = members
        # Who gives nothing of a source may have a share of 0 of it.
        asked = {
            source: {member: weight for member, weight in by_member.items() if weight}
            for source, by_member in two_weights(first, second, shares).items()
        }
    known = Blend(asked).sources(offers)
    equal = {
        source: {member: 1.0 for member, given in offers.items() if source in given}
        for source in known
    }
    return equal | asked


def _licence(member: str, each: _Member) -> str:
    return f"{member}: {each.gives.licence if isinstance(each.gives, Card) else 'its authors say'}"


def _training_data(members: Mapping[str, _Member]) -> tuple[TrainingData, ...]:
    found: list[TrainingData] = []
    for member, each in members.items():
        if isinstance(each.gives, Card):
            found += each.gives.training_data
        else:
            found.append(foreign_data(member))
    return tuple(dict.fromkeys(found))


def _copy_model(source: Path, target: Path) -> None:
    """Copy a model: its card and what that answers for, and nothing else that lies there."""
    card = read_card(source)
    members = stored_members(card) if isinstance(card, EnsembleCard) else []
    target.mkdir()
    for member in members:
        _copy_model(source / member, target / member)
    for name in card.files:
        path = verified_file(source, card, name)
        if name in (GRAPH_FILE, WEIGHTS_FILE, *MIXER_FILES):
            shutil.copyfile(path, target / name)
    shutil.copyfile(source / CARD_FILE, target / CARD_FILE)
