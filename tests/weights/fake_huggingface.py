"""The part of Hugging Face that up- and downloads of models ask for, on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHuggingFace:
    """`repositories` holds the files of `owner/repo`; `calls` are (method, path, token)."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.calls: list[tuple[str, str, str | None]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FakeHuggingFace:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                path = self.path.partition("?")[0].strip("/")
                fake.calls.append((self.command, path, self.headers["Authorization"]))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, content = fake.answer(path, body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = _answer  # noqa: N815 - the library's names

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        words = path.split("/")
        if path == "api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'owner'}/{asked['name']}"
            self.repositories.setdefault(name, {})
            if asked.get("private") or asked.get("visibility") == "private":
                self.private.add(name)
            return _json({"url": f"{self.url}/{name}"})
        if path == "api/validate-yaml":
            return _json({"errors": [], "warnings": []})
        name = "/".join(words[2:4] if words[0] == "api" else words[:2])
        if name not in self.repositories:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        files = self.repositories[name]
        if words[0] != "api":
            return self._file(files, "/".join(words[4:]))
        return self._about(words[4] if len(words) > 4 else "", words, files, body)

    def _about(
        self, what: str, words: list[str], files: dict[str, bytes], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if what == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            return _json(
                {"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": 0} for p in paths]}
            )
        if what == "commit":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"{self.url}/{'/'.join(words[2:4])}/commit/{COMMIT}"
            return _json({"commitOid": COMMIT, "commitUrl": url})
        if what == "tree":
            return _json(
                [
                    {"type": "file", "path": p, "size": len(c), "oid": _etag(c)}
                    for p, c in files.items()
                ]
            )
        if what == "revision" and words[5] not in ("main", "v1"):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        siblings = [{"rfilename": path} for path in files]
        return _json({"id": "/".join(words[2:4]), "sha": COMMIT, "siblings": siblings})

    def _file(self, files: dict[str, bytes], path: str) -> tuple[int, dict[str, str], bytes]:
        content = files[path]
        return 200, {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": COMMIT}, content


def _json(content: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
