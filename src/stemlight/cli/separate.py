"""`stemlight separate`: songs in, folders of stems out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from stemlight._version import __version__
from stemlight.cli.console import refuse_lost_report, write_json
from stemlight.cli.interrupts import Interrupts
from stemlight.cli.song_batch import SongBatch
from stemlight.errors import UsageError
from stemlight.memory import MemoryLimit

if TYPE_CHECKING:
    from stemlight.audio.files import ReadableFile
    from stemlight.cli.song_batch import Outcome
    from stemlight.separation.songs import Progress

__all__ = ["SeparateCommand", "separate"]

ACCOMPANIMENT = "accompaniment"
"""What is left of the mixture without the asked stems; may be asked like a stem."""

_SHARED = "proportional"


def separate(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Sound files, folders (walked, their tree mirrored), or - for standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Stems go to DIR/<track name>/<stem>.<format>."
        ),
    ] = Path("separated"),
    model: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="A model's name, folder or file.")
    ] = "stemlight",
    stems: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="Which stems, for example vocals,drums; accompaniment is all else. [all]",
        ),
    ] = None,
    karaoke: Annotated[
        str | None,
        typer.Option(metavar="STEM", help="Two stems: STEM, and all else as no_STEM."),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            metavar="wav|flac|mp3|ogg|opus|m4a|stem.mp4",
            help="File format; stem.mp4 is one file for DJ software.",
        ),
    ] = "wav",
    bit_depth: Annotated[
        str | None,
        typer.Option(
            metavar="16|24|float",
            help="Of wav and flac. float (wav only) never clips. Makes m4a and stem.mp4 lossless. "
            "[24]",
        ),
    ] = None,
    bit_rate: Annotated[
        int | None,
        typer.Option(metavar="KBPS", min=1, help="Of lossy formats, all channels together."),
    ] = None,
    no_tags: Annotated[
        bool, typer.Option("--no-tags", help="Carry over neither tags nor pictures of the song.")
    ] = False,
    exact_sum: Annotated[
        str | None,
        typer.Option(
            metavar="[proportional|STEM]",
            help="Stems that add up to the song to the last bit; what they lack is shared by "
            "level, or goes to STEM, for example other.",
        ),
    ] = None,
    on_clip: Annotated[
        str,
        typer.Option(
            metavar="guard|clip",
            help="Where a stem is too loud for 16 or 24 bits: lower all stems alike, or clip it.",
        ),
    ] = "guard",
    engine: Annotated[
        str, typer.Option(metavar="onnx|openvino|torch", help="What runs the network.")
    ] = "onnx",
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where the engine runs.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            metavar="float32|bfloat16|int8",
            help="What the network computes in. bfloat16 (openvino, torch) and int8 (onnx) are "
            "faster and less exact.",
        ),
    ] = "float32",
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, help="Threads of the network; 0 takes all cores.")
    ] = 0,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network, not even for hf:// models.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace stems that exist; without it such songs fail."),
    ] = False,
    max_duration: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Refuse songs that last longer."),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Never have more private memory, for example 800M, 1.5G or 2GiB; songs that need "
            "more fail. Linux only.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Skip songs that an earlier call with --resume finished: same input, model and "
            "options, stems unchanged.",
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Audit the stems: length, lag, gain, seams, sum.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write all results as JSON, too.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Separate songs into stems.

    Every stem has its song's length, sample rate and channels. A song gets all of its stems or
    none. Songs of the same name become "name", "name (2)" ... in the order they are given.

    `--exact-sum` alone shares what is missing; where an input could be taken for the name of a
    stem, write `--exact-sum=STEM`.

    Exit codes: 0 all done; 1 some inputs failed (each is named with its reason on standard error,
    the rest is done); 2 wrong usage.
    """
    refuse_lost_report(report)
    limit = MemoryLimit(max_memory, libraries=[engine] if engine in ("openvino", "torch") else [])
    sources, complement = _asked_stems(stems, karaoke)

    with Interrupts() as interrupts, limit as memory:
        from stemlight.api import load
        from stemlight.separation.song_checks import check_song
        from stemlight.separation.songs import SongOptions, check_options, separate_file

        options = SongOptions(
            format=format,
            bit_depth=bit_depth,
            bit_rate_kbps=bit_rate,
            keep_tags=not no_tags,
            max_duration_seconds=max_duration,
            overwrite=overwrite,
            exact_sum=exact_sum,
            on_clip=on_clip,  # type: ignore[arg-type]
        )
        with memory.named(f"loading {model}", kind=UsageError, cure="take fewer --threads"):
            separator = load(
                model,
                engine=engine,  # type: ignore[arg-type]
                device=device,
                precision=precision,  # type: ignore[arg-type]
                n_threads=threads,
                offline=offline,
            )
            if sources is None and len(separator.sources) == 1:
                complement = ACCOMPANIMENT  # one stem alone is half of an answer
            options = replace(options, sources=sources, complement=complement)
            names = check_options(options, separator)  # wrong usage is found before any work
            if resume:
                runs_on = {"engine": engine, "device": device, "precision": precision}
                options = replace(options, resume=_fingerprint(model, runs_on, offline))
        hop_seconds = separator.maker.hop_samples / separator.sample_rate_hz

        def run(song: Path | ReadableFile, folder: Path, on_progress: Progress) -> Outcome:
            with memory.named("separating it", cure="ask for fewer --stems or --threads"):
                done = separate_file(
                    separator, song, folder, options=options, on_progress=on_progress
                )
                if not check:
                    return done, None
                return done, check_song(
                    song, done, hop_seconds=hop_seconds, on_progress=on_progress
                )

        batch = SongBatch(run, names, interrupts, quiet=quiet, max_duration_seconds=max_duration)
        try:
            batch.separate_all(inputs, output)
        finally:  # what is done is reported after Ctrl-C, too
            write_json(
                report,
                {"stemlight": __version__, "model": model, "engine": engine, "songs": batch.songs},
            )
    if batch.n_failed:
        raise typer.Exit(1)


def _fingerprint(model: str, runs_on: Mapping[str, str], offline: bool) -> str:
    from stemlight.weights.fingerprints import model_fingerprint

    return model_fingerprint(model, **runs_on, offline=offline)


def _asked_stems(stems: str | None, karaoke: str | None) -> tuple[list[str] | None, str | None]:
    """Return the sources to separate and the name of what is left of the mixture."""
    if karaoke is not None:
        if stems is not None:
            raise UsageError("--stems and --karaoke exclude each other; leave one of them out")
        return [karaoke], f"no_{karaoke}"
    if stems is None:
        return None, None
    names = [name.strip() for name in stems.split(",")]
    if ACCOMPANIMENT not in names:
        return names, None
    return [name for name in names if name != ACCOMPANIMENT], ACCOMPANIMENT


class SeparateCommand(TyperCommand):
    """Lets `--exact-sum` stand without a value, which options elsewhere need."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments after giving the option its usual value where it has none."""
        return super().parse_args(ctx, _with_values(args))


def _with_values(args: Sequence[str]) -> list[str]:
    end = list(args).index("--") if "--" in args else len(args)
    words = list(args)
    for index in range(end):
        if words[index] == "--exact-sum":
            following = words[index + 1] if index + 1 < end else ""
            if not _is_sum(following):
                words[index] = f"--exact-sum={_SHARED}"
    return words


def _is_sum(word: str) -> bool:
    """Tell a stem from an input: inputs exist, or have suffixes, slashes or a dash."""
    return word == _SHARED or (re.fullmatch(r"\w+", word) is not None and not Path(word).exists())
