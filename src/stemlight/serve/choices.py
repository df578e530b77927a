"""What may be asked of a job, checked before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stemlight.api import model_card
from stemlight.audio.formats import BIT_DEPTHS, check_bit_depth
from stemlight.errors import UsageError, did_you_mean
from stemlight.separation.song_options import SONG_FORMATS, STEM_MP4, SongOptions
from stemlight.serve.products import ORIGINAL
from stemlight.serve.schemas import FormatOut, JobOptions, ModelOut

__all__ = ["Choices", "formats"]

_STEMS_OF_STEM_MP4 = 4


def formats() -> list[FormatOut]:
    """Return all formats with their bit depths, the usual one first."""
    return [FormatOut(name=name, bit_depths=_bit_depths(name)) for name in SONG_FORMATS]


def _bit_depths(format: str) -> list[str]:
    def is_allowed(bit_depth: str) -> bool:
        try:
            check_bit_depth(bit_depth, format)
        except UsageError:
            return False
        return True

    if format == STEM_MP4:
        return []
    usual = check_bit_depth(None, format)
    return sorted(filter(is_allowed, BIT_DEPTHS), key=lambda depth: depth != usual)


@dataclass(frozen=True)
class Choices:
    """The models that a server offers."""

    models: Mapping[str, ModelOut]

    @classmethod
    def of(cls, names: tuple[str, ...]) -> Choices:
        """Read the models' cards; the first is the default.

        Raises:
            UsageError: there is no such model.
        """
        cards = {name: model_card(name) for name in names}
        return cls(
            {
                name: ModelOut(
                    name=name,
                    sources=list(card.sources),
                    summary=card.summary,
                    licence=card.licence,
                    is_default=name == names[0],
                )
                for name, card in cards.items()
            }
        )

    def checked(self, options: JobOptions) -> dict[str, Any]:
        """Return the options of a job as they are stored.

        Raises:
            UsageError: no such model, stem, format or bit depth, or none that go together.
        """
        name = options.model or next(iter(self.models))
        if name not in self.models:
            known = ", ".join(self.models)
            raise UsageError(
                f"no model {name!r}{did_you_mean(name, self.models)}; this server has {known}"
            )
        sources = self.models[name].sources
        for stem in options.stems or ():
            if stem not in sources:
                raise UsageError(
                    f"{name} has no stem {stem!r}{did_you_mean(stem, sources)}; it has "
                    f"{', '.join(sources)}"
                )
        stems = sorted(set(options.stems), key=sources.index) if options.stems else None
        self._check_complement(options, stems or sources, sources)
        SongOptions(format=options.format, bit_depth=options.bit_depth)
        n_stems = len(stems or sources) + (options.complement is not None)
        if options.format == STEM_MP4:
            if options.bit_depth is not None:
                raise UsageError("stem.mp4 has no bit depth here; leave bit_depth out")
            if n_stems != _STEMS_OF_STEM_MP4:
                raise UsageError(
                    f"stem.mp4 holds {_STEMS_OF_STEM_MP4} stems, not {n_stems}; ask for all of a "
                    "model with 4, or choose another format"
                )
        return {**options.model_dump(), "model": name, "stems": stems}

    def _check_complement(self, options: JobOptions, asked: list[str], sources: list[str]) -> None:
        name = options.complement
        if name is None:
            return
        if name in sources or name == ORIGINAL:
            raise UsageError(f"complement {name!r} is taken; give another name, such as no_vocals")
        if set(asked) == set(sources):
            raise UsageError("all stems were asked, so nothing is left; leave complement out")
