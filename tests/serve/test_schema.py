"""Requests made from the service's own description: every answer is one that it describes."""

from __future__ import annotations

import warnings
from pathlib import Path

import httpx2 as httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from stemlight.serve.app import create_app
from stemlight.serve.engine import make_engine
from stemlight.serve.settings import ServeSettings
from stemlight.serve.worker import Worker

from .material import API, FAKE_ENGINE, form, listening_server, write_song

with warnings.catch_warnings():  # the tool's own imports are not ours to mend
    warnings.simplefilter("ignore")
    schemathesis = pytest.importorskip("schemathesis", reason="the extra dev is not installed")
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as openapi_checks

pytestmark = pytest.mark.filterwarnings("ignore")

CHECKS = [
    not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A listening server with a finished job; gives its address, the job and its owner's cookie."""
    folder = tmp_path_factory.mktemp("schema")
    options = {"data_folder": folder / "data", "devices": (), "engine": FAKE_ENGINE}
    settings = ServeSettings(**options, queue_length=10_000, jobs_per_client=10_000)
    with listening_server(settings) as (app, (host, port)):
        address = f"http://{host}:{port}"
        with httpx.Client(base_url=address) as client:
            song = write_song(folder / "noise.wav")
            job = client.post(f"{API}/jobs", **form(song, format="flac")).json()
            studio = app.state.studio
            assert Worker(settings, studio.store, make_engine(settings, "cpu")).run_one()
            yield address, job["id"], dict(client.cookies)


def operations():
    app = create_app(ServeSettings(data_folder=Path("unused")))  # which touches no file
    schema = schemathesis.openapi.from_dict(app.openapi())
    found = [entry.ok() for entry in schema.get_all_operations()]
    # Events are streams, which tests of their own read.
    return [operation for operation in found if not operation.path.endswith("/events")]


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.label)
def test_every_answer_is_one_that_the_description_has(operation, described):
    address, job_id, cookies = described
    is_deletion = operation.method.upper() == "DELETE" or operation.path.endswith("cancel")

    @hypothesis_settings(
        max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy())
    def answers(case):
        if "job_id" in (case.path_parameters or {}) and not is_deletion:
            case.path_parameters["job_id"] = job_id
            for parameter, real in (("name", "vocals"), ("file_name", "vocals.flac")):
                if len(case.path_parameters.get(parameter, "x")) % 2 == 0:
                    case.path_parameters[parameter] = real
        answer = case.call(base_url=address, cookies=cookies)
        case.validate_response(answer, checks=CHECKS)

    answers()


def test_the_description_names_every_route_and_every_error(local):
    paths = local.client.get(f"{API}/openapi.json").json()["paths"]
    for name in ("jobs", "jobs/{job_id}", "jobs/{job_id}/events", "models", "health", "options"):
        assert f"{API}/{name}" in paths
    for path, methods in paths.items():
        for method, facts in methods.items():
            if "/jobs" in path:
                assert {"401", "404", "422"} <= set(facts["responses"]), (method, path)
