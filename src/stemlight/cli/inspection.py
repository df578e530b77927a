"""`stemlight inspect`: pictures of what a model is, has learned, and does with a song."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemlight.cli.console import note, print_result, with_extra
from stemlight.cli.excerpts import Excerpt, ExcerptOptions, read_excerpt
from stemlight.cli.interrupts import Interrupts
from stemlight.errors import OutputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from stemlight.inspection import Material, Observation, Subject

__all__ = ["inspect"]

_SECONDS = 30.0
_N_STEPS = 5


# Thirteen parameters: a command has one for each of its options.
def inspect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]", help="A model's name, folder or file, or a checkpoint of train."
        ),
    ] = "stemlight",
    audio: Annotated[
        Path | None,
        typer.Option(metavar="SONG", help="What to listen to; some pictures need it."),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|TRACK",
            help="The song's true stems: a folder with a file a stem, or a STEM mp4 file. Without "
            "--audio, its mixture is the song.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the pictures go.")
    ] = Path("inspected"),
    only: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these pictures, separated by commas.")
    ] = None,
    format: Annotated[
        str, typer.Option(metavar="png|svg|pdf", help="What the pictures are written as.")
    ] = "png",
    start: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Where in the song to begin.")
    ] = 0.0,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="How much of the song to take.")
    ] = _SECONDS,
    between: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST,SECOND", help="Which sources to interpolate. [the model's first two]"
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(metavar="N", min=2, max=12, help="Of the interpolation, ends included.")
    ] = _N_STEPS,
    sounds: Annotated[
        bool, typer.Option("--sounds", help="Write the interpolation's steps as FLAC, too.")
    ] = False,
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, help="Threads of the network; 0 takes all cores.")
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace pictures that are there already.")
    ] = False,
) -> None:
    """Draw what a model is, what it learned, and what it does with a song.

    Prints the path of each picture; those that the model or what was given does not allow are left
    out, and said so. --only refuses instead. Pictures: architecture, receptive-field, attention,
    attention-over-time, tdf, latents, targets, harmonics, modulation, gates, embedding,
    interpolation, spectrograms, errors.

    Needs the extra `inspect`.
    """
    with with_extra("inspect", "inspecting"):
        from stemlight.inspection import PICTURES, Material, draw, save_picture
    names = _names(only, list(PICTURES))
    options = ExcerptOptions(
        audio=audio, references=references, start_seconds=start, duration_seconds=seconds
    )
    _check(names, format, options)
    subject = _open(model)
    way = _way(subject, names, options, between=between, n_steps=steps, sounds=sounds)
    planned = [output / f"{name}.{format}" for name in names]
    if sounds and way is not None:
        planned += way.files(output).values()
    _refuse_existing(planned, overwrite)
    material = Material(subject=subject)
    with Interrupts() as interrupts:
        if options.has_song:
            material = _listened(model, subject, options, threads)
            interrupts.check()
            if way is not None:
                material = way.gone(material)
        drawn = _possible(names, material, is_asked=only is not None)
        _make_folder(output)
        for name in drawn:
            interrupts.check()
            path = output / f"{name}.{format}"
            save_picture(draw(name, material), path, overwrite=overwrite)
            print_result(str(path))
        if sounds and way is not None:
            _write_sounds(material, way.files(output), overwrite)


@dataclass(frozen=True)
class _Way:
    """From one source to another in some steps."""

    first: str
    second: str
    n_steps: int

    def files(self, output: Path) -> dict[str, Path]:
        """Return where each step is written."""
        from stemlight.inspection.conditions import step_names

        names = step_names(self.first, self.second, self.n_steps)
        folder = output / "interpolation"
        return {name: folder / f"{name.replace(' ', '-')}.flac" for name in names}

    def gone(self, material: Material) -> Material:
        """Return the material with all steps separated."""
        from stemlight.inspection import interpolate

        steps = interpolate(
            material.subject,
            material.song.mixture,
            first=self.first,
            second=self.second,
            n_steps=self.n_steps,
        )
        return replace(material, steps=steps)


def _names(only: str | None, known: Sequence[str]) -> list[str]:
    if only is None:
        return list(known)
    names = list(dict.fromkeys(name.strip() for name in only.split(",") if name.strip()))
    if not names:
        raise UsageError(f"--only names no picture; pictures are {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UsageError(
                f"no picture {name!r}{did_you_mean(name, known)}; pictures are {', '.join(known)}"
            )
    return names


def _way(
    subject: Subject,
    names: Sequence[str],
    options: ExcerptOptions,
    *,
    between: str | None,
    n_steps: int,
    sounds: bool,
) -> _Way | None:
    """Return how to interpolate, or nothing where that is neither asked for nor possible."""
    asked = "--between" if between is not None else "--sounds"
    is_asked = between is not None or sounds
    if "interpolation" not in names:
        if is_asked:
            raise UsageError(f"{asked} belongs to the picture 'interpolation'; add it to --only")
        return None
    if not options.has_song:
        if is_asked:
            raise UsageError(f"{asked} needs a song; add --audio SONG")
        return None
    config = subject.config
    if subject.model is None or config is None or not config.network.is_conditioned:
        if is_asked:
            raise UsageError(f"{asked} needs a conditioned network; {subject.name!r} is none")
        return None
    pair = subject.sources[:2] if between is None else tuple(map(str.strip, between.split(",")))
    if len(pair) != 2 or len(set(pair)) != 2 or not set(pair) <= set(subject.sources):
        if not is_asked:
            return None
        raise UsageError(
            f"--between takes two of {', '.join(subject.sources)}, as in "
            f"{','.join(subject.sources[:2])}; got {between!r}"
        )
    return _Way(pair[0], pair[1], n_steps)


def _check(names: Sequence[str], format: str, options: ExcerptOptions) -> None:
    from stemlight.inspection import PICTURE_FORMATS

    if format not in PICTURE_FORMATS:
        raise UsageError(
            f"no format {format!r}{did_you_mean(format, PICTURE_FORMATS)}; choose from "
            f"{', '.join(PICTURE_FORMATS)}"
        )
    if not options.duration_seconds > 0:
        raise UsageError(f"--seconds must be above 0, not {options.duration_seconds:g}")
    is_cut = options.start_seconds > 0 or options.duration_seconds != _SECONDS
    if is_cut and not options.has_song:
        raise UsageError("--start and --seconds belong to --audio or --references")


def _open(model: str) -> Subject:
    from stemlight.api import load
    from stemlight.inspection import Subject, open_subject
    from stemlight.separation.foreign import is_foreign

    if not is_foreign(model):
        return open_subject(model)
    separator = load(model)
    return Subject(name=model, sources=separator.sources, sample_rate_hz=separator.sample_rate_hz)


def _refuse_existing(paths: Sequence[Path], overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists already; add --overwrite, or choose another folder")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror}") from error


def _listened(model: str, subject: Subject, options: ExcerptOptions, threads: int) -> Material:
    """Separate the song, with a look at the blocks where there are any to look at."""
    from stemlight.inspection import Material, observe

    excerpt = read_excerpt(options, subject.sources, subject.sample_rate_hz)
    if subject.model is None:
        observation = _separated(model, subject, excerpt, threads)
    else:
        observation = observe(subject, excerpt.mixture, n_threads=threads)
    return Material(subject=subject, observation=observation, references=excerpt.references)


def _separated(model: str, subject: Subject, excerpt: Excerpt, threads: int) -> Observation:
    from stemlight.api import load
    from stemlight.inspection import Observation

    separator = load(model, n_threads=threads)
    return Observation(
        sample_rate_hz=subject.sample_rate_hz,
        mixture=excerpt.mixture,
        estimates=separator(excerpt.mixture),
    )


def _possible(names: Sequence[str], material: Material, *, is_asked: bool) -> list[str]:
    from stemlight.inspection import what_is_missing

    possible = []
    for name in names:
        reason = what_is_missing(name, material)
        if reason is None:
            possible.append(name)
        elif is_asked:
            raise UsageError(f"no picture {name!r} of {material.subject.name!r}: {reason}")
        else:
            note(f"left out: {name}: {reason}")
    if not possible:
        raise UsageError(f"nothing of {material.subject.name!r} can be drawn; add --audio SONG")
    return possible


def _write_sounds(material: Material, files: Mapping[str, Path], overwrite: bool) -> None:
    from stemlight.audio import Audio

    for name, samples in material.steps.items():
        _make_folder(files[name].parent)
        Audio(samples, material.subject.sample_rate_hz).save(files[name], overwrite=overwrite)
        print_result(str(files[name]))
