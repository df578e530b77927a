"""`stemlight batch`: catalogues of songs, on the cores of this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemlight.cli.batch_progress import BatchProgress
from stemlight.cli.console import note, print_result
from stemlight.cli.health import usable_threads
from stemlight.cli.interrupts import Interrupts
from stemlight.errors import InputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from stemlight.batch import Engine, Item, SeparateTrack, Summary

__all__ = ["batch"]

_ENGINES = ("local", "ray")


# Two dozen options, each one choice of its own.
def batch(
    tracks: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST|FOLDER",
            help="A table (.csv, .jsonl, .parquet) with a column path, or a folder, which is "
            "walked; a path or a URL, for example s3://bucket/songs.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="URL",
            help="A folder, or a URL such as s3://bucket/stems: results, reports.",
            show_default=False,
        ),
    ],
    workers: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Tracks at once. [cores here divided by --threads]"),
    ] = 0,
    engine: Annotated[
        str,
        typer.Option(metavar="local|ray", help="Processes of this machine, or Ray, here or there."),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="A Ray cluster's. [Ray is started on this machine]"),
    ] = None,
    max_workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Of Ray: grow to so many while tracks wait. [--workers]"
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0.0, help="Of Ray: GPUs that each worker takes."),
    ] = 0.0,
    attempts: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="How often a track is tried whose worker dies."),
    ] = 3,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long an attempt may take. [as long as it likes]"),
    ] = None,
    price_per_hour: Annotated[
        float | None,
        typer.Option(metavar="PRICE", min=0.0, help="Of one worker: tells the cost of the run."),
    ] = None,
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
    format: Annotated[
        str, typer.Option(metavar="wav|flac|mp3|ogg|opus|m4a|stem.mp4", help="File format.")
    ] = "wav",
    bit_depth: Annotated[
        str | None,
        typer.Option(metavar="16|24|float", help="Of lossless formats; float is of wav. [24]"),
    ] = None,
    bit_rate: Annotated[
        int | None,
        typer.Option(metavar="KBPS", min=1, help="Of lossy formats, all channels together."),
    ] = None,
    runtime: Annotated[
        str, typer.Option(metavar="onnx|openvino|torch", help="What runs the network.")
    ] = "onnx",
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where the network runs.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(metavar="float32|bfloat16|int8", help="What the network computes in."),
    ] = "float32",
    threads: Annotated[
        int, typer.Option(metavar="N", min=1, help="Threads of the network in each worker.")
    ] = 1,
    max_duration: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Refuse songs that last longer."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network for models, not even for hf://.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but failures.")
    ] = False,
) -> None:
    """Separate a catalogue, each track once however often it is run.

    Results are stored by what the work was: content of the song, model and options. What is
    finished is skipped, what was interrupted is done again. Every run ends with a report, a Parquet
    table and a summary, in URL/reports.

    Exit codes: 0 all done; 1 some tracks failed; 2 wrong usage, or a wrong manifest.
    """
    if engine not in _ENGINES:
        raise UsageError(
            f"no engine {engine!r}{did_you_mean(engine, _ENGINES)}; choose local or ray; what runs "
            "the network is --runtime"
        )
    of_ray = {
        "--address": address,
        "--max-workers": max_workers,
        "--gpus-per-worker": gpus_per_worker or None,
    }
    for name, value in of_ray.items():
        if value is not None and engine != "ray":
            raise UsageError(f"{name} is of Ray; add --engine ray, or leave it out")
    if address is not None and not workers:
        raise UsageError("the size of a cluster is not known here; add --workers N to --address")
    n_workers = workers or max(1, usable_threads() // threads)
    with Interrupts() as interrupts, interrupts.at_once():
        from stemlight.batch import LocalEngine, ModelChoice, SeparateTrack, Store
        from stemlight.batch.work import asked_stems
        from stemlight.separation.song_options import SongOptions

        runner: Engine
        if engine == "ray":
            from stemlight.batch.ray_engine import RayEngine

            runner = RayEngine(
                n_workers,
                max_workers=max_workers,
                address=address,
                n_attempts=attempts,
                timeout_seconds=timeout,
                gpus_per_worker=gpus_per_worker,
                cpus_per_worker=threads,
            )
        else:
            runner = LocalEngine(
                n_workers, n_attempts=attempts, timeout_seconds=timeout, n_threads=threads
            )
        sources, complement = asked_stems(stems)
        choice = ModelChoice(
            model=model,
            runtime=runtime,
            device=device,
            precision=precision,
            n_threads=threads,
            offline=offline,
        )
        work = SeparateTrack(
            store=Store(output),
            choice=choice,
            options=SongOptions(
                sources=sources,
                complement=complement,
                format=format,
                bit_depth=bit_depth,
                bit_rate_kbps=bit_rate,
                max_duration_seconds=max_duration,
            ),
            fingerprint=choice.fingerprint(),
        )
        settings = {"engine": engine, "n_workers": n_workers, "max_workers": max_workers}
        order = _Order(tracks, work, runner, settings, price_per_hour)
        summary = order.run(quiet=quiet)
    if not quiet:
        _print(summary)
    if summary.n_failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Order:
    """All that a run is about."""

    tracks: str
    work: SeparateTrack
    engine: Engine
    settings: Mapping[str, Any]
    price_per_hour: float | None

    def run(self, *, quiet: bool) -> Summary:
        """Find wrong usage, do the work, write the report."""
        from stemlight.batch import Report, run_batch

        store = self.work.store
        n_tracks = sum(1 for _ in self._items())  # a wrong row is found before any work
        if not n_tracks:
            raise InputError(f"{self.tracks} names no tracks")
        settings = {
            "tracks": self.tracks,
            "n_tracks": n_tracks,
            **self.settings,
            **asdict(self.work.choice),
            "fingerprint": self.work.fingerprint,
        }
        report = Report(store, settings=settings, price_per_hour=self.price_per_hour)
        store.check()
        store.remove_left_overs()
        try:
            with BatchProgress(n_tracks, quiet=quiet) as progress, report:
                return run_batch(
                    self._items(), self.engine, self.work, report, on_outcome=progress.tell
                )
        finally:
            store.remove_left_overs()  # of workers that were killed
            for place in () if quiet else report.places:
                note(f"report: {place}")

    def _items(self) -> Iterator[Item]:
        from stemlight.batch import read_items

        return read_items(self.tracks, but=self.work.store.url)


def _print(summary: Summary) -> None:
    print_result(f"done {summary.n_done}, skipped {summary.n_skipped}, failed {summary.n_failed}")
    if summary.real_time_factor is not None:
        print_result(
            f"{summary.done_hours:.3f} h of audio in {summary.wall_seconds:.0f} s: "
            f"{summary.times_real_time:.2f} x real time; "
            f"one worker takes {summary.real_time_factor:.4f} s for each second"
        )
    if summary.cost_per_audio_hour is not None:
        print_result(f"an hour of audio costs {summary.cost_per_audio_hour:.4g}")
