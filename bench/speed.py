"""Speed and memory of our engines beside the authors' routines and beside peers, in one run.

    python -m bench.speed [--table embedded|papers] [--seconds 60] [--runs 3]
    python -m bench.speed --only NAME... [--song FILE] [-o FILE]

Every row is a process of its own: from samples in memory to all stems in memory, the best of some
runs after a warm-up of a few seconds of music. A row whose first run takes longer than a minute
runs once. There is a table of the embedded model, quickly measured again when it changes, and one
of the papers' networks; each is written to its page in docs/. Some rows are printed, or written
where `-o` says.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from bench.contestants import CONTESTANTS, EMBEDDED, SAMPLE_RATE_HZ, Contestant
from bench.machine import describe_machine, peak_mib
from bench.material import EXAMPLE, music
from bench.peers import HTDEMUCS, N_THREADS, OPEN_UNMIX
from stemlight.errors import UsageError

DOCS = Path(__file__).resolve().parent.parent / "docs"
WARM_UP_SECONDS = 3
LONG_RUN_SECONDS = 60
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
TARGETS = (
    (f"{EMBEDDED}-onnx", OPEN_UNMIX, 1),
    (f"{EMBEDDED}-onnx", HTDEMUCS, 5),
    *(
        (contestant.name, contestant.authors, 3)
        for contestant in CONTESTANTS
        if contestant.authors is not None
    ),
    ("lasaft-v2-light-onnx", "authors-lasaft-v2-light-overlap", 3),
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that are measured in one run, and the page that shows them."""

    title: str
    page: Path
    names: tuple[str, ...]


_PEERS = (OPEN_UNMIX, HTDEMUCS)


def _names(*, embedded: bool) -> tuple[str, ...]:
    """Return the rows of a table; peers are in both, because ratios are of one run."""
    return tuple(
        each.name
        for each in CONTESTANTS
        if each.name.startswith(_PEERS) or each.name.startswith(f"{EMBEDDED}-") == embedded
    )


TABLES: Mapping[str, Table] = {
    "embedded": Table(
        title="Speed of the embedded model",
        page=DOCS / "performance-embedded.md",
        names=_names(embedded=True),
    ),
    "papers": Table(
        title="Speed of the papers' networks",
        page=DOCS / "performance-papers.md",
        names=_names(embedded=False),
    ),
}
COLUMNS = (
    "row",
    "wall s",
    "CPU s",
    "real-time factor",
    "peak MB",
    "x Open-Unmix",
    "x HTDemucs",
    "x authors",
)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The best run of a row, and the peak of its process."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    n_runs: int


def measure(contestant: Contestant, song: Path, seconds: float, n_runs: int) -> Measurement:
    """Run a contestant in this process."""
    samples, sample_rate_hz = music(song, seconds)
    if sample_rate_hz != SAMPLE_RATE_HZ:
        raise UsageError(f"{song} has {sample_rate_hz} Hz; peers take {SAMPLE_RATE_HZ} Hz")
    separate = contestant.make(Path(os.environ.get("BENCH_SYSTEM", "")))
    separate(samples[:, : WARM_UP_SECONDS * sample_rate_hz])
    runs: list[tuple[float, float]] = []
    while len(runs) < n_runs and not (runs and runs[0][0] > LONG_RUN_SECONDS):
        start, start_cpu = time.perf_counter(), _cpu_seconds()
        separate(samples)
        runs.append((time.perf_counter() - start, _cpu_seconds() - start_cpu))
    wall, cpu = min(runs)
    return Measurement(wall_seconds=wall, cpu_seconds=cpu, peak_mib=peak_mib(), n_runs=len(runs))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure_apart(
    contestant: Contestant, folder: Path | None, song: Path, seconds: float, n_runs: int
) -> Measurement | str:
    """Run a contestant in a process of its own; return why it could not, if it could not."""
    command = [sys.executable, "-m", "bench.speed", "--row", contestant.name]
    command += ["--song", str(song), "--seconds", str(seconds), "--runs", str(n_runs)]
    environment = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(N_THREADS))
    if folder is not None:
        environment["BENCH_SYSTEM"] = str(folder)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return lines[-1] if lines else f"ended with {done.returncode}"
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def export_systems(contestants: Iterable[Contestant], cache: Path) -> dict[str, Path]:
    """Write each system once, with random weights, by the command line."""
    folders: dict[str, Path] = {}
    for system in dict.fromkeys(each.system for each in contestants if each.system):
        folders[system] = cache / system
        command = [sys.executable, "-m", "stemlight", "export", system, "-o", str(cache / system)]
        subprocess.run(command, check=True, capture_output=True)
    return folders


def table_of(measured: Mapping[str, Measurement], seconds: float, n_runs: int) -> list[list[str]]:
    """Return the cells of all rows; ratios are how many times faster a row is than another."""
    rows = []
    for contestant in CONTESTANTS:
        found = measured.get(contestant.name)
        if found is None:
            continue
        title = contestant.title + (" (one run)" if found.n_runs < n_runs else "")
        rows.append(
            [
                title,
                f"{found.wall_seconds:.2f}",
                f"{found.cpu_seconds:.2f}",
                f"{found.wall_seconds / seconds:.3f}",
                f"{found.peak_mib * 1.048576:.0f}",
                *(
                    _ratio(found, measured.get(other)) if other else ""
                    for other in (OPEN_UNMIX, HTDEMUCS, contestant.authors)
                ),
            ]
        )
    return rows


def _ratio(found: Measurement, other: Measurement | None) -> str:
    return "" if other is None else f"{other.wall_seconds / found.wall_seconds:.2f}"


