"""Is what we install what we pin, and does any of it have known vulnerabilities?

    python .ci/audit.py [--if-reachable] [--accept ID ...]

First, without a network: every package that stemlight and its extras bring is pinned in
constraints.txt at the version that is installed, and every package of web/package-lock.json has a
checksum. Then the database of known vulnerabilities (osv.dev) is asked about all of them. Exit
codes: 0 nothing was found; 1 something was; 2 the database could not be asked, unless
`--if-reachable` says that this may be.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import sys
import urllib.request
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "https://api.osv.dev/v1/querybatch"
_MOST_QUERIES = 500  # of the 1000 that the database takes at once
_TIMEOUT_SECONDS = 60

Package = tuple[str, str, str]  # ecosystem, name, version


def plain(name: str) -> str:
    """Return a name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(text: str) -> dict[str, str]:
    """Read the lines `name==version` of a file of constraints."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {
        plain(name): version
        for name, _, version in (line.partition("==") for line in lines if line)
    }


def installed() -> dict[str, str]:
    """Return the versions of all packages that stemlight and its extras bring."""
    versions: dict[str, str] = {}
    waiting = [("stemlight", tuple(distribution("stemlight").metadata.get_all("Provides-Extra")))]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:  # of an extra that this environment does without
            continue
        versions[plain(name)] = found.version
        for line in found.requires or ():
            needed = Requirement(line)
            marks = needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            )
            entry = (plain(needed.name), tuple(sorted(needed.extras)))
            if marks and entry not in seen:
                seen.add(entry)
                waiting.append(entry)
    del versions["stemlight"]
    return versions


def unpinned(versions: dict[str, str], pins: dict[str, str]) -> list[str]:
    """Name what is installed but would not be audited: without a pin, or of another version."""
    return [
        f"{name} {version} is installed, but constraints.txt pins {pins.get(name, 'none')}"
        for name, version in sorted(versions.items())
        if pins.get(name) != version.partition("+")[0]
    ]


def locked(text: str) -> tuple[list[Package], list[str]]:
    """Read a package-lock.json: its packages, and what is wrong with them."""
    entries = {path: entry for path, entry in json.loads(text)["packages"].items() if path}
    packages = [
        ("npm", path.rpartition("node_modules/")[2], entry["version"])
        for path, entry in entries.items()
    ]
    faults = [
        f"{path} has no checksum" for path, entry in entries.items() if "integrity" not in entry
    ]
    return packages, faults


def ask(packages: list[Package], database: str) -> dict[Package, list[str]]:
    """Return the known vulnerabilities of those packages that have any."""
    found: dict[Package, list[str]] = {}
    for start in range(0, len(packages), _MOST_QUERIES):
        some = packages[start : start + _MOST_QUERIES]
        queries = [
            {"package": {"ecosystem": ecosystem, "name": name}, "version": version}
            for ecosystem, name, version in some
        ]
        request = urllib.request.Request(
            database,
            json.dumps({"queries": queries}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            results = json.load(answer)["results"]
        for package, result in zip(some, results, strict=True):
            if known := [entry["id"] for entry in result.get("vulns", ())]:
                found[package] = known
    return found


def main() -> int:
    """Print what was found; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--if-reachable", action="store_true", help="pass where the database is not"
    )
    parser.add_argument("--accept", action="append", default=[], metavar="ID", help="a known one")
    parser.add_argument("--database", default=DATABASE, metavar="URL", help="[osv.dev]")
    chosen = parser.parse_args()
    pins = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    packages, faults = locked((ROOT / "web/package-lock.json").read_text(encoding="utf-8"))
    faults += unpinned(installed(), pins)
    packages += [("PyPI", name, version) for name, version in pins.items()]
    try:
        known = ask(packages, chosen.database)
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        known = {}
        print(
            f"NOT AUDITED: the database of known vulnerabilities does not answer ({error}); "
            "run `make audit` where it can be reached",
            file=sys.stderr,
        )
        code = 0 if chosen.if_reachable else 2
    else:
        print(f"{len(packages)} packages were looked up, {len(known)} have known vulnerabilities")
        code = 0
    for (ecosystem, name, version), ids in known.items():
        left = sorted(set(ids) - set(chosen.accept))
        if left:
            faults.append(
                f"{name} {version} ({ecosystem}): {', '.join(left)}; take a newer version"
            )
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else code


if __name__ == "__main__":
    sys.exit(main())
