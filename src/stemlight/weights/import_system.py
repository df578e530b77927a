"""Turns several files into one system: a network for each source, and perhaps a mixer over all."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stemlight.errors import UsageError
from stemlight.separation.mixers import KUIELAB_ORDER, MixerWeights, save_mixer
from stemlight.weights.cards import CARD_FILE, EnsembleCard, ModelCard, read_card, write_card
from stemlight.weights.hub import verify_model
from stemlight.weights.import_cards import ImportOptions
from stemlight.weights.recognition import is_mixer
from stemlight.weights.systems import EnsembleFacts, seal_ensemble
from stemlight.weights.torch_files import read_torch_file

__all__ = ["holds_mixer", "import_system"]

_MOST_MIXER_BYTES = 100_000  # the authors' has 1208
_NETWORK_NAMES = ", ".join(KUIELAB_ORDER)

ImportOne = Callable[[Path, Path, ImportOptions], ModelCard]


def holds_mixer(path: Path) -> bool:
    """Tell whether a file holds the weights of a mixer.

    Raises:
        WeightsError: it is damaged, or could run code.
    """
    if path.is_dir() or path.suffix.lower() == ".onnx" or path.stat().st_size > _MOST_MIXER_BYTES:
        return False
    return is_mixer(read_torch_file(path).state_dict)


def import_system(
    files: Sequence[Path], folder: Path, options: ImportOptions, import_one: ImportOne
) -> EnsembleCard:
    """Write the folder of a system; members are made by `import_one`, or copied model folders.

    Raises:
        UsageError: the files do not go together, or an option belongs to one of them alone.
    """
    mixers = [path for path in files if holds_mixer(path)]
    networks = [path for path in files if path not in mixers]
    _check_company(networks, mixers, options)
    each = dataclasses.replace(options, name=None, summary=None)
    stems: dict[str, Path] = {}
    members = []
    for path in networks:
        place = folder / "member"
        card = _copied(path, place) if path.is_dir() else import_one(path, place, each)
        for source in card.sources:
            if source in stems:
                raise UsageError(
                    f"both {stems[source]} and {path} estimate {source}; a system needs one "
                    "network for each source"
                )
            stems[source] = path
        members.append("-".join(card.sources))
        name = f"{options.name or 'system'}-{members[-1]}"
        write_card(dataclasses.replace(card, name=name), place)
        place.rename(folder / members[-1])
    if mixers:
        _write_mixer(mixers[0], list(stems), folder)
    facts = EnsembleFacts(
        name=options.name or "system",
        summary=options.summary or f"Imported from {len(files)} files.",
        licence=options.licence or "not stated",
        training_data=options.training_data,
    )
    return seal_ensemble(folder, members, facts)


def _check_company(
    networks: Sequence[Path], mixers: Sequence[Path], options: ImportOptions
) -> None:
    if not networks:
        raise UsageError(
            f"{mixers[0]} is a mixer, which needs the networks that it mixes; name their files, "
            f"too: one for each of {_NETWORK_NAMES}"
        )
    if len(mixers) > 1:
        raise UsageError(f"{' and '.join(map(str, mixers))} are mixers; a system has one at most")
    single = options.of_one_file()
    if single and len(networks) > 1:
        raise UsageError(
            f"{', '.join(single)} can hold for one file alone, and there are {len(networks)}; "
            "import each into a folder of its own, then name the folders: stemlight import DIR... "
            "-o SYSTEM"
        )


def _copied(source: Path, folder: Path) -> ModelCard:
    """Copy a model that was imported before."""
    if not (source / CARD_FILE).is_file():
        raise UsageError(f"{source} is a folder without a {CARD_FILE}; name files, or models")
    card = read_card(source)
    if not isinstance(card, ModelCard):
        raise UsageError(f"{source} is a system itself; name the folders in it")
    verify_model(source)
    folder.mkdir()
    for name in card.files:
        shutil.copyfile(source / name, folder / name)
    return card


def _write_mixer(path: Path, stems: Sequence[str], folder: Path) -> None:
    (weight,) = read_torch_file(path).state_dict.values()
    if set(stems) != set(KUIELAB_ORDER):
        raise UsageError(
            f"{path} mixes {_NETWORK_NAMES}, but the networks give {', '.join(stems)}; name one "
            "network for each"
        )
    tensors = {"linear.weight": np.asarray(weight, np.float32)}
    weights = MixerWeights.from_tensors(tensors, estimates=KUIELAB_ORDER, sources=KUIELAB_ORDER)
    save_mixer(weights, folder)