def targets_of(measured: Mapping[str, Measurement]) -> list[str]:
    """Return a line for each aim of the project whose two rows were measured."""
    lines = []
    for row, other, aim in TARGETS:
        if row in measured and other in measured:
            reached = measured[other].wall_seconds / measured[row].wall_seconds
            verdict = "reached" if reached >= aim else "missed"
            lines.append(f"| {row} | {other} | {aim:g} | {reached:.2f} | {verdict} |")
    return lines


def report(
    heading: Sequence[str],
    measured: Mapping[str, Measurement],
    left_out: Mapping[str, str],
    seconds: float,
    n_runs: int,
) -> str:
    """Return the page: its heading, how and on what was measured, and the table."""
    lines = [
        *heading,
        f"Four stems (but for the row of one) of {seconds:g} s of real music at {SAMPLE_RATE_HZ}",
        f"Hz, {N_THREADS} threads, from samples in memory to stems in memory, the best of {n_runs}",
        f"after a warm-up; a row whose first run takes longer than {LONG_RUN_SECONDS} s runs once.",
        "Every row has a process of its own, and its peak is that of the whole process, with",
        "interpreter, libraries and stems. CPU seconds are those of the same run. The real-time",
        "factor is wall time over the music's length; `x` is how many times faster a row is than",
        "the other. Peers are run by their own code.",
        "",
        *describe_machine(),
        "",
        "Only the embedded model is trained; weights do not change the time, so all others are",
        "random.",
        "",
    ]
    if any(each.authors in measured for each in CONTESTANTS):
        lines += _ABOUT_AUTHORS
    lines += [
        "| " + " | ".join(COLUMNS) + " |",
        "|---" + "|---:" * (len(COLUMNS) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in table_of(measured, seconds, n_runs)),
        "",
    ]
    targets = targets_of(measured)
    if targets:
        lines += [
            "## Aims",
            "",
            "How many times faster a row is to be than another. Why float32 misses some is told in",
            "[experiments.md](experiments.md).",
            "",
            "| row | than | aim | measured | |",
            "|---|---|---:|---:|---|",
            *targets,
            "",
        ]
    if left_out:
        lines += ["Left out:", "", *(f"- {name}: {why}" for name, why in left_out.items()), ""]
    return "\n".join(lines)


_ABOUT_AUTHORS = [
    "The authors' code is not installed: their rows are the same networks in PyTorch as it comes",
    "(MDX-Net: the same graph in ONNX Runtime), windows, batches and passes as theirs. `x authors`",
    "compares with the routine that cuts the song into as many windows of as many samples as ours",
    "do, and so has equal output but for the context at the seams; overlap, where they published",
    "with it, doubles its time.",
    "",
]


def measure_rows(
    names: Sequence[str], song: Path, seconds: float, n_runs: int, console: Console
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """Measure the rows of these names; return them, and why others were left out."""
    chosen = [each for each in CONTESTANTS if each.name in names]
    left_out = {
        each.title: f"{each.missing} is not installed"
        for each in chosen
        if each.missing is not None
    }
    chosen = [each for each in chosen if each.missing is None]
    measured: dict[str, Measurement] = {}
    with tempfile.TemporaryDirectory() as cache:
        folders = export_systems(chosen, Path(cache))
        for contestant in chosen:
            folder = folders.get(contestant.system or "")
            found = measure_apart(contestant, folder, song, seconds, n_runs)
            if isinstance(found, str):
                left_out[contestant.title] = found.replace(cache, "")
                console.print(f"{contestant.name}: {found}", highlight=False)
            else:
                measured[contestant.name] = found
                console.print(
                    f"{contestant.name}: {found.wall_seconds:.2f} s, {found.peak_mib:.0f} MiB",
                    highlight=False,
                )
    return measured, left_out


def main() -> None:
    """Measure a table, both, some rows, or, in a process of its own, one."""
    names = [contestant.name for contestant in CONTESTANTS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=3)
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("--table", choices=list(TABLES), help="write this page; both if not given")
    rows.add_argument("--only", nargs="+", choices=names, metavar="NAME")
    rows.add_argument("--row", choices=names, help=argparse.SUPPRESS)
    parser.add_argument("--song", type=Path, default=EXAMPLE)
    parser.add_argument("-o", "--output", type=Path, default=None, help="of the rows of --only")
    arguments = parser.parse_args()
    song, seconds, n_runs = arguments.song, arguments.seconds, arguments.runs
    if arguments.output and not arguments.only:
        parser.error("-o belongs to --only; tables have their pages")
    if arguments.row:
        (contestant,) = (each for each in CONTESTANTS if each.name == arguments.row)
        print(json.dumps(asdict(measure(contestant, song, seconds, n_runs))))
        return
    console = Console(stderr=True)
    command = f"python -m bench.speed --seconds {seconds:g} --runs {n_runs}"
    if arguments.only:
        measured, left_out = measure_rows(arguments.only, song, seconds, n_runs, console)
        heading = [f"Written by `{command} --only {' '.join(arguments.only)}`.", ""]
        page = report(heading, measured, left_out, seconds, n_runs)
        if arguments.output is None:
            print(page)
        else:
            arguments.output.write_text(page, encoding="utf-8")
        return
    for name in [arguments.table] if arguments.table else TABLES:
        table = TABLES[name]
        measured, left_out = measure_rows(table.names, song, seconds, n_runs, console)
        other = next(each for each in TABLES.values() if each is not table)
        heading = [
            f"# {table.title}",
            "",
            f"Written by `{command} --table {name}`; see also [{other.title}]({other.page.name}).",
            "",
        ]
        page = report(heading, measured, left_out, seconds, n_runs)
        table.page.write_text(page, encoding="utf-8")
        console.print(f"written to {table.page}", highlight=False)


if __name__ == "__main__":
    main()
