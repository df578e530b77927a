"""Systems: the named ones of the papers, and the folders that ensembles of any kind lie in.

An ensemble's folder holds one folder for each member, `card.json`, and perhaps a mixer. Members
may be ensembles themselves, or addresses of other projects' models, of which nothing is stored.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from stemlight.errors import OutputError, WeightsError
from stemlight.separation.combiners import KUIELAB_BLEND
from stemlight.separation.foreign import is_foreign
from stemlight.separation.mixers import KUIELAB_ORDER
from stemlight.weights.cards import (
    CARD_FILE,
    Card,
    EnsembleCard,
    FileFacts,
    Score,
    TrainingData,
    file_facts,
    read_card,
    write_card,
)

__all__ = [
    "MIXER_FILES",
    "SYSTEMS",
    "BlendConfig",
    "EnsembleFacts",
    "ForeignMember",
    "SystemConfig",
    "complete_folder",
    "ensemble_files",
    "folder_name",
    "foreign_data",
    "seal_ensemble",
    "stored_members",
    "two_weights",
]

MIXER_FILES = ("mixer.json", "mixer.safetensors")


@dataclass(frozen=True, kw_only=True)
class BlendConfig:
    """What a system is averaged with, and the system's own share of each source."""

    partner: str
    shares: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class SystemConfig:
    """One network for each source, and what is done with their estimates."""

    summary: str
    members: Mapping[str, str]  # the preset of each source
    mixer: bool = False  # linear, over all estimates and the mixture
    blend: BlendConfig | None = None


_MDX_NET = SystemConfig(
    summary="KUIELab-MDX-Net: one TFC-TDF-U-Net v2 for each source, and the Mixer over all.",
    members=MappingProxyType({source: f"tfc-tdf-v2-{source}" for source in KUIELAB_ORDER}),
    mixer=True,
)

SYSTEMS: Mapping[str, SystemConfig] = MappingProxyType(
    {
        "mdx-net": _MDX_NET,
        # Differs: the paper's partner is Demucs-v2, which today's package no longer has.
        "mdx-net-demucs": SystemConfig(
            summary="KUIELab-MDX-Net blended with Demucs, as in the Music Demixing Challenge 2021.",
            members=_MDX_NET.members,
            mixer=True,
            blend=BlendConfig(partner="demucs:htdemucs", shares=KUIELAB_BLEND),
        ),
    }
)
"""By name, the systems of the papers that are more than one network."""


@dataclass(frozen=True, kw_only=True)
class EnsembleFacts:
    """What the card of an ensemble says that its members' cards do not."""

    name: str
    summary: str
    licence: str
    training_data: tuple[TrainingData, ...] = ()
    scores: tuple[Score, ...] = ()
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ForeignMember:
    """What a model of another project gives."""

    sources: tuple[str, ...]
    sample_rate_hz: int


def foreign_data(address: str) -> TrainingData:
    """Return what a card can say of the training of a model of another project."""
    return TrainingData(name=f"that of {address}", terms="not stated here")


def two_weights(
    first: str, second: str, shares: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Return the weights of two members out of the first one's share of each source."""
    return {source: {first: share, second: round(1 - share, 6)} for source, share in shares.items()}


def seal_ensemble(
    folder: Path,
    members: Sequence[str],
    facts: EnsembleFacts,
    *,
    foreign: Mapping[str, ForeignMember] | None = None,
) -> EnsembleCard:
    """Write the card of a folder that holds its members, and the files of a mixer if it has one.

    `foreign` says what those members give that are addresses; without, what the others give. A
    stem is silent above the highest band limit of the members that give it; a model of another
    project is taken to have none.
    """
    cards: dict[str, Card] = {
        member: read_card(folder / member) for member in members if not is_foreign(member)
    }
    known: list[Card | ForeignMember] = [*cards.values(), *(foreign or {}).values()]
    files = ensemble_files(folder, members)
    rate_hz = known[0].sample_rate_hz
    card = EnsembleCard(
        name=facts.name,
        summary=facts.summary,
        licence=facts.licence,
        training_data=facts.training_data,
        scores=facts.scores,
        band_limit_hz=_band_limits(cards, facts.weights, rate_hz),
        members=tuple(members),
        stems=tuple(dict.fromkeys(source for each in known for source in each.sources)),
        rate_hz=rate_hz,
        mixes=any(name in MIXER_FILES for name in files),
        weights={source: dict(by_member) for source, by_member in facts.weights.items()},
        n_parameters=sum(each.n_parameters for each in cards.values()),
        files=files,
    )
    write_card(card, folder)
    return card


def stored_members(card: EnsembleCard) -> list[str]:
    """Return the members that have a folder: all but those of other projects.

    Raises:
        WeightsError: a member's name leads elsewhere.
    """
    stored = [member for member in card.members if not is_foreign(member)]
    for member in stored:
        if member in ("", ".", "..") or Path(member).name != member:
            raise WeightsError(f"the card of {card.name!r} has {member!r}, no name of a member")
    return stored


def ensemble_files(folder: Path, members: Sequence[str]) -> dict[str, FileFacts]:
    """Measure what the card of an ensemble answers for: its mixer, and its members' cards."""
    names = [name for name in MIXER_FILES if (folder / name).is_file()]
    names += [f"{member}/{CARD_FILE}" for member in members if not is_foreign(member)]
    return {name: file_facts(folder / name) for name in names}


def _band_limits(
    cards: Mapping[str, Card], weights: Mapping[str, Mapping[str, float]], rate_hz: int
) -> dict[str, float]:
    limits: dict[str, float] = {}
    for card in cards.values():
        for source, limit in card.band_limit_hz.items():
            limits[source] = max(limit, limits.get(source, 0.0))
    for source, by_member in weights.items():
        if any(weight > 0 and is_foreign(member) for member, weight in by_member.items()):
            limits[source] = rate_hz / 2
    return limits


def folder_name(name: str, taken: Collection[str]) -> str:
    """Return a name for the folder of a member that no other has."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "member"
    numbered = (f"{plain}-{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([plain], numbered) if each not in taken)


@contextlib.contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """Give a hidden folder beside `folder`; what is in it takes its place if all goes well.

    Files of `folder` that have the same names are replaced, others are kept. The card is removed
    first and comes last, so that what is half done is no model.

    Raises:
        OutputError: it cannot be written.
    """
    partial = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(
            tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".part", dir=folder.parent)
        )
        yield partial
        partial.chmod(0o755)  # mkdtemp makes folders that their owner alone can read
        if folder.exists():
            _move_into(partial, folder)
        else:
            partial.replace(folder)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _move_into(partial: Path, folder: Path) -> None:
    (folder / CARD_FILE).unlink(missing_ok=True)
    for part in sorted(partial.iterdir(), key=lambda path: path.name == CARD_FILE):
        place = folder / part.name
        if place.is_dir():
            shutil.rmtree(place)
        part.replace(place)
