"""What goes wrong between a client and the server: one code, one status, one line."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from stemlight.errors import StemlightError, UsageError

__all__ = ["RefusalError", "add_problem_handlers", "problem_response"]

_CODES = {
    400: "bad_request",
    401: "key_needed",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "invalid",
    429: "too_many_requests",
    503: "unavailable",
    507: "storage_full",
}


class RefusalError(StemlightError):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        retry_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or _CODES[status]
        self.retry_seconds = retry_seconds


def problem_response(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer that the contract has for all errors."""
    content = {"error": {"code": code, "message": message}}
    return JSONResponse(content, status_code=status, headers=dict(headers or {}))


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every exception in the same form."""

    @app.exception_handler(RefusalError)
    async def _(request: Request, problem: RefusalError) -> JSONResponse:
        headers = {}
        if problem.retry_seconds is not None:
            headers["Retry-After"] = str(problem.retry_seconds)
        if problem.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return problem_response(problem.status, problem.code, str(problem), headers)

    @app.exception_handler(UsageError)
    async def _(request: Request, error: UsageError) -> JSONResponse:
        return problem_response(422, "invalid", " ".join(str(error).split()))

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:5]
        ]
        return problem_response(422, "invalid", "; ".join(faults) + "; see /api/v1/openapi.json")

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "error")
        return problem_response(error.status_code, code, str(error.detail), error.headers)

    @app.exception_handler(OperationalError)
    async def _(request: Request, error: OperationalError) -> JSONResponse:
        print(f"database: {error.orig}", file=sys.stderr, flush=True)
        line = "the server's database does not answer; try again"
        return problem_response(503, "unavailable", line, {"Retry-After": "5"})

    @app.exception_handler(FileNotFoundError)
    async def _(request: Request, error: FileNotFoundError) -> JSONResponse:
        return problem_response(404, "not_found", "this file has expired or was deleted")
