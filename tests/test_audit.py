"""The audit of dependencies: what it finds, and that it is loud where it cannot look."""

from __future__ import annotations

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from .conftest import REPOSITORY

VULNERABLE = {"starlette": ["GHSA-1", "CVE-2"], "vite": ["GHSA-3"]}


@pytest.fixture
def audit(monkeypatch):
    """Load the script; of what is installed here it shall know nothing."""
    path = REPOSITORY / ".ci" / "audit.py"
    if not path.exists():
        pytest.skip("the audit lies in checkouts only")
    spec = importlib.util.spec_from_file_location("audit", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "installed", dict)
    return module


@pytest.fixture
def run(audit, monkeypatch, capsys):
    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["audit.py", *arguments])
        code = audit.main()
        return code, capsys.readouterr().err

    return call


@pytest.fixture
def database():
    """A stand-in for osv.dev that answers as it does, and keeps what it was asked."""

    class Answers(BaseHTTPRequestHandler):
        asked: list = []  # noqa: RUF012 - of all requests

        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            self.asked.extend(queries)
            known = [VULNERABLE.get(query["package"]["name"]) for query in queries]
            results = [{"vulns": [{"id": i} for i in ids]} if ids else {} for ids in known]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"results": results}).encode())

        def log_message(self, *_) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.asked = Answers.asked
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url(server) -> str:
    return f"http://127.0.0.1:{server.server_port}/v1/querybatch"


def test_vulnerable_packages_of_both_kinds_are_named_and_fail(run, database):
    code, told = run("--database", url(database))
    assert code == 1
    assert "starlette " in told
    assert "(PyPI): CVE-2, GHSA-1; take a newer version" in told
    assert "(npm): GHSA-3" in told
    asked = {(query["package"]["ecosystem"], query["package"]["name"]) for query in database.asked}
    assert {("PyPI", "fastapi"), ("PyPI", "torch"), ("npm", "wavesurfer.js")} <= asked
    assert all(query["version"] for query in database.asked)


def test_what_was_accepted_fails_no_more(run, database):
    accepted = [word for name in ("GHSA-1", "CVE-2", "GHSA-3") for word in ("--accept", name)]
    assert run("--database", url(database), *accepted) == (0, "")
    code, told = run("--database", url(database), *accepted[:-2])
    assert (code, told.count("\n")) == (1, 1)


def test_a_database_that_does_not_answer_is_told_and_fails_unless_that_may_be(run):
    code, told = run("--database", "http://127.0.0.1:9/")
    assert (code, told.startswith("NOT AUDITED: the database")) == (2, True)
    code, told = run("--database", "http://127.0.0.1:9/", "--if-reachable")
    assert (code, told.startswith("NOT AUDITED: the database")) == (0, True)


def test_a_package_without_a_pin_or_of_another_version_is_named(audit):
    pins = audit.pinned("# words\nJinja2==3.1.6\ntorch==2.13.0\nruamel.yaml==1.0 # why\n")
    assert pins == {"jinja2": "3.1.6", "torch": "2.13.0", "ruamel-yaml": "1.0"}
    assert audit.unpinned({"torch": "2.13.0+cpu", "ruamel-yaml": "1.0"}, pins) == []
    assert audit.unpinned({"jinja2": "3.1.5", "left-pad": "1"}, pins) == [
        "jinja2 3.1.5 is installed, but constraints.txt pins 3.1.6",
        "left-pad 1 is installed, but constraints.txt pins none",
    ]


def test_a_locked_package_without_a_checksum_is_named(audit):
    packages, faults = audit.locked(
        json.dumps(
            {
                "packages": {
                    "": {"name": "page"},
                    "node_modules/a": {"version": "1.0", "integrity": "sha512-x"},
                    "node_modules/a/node_modules/@b/c": {"version": "2.0"},
                }
            }
        )
    )
    assert packages == [("npm", "a", "1.0"), ("npm", "@b/c", "2.0")]
    assert faults == ["node_modules/a/node_modules/@b/c has no checksum"]
