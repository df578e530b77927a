"""What a catalogue costs: machines, hours, storage and money, for 1, 10 and 100 million tracks.

    python -m bench.scale_arithmetic [--compute-factor 0.076] [--core-hour-price 0.04] [...]

Nothing is measured here: computing and sizes are what `python -m bench.scale_simulation --measure`
measured, prices are assumptions, round numbers of the order that large providers ask, in whatever
currency they are given in. The tables are those of docs/scale.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.options import add_options, from_options, option

__all__ = ["Assumptions", "Plan", "make_plan", "tables"]

CATALOGUES = (1_000_000, 10_000_000, 100_000_000)


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Measured numbers, and prices."""

    track_seconds: float = option(240.0, "mean length of a track")
    compute_factor: float = option(0.076, "computing time of one core / length of the track")
    utilisation: float = option(0.95, "share of the cores' time that is computing")
    cores_per_machine: int = option(64, "cores of a machine, one worker to each")
    hours: float = option(24.0, "in which the whole catalogue is to be done")
    read_byte_rate: float = option(100e3, "bytes of a second of a track")
    flac_byte_rate: float = option(220e3, "bytes of a second of all its stems, as FLAC")
    opus_kbps: float = option(216.0, "bit rate of one stem, as Opus by default")
    n_stems: int = option(4, "stems of a track")
    n_reads: int = option(8, "requests of a track that read")
    n_writes: int = option(6, "requests of a track that write")
    core_hour_price: float = option(0.04, "of one core for an hour")
    gigabyte_month_price: float = option(0.023, "of storing 10^9 bytes for a month")
    million_reads_price: float = option(0.4, "of a million requests that read")
    million_writes_price: float = option(5.0, "of a million requests that write")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a catalogue needs; bytes and money of the stems by format."""

    hours_of_audio: float
    core_hours: float
    n_machines: int
    """To be done in the hours that were given."""
    computing_price: float
    request_price: float
    stored_bytes: Mapping[str, float]
    month_price: Mapping[str, float]
    bytes_per_second: Mapping[str, float]
    """To and from the storage while those machines work."""


def make_plan(n_tracks: int, given: Assumptions) -> Plan:
    """Work out what so many tracks need."""
    seconds = n_tracks * given.track_seconds
    core_hours = seconds * given.compute_factor / given.utilisation / 3600
    stored = {
        "FLAC": seconds * given.flac_byte_rate,
        "Opus": seconds * given.n_stems * given.opus_kbps * 1000 / 8,
    }
    read_bytes = seconds * given.read_byte_rate
    requests = given.n_reads * given.million_reads_price
    requests += given.n_writes * given.million_writes_price
    return Plan(
        hours_of_audio=seconds / 3600,
        core_hours=core_hours,
        n_machines=math.ceil(core_hours / given.hours / given.cores_per_machine),
        computing_price=core_hours * given.core_hour_price,
        request_price=n_tracks * requests / 1e6,
        stored_bytes=stored,
        month_price={
            name: n_bytes / 1e9 * given.gigabyte_month_price for name, n_bytes in stored.items()
        },
        bytes_per_second={
            name: (n_bytes + read_bytes) / (given.hours * 3600) for name, n_bytes in stored.items()
        },
    )


def tables(given: Assumptions) -> Iterator[str]:
    """Yield the lines of both tables, as Markdown."""
    plans = {n_tracks: make_plan(n_tracks, given) for n_tracks in CATALOGUES}
    machines = f"machines of {given.cores_per_machine} cores for {given.hours:g} h"
    yield f"| tracks | hours of music | core hours | {machines} | computing | requests |"
    yield "|---:|---:|---:|---:|---:|---:|"
    for n_tracks, plan in plans.items():
        yield (
            f"| {n_tracks:,} | {plan.hours_of_audio:,.0f} | {plan.core_hours:,.0f} "
            f"| {plan.n_machines:,} | {plan.computing_price:,.0f} | {plan.request_price:,.0f} |"
        )
    yield ""
    yield "| tracks | stems as | TB | a month | GB/s while they are made |"
    yield "|---:|---|---:|---:|---:|"
    for n_tracks, plan in plans.items():
        for name, n_bytes in plan.stored_bytes.items():
            yield (
                f"| {n_tracks:,} | {name} | {n_bytes / 1e12:,.0f} | {plan.month_price[name]:,.0f} "
                f"| {plan.bytes_per_second[name] / 1e9:,.1f} |"
            )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, Assumptions)
    for line in tables(from_options(Assumptions, parser.parse_args())):
        print(line)


if __name__ == "__main__":
    main()
