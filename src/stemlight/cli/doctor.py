"""`stemlight doctor`: what is installed, whether it works, and what to do where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemlight.cli.console import complain, note, print_result, refuse_lost_report, write_json
from stemlight.cli.interrupts import Interrupts
from stemlight.errors import StemlightError

if TYPE_CHECKING:
    from stemlight.cli.health import Finding

__all__ = ["doctor"]

_NAME_WIDTH = 24
_OTHER_ENGINES = {"openvino": ("openvino",), "torch": ("torch", "einops")}
"""Engines that are compared with the default one where their packages are."""


def doctor(
    model: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="The model of the self-test.")
    ] = "stemlight",
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, help="Threads of the network; 0 takes all cores.")
    ] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave the self-test of ten seconds of music out.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write all findings as JSON, too.")
    ] = None,
) -> None:
    """Examine this installation: versions, engines, devices, cache, models, disk, and a self-test.

    The self-test separates ten seconds of made-up music twice: exact length, the same bytes, how
    fast, and how far the engines are apart if PyTorch is there. Nothing is downloaded.

    Exit codes: 0 all is well; 1 something is wrong (each with what to do, on standard error).
    """
    refuse_lost_report(report)
    findings: list[Finding] = []
    with Interrupts() as interrupts:
        for finding in _examine(model, threads, quick=quick):
            findings.append(finding)
            print_result(f"{finding.name.ljust(_NAME_WIDTH)}  {finding.value}")
            interrupts.check()
    problems = [finding.problem for finding in findings if finding.problem]
    write_json(report, {"findings": [_plain(finding) for finding in findings]})
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(1)
    note("all is well")


def _examine(model: str, n_threads: int, *, quick: bool) -> Iterator[Finding]:
    from stemlight.cli import health

    broken = False
    for finding in health.packages():
        broken = broken or finding.problem is not None
        yield finding
    yield from health.machine()
    yield from health.room()
    if broken:  # all else would fail for the same reason
        return
    yield from health.models()
    if not quick:
        yield from _self_test(model, n_threads)


def _self_test(model: str, n_threads: int) -> Iterable[Finding]:
    from stemlight.api import load
    from stemlight.cli import self_test as tests
    from stemlight.cli.health import Finding

    yield from tests.codec_test()
    stems: dict[str, Any] = {}
    try:
        separator = load(model, n_threads=n_threads, offline=True)
        yield from tests.self_test(separator, stems)
        yield from _compared(model, n_threads, stems)
    except StemlightError as error:
        yield Finding("self-test", "failed", f"the self-test failed: {error}")
    except Exception as error:  # the libraries below fail in ways of their own
        line = " ".join(f"{type(error).__name__}: {error}".split())
        yield Finding(
            "self-test", "failed", f"the self-test failed ({line}); please report it with all lines"
        )


def _compared(model: str, n_threads: int, stems: dict[str, Any]) -> Iterator[Finding]:
    """Compare the other engines that are here; one that cannot run the model is passed over."""
    from stemlight.api import load
    from stemlight.cli import self_test as tests
    from stemlight.cli.health import Finding

    for engine, packages in _OTHER_ENGINES.items():
        if any(find_spec(package) is None for package in packages):
            continue
        try:
            other = load(
                model,
                engine=engine,  # type: ignore[arg-type]
                device="cpu",
                n_threads=n_threads,
                offline=True,
            )
        except StemlightError as error:
            yield Finding(f"onnx and {engine}", f"not compared: {error}")
            continue
        other_stems = other(tests.made_up_music(), sample_rate_hz=44_100)
        yield tests.compare_engines(stems, engine, other_stems)


def _plain(finding: Finding) -> dict[str, str | None]:
    return {"name": finding.name, "value": finding.value, "problem": finding.problem}
