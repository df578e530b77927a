"""Puts a server together. Making one touches no file; entering its life does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from stemlight._version import __version__
from stemlight.serve.choices import Choices
from stemlight.serve.database import connect
from stemlight.serve.events import EventHub
from stemlight.serve.files import JobFiles
from stemlight.serve.janitor import Janitor
from stemlight.serve.media_routes import media_router
from stemlight.serve.metrics import Metrics, Timed
from stemlight.serve.problems import add_problem_handlers
from stemlight.serve.routes import open_router, router
from stemlight.serve.security import Gate, Keys
from stemlight.serve.settings import ServeSettings
from stemlight.serve.store import Store
from stemlight.serve.studio import Studio
from stemlight.serve.supervision import Supervisor
from stemlight.serve.views import API

__all__ = ["PAGE_FOLDER", "create_app"]

PAGE_FOLDER = Path(__file__).resolve().parent / "page"
"""The built page, which wheels contain."""

_PLAIN_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>stemlight</title></head>
<body><h1>stemlight</h1>
<p>The server runs. Its page is not built here; programs find the
<a href="{API}/openapi.json">description of the service</a>.</p></body></html>
"""


def create_app(settings: ServeSettings) -> FastAPI:
    """Make the application of a server; its life makes folders, migrates and starts workers."""

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        files = JobFiles(settings.data_folder)
        files.prepare()
        with files.locked():
            store = Store(connect(settings.database_url))
            studio = _studio(settings, files, store, keys)
            app.state.studio = studio
            studio.janitor.clean()
            studio.supervisor.start()
            studio.janitor.start()
            studio.hub.start()
            try:
                yield
            finally:
                await studio.hub.stop()
                studio.janitor.stop()
                studio.supervisor.stop()
                store.close()

    app = FastAPI(
        title="stemlight",
        version=__version__,
        summary="Separates songs into stems.",
        lifespan=life,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # what generated clients call it
    )
    keys = Keys(settings.api_keys)
    add_problem_handlers(app)
    app.include_router(open_router)
    app.include_router(router)
    app.include_router(media_router)
    _add_metrics(app)
    _add_page(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Location", "Retry-After", "X-Gain-Db"],
        )
    app.add_middleware(Gate, settings=settings, keys=keys)
    return app


def _studio(settings: ServeSettings, files: JobFiles, store: Store, keys: Keys) -> Studio:
    supervisor = Supervisor(settings, store)
    hub = EventHub(store)

    def facts() -> tuple[dict[str, int], dict[str, float]]:
        numbers = {
            "files_bytes": store.used_bytes(),
            "workers": len(supervisor.pids),
            "worker_restarts": supervisor.n_restarts,
            "event_listeners": hub.n_listeners,
        }
        return dict(store.totals()), {name: float(value) for name, value in numbers.items()}

    return Studio(
        settings=settings,
        store=store,
        files=files,
        choices=Choices.of(settings.models),
        keys=keys,
        hub=hub,
        janitor=Janitor(settings, store, files),
        supervisor=supervisor,
        metrics=Metrics(facts),
    )


def _add_metrics(app: FastAPI) -> None:
    @app.get("/metrics", tags=["server"], response_class=Response)
    def metrics() -> Response:
        """Give numbers for Prometheus."""
        studio: Studio = app.state.studio
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        return Response(studio.metrics.text(), headers={"Content-Type": content_type})

    app.add_middleware(Timed, metrics=lambda: app.state.studio.metrics, clock=time.perf_counter)


class _Page(StaticFiles):
    """The page; its assets have their content's hash in their names, so they never change."""

    def file_response(self, full_path, stat_result, scope: Scope, status_code: int = 200):  # type: ignore[no-untyped-def]
        response = super().file_response(full_path, stat_result, scope, status_code)
        is_asset = scope["path"].startswith("/assets/")
        age = "public, max-age=31536000, immutable" if is_asset else "no-cache"
        response.headers["Cache-Control"] = age
        return response


def _add_page(app: FastAPI) -> None:
    if (PAGE_FOLDER / "index.html").is_file():
        app.mount("/", _Page(directory=PAGE_FOLDER, html=True))
        return

    @app.get("/", include_in_schema=False)
    def plain_page() -> HTMLResponse:
        return HTMLResponse(_PLAIN_PAGE)
