"""The HTTP application: ``/v1`` over a backend, the web page, health and metrics."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, Metric
from starlette.staticfiles import StaticFiles

from raypipe import __version__
from serve import admin, docs_page, documents, problems, routes
from serve.asking import Desk
from serve.auth import Tokens, guard, open_tokens
from serve.backend import Backend
from serve.errors import Unavailable
from serve.limits import Bounded
from serve.marking import Marking
from serve.metrics import Metrics, text
from serve.observe import Observed
from serve.settings import ApiSettings
from serve.signing import open_signer

WEB = Path(__file__).parent / "web"

DESCRIPTION = """Search and edit a collection of faces by attribute.

A face is given by its id, by its codes, or as a picture: then the body is `multipart/form-data`, with the question as
JSON in a part `query`, and `{"upload": "NAME"}` means the file part NAME. Errors are problem details (RFC 9457);
429 and 503 say in `Retry-After` when to ask again. Which attributes, spaces and columns there are is for
`GET /v1/attributes`, `/v1/spaces` and `/v1/index` to tell."""


def make_app(
    backend: Backend,
    settings: ApiSettings,
    metrics: Metrics | None = None,
    measured: Callable[[], Awaitable[Sequence[Metric]]] | None = None,
) -> FastAPI:
    """The application, which closes the backend when it ends.

    Args:
        metrics: where it counts.
        measured: what it tells of that; None: just that.

    Raises:
        WrongUsage: tokens that cannot be read, or none where others can connect.
    """
    metrics = metrics or Metrics()
    desk = Desk(backend, settings.limits, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await backend.close()

    app = FastAPI(
        title="raypipe",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    measured = measured or (lambda: measured_by(backend, desk.metrics))
    for router in _routers(desk, settings, open_tokens(settings, os.environ), measured):
        app.include_router(router)
    _add_page(app)
    _add_docs(app)
    problems.add_to(app)
    documents.describe(app)
    app.add_middleware(Bounded, body_bytes=settings.limits.body_bytes)
    app.add_middleware(Observed, metrics=metrics)
    return app


async def measured_by(backend: Backend, metrics: Metrics) -> list[Metric]:
    """What one server counts of itself, now."""
    return metrics.families(await backend.describe() if await backend.ready() else None)


def _routers(
    desk: Desk, settings: ApiSettings, tokens: Tokens, measured: Callable[[], Awaitable[Sequence[Metric]]]
) -> list[APIRouter]:
    """What is asked of a program. Who may ask is said for each router as a whole, so that no route can lack it."""
    queries, admins = [Depends(guard(tokens, "query"))], [Depends(guard(tokens, "admin"))]
    query = APIRouter(prefix="/v1", dependencies=queries, responses=documents.PROBLEMS)
    routes.add_descriptions(query, desk)
    routes.add_questions(query, desk)
    routes.add_pictures(query, desk, Marking(settings.provenance, open_signer(settings)))
    changes = APIRouter(prefix="/v1/admin", dependencies=admins, responses=documents.PROBLEMS)
    admin.add_changes(changes, desk, codes=settings.codes)
    health, metrics = APIRouter(), APIRouter(dependencies=queries)
    _add_health(health, desk)
    _add_metrics(metrics, measured)
    return [query, changes, health, metrics]


def _add_page(app: FastAPI) -> None:
    """Its files one by one, not everything under "/": there, what is no address would be a missing file."""
    for entry in sorted(WEB.iterdir()):
        if entry.is_dir():
            app.mount(f"/{entry.name}", StaticFiles(directory=entry), name="page")
        else:
            app.add_api_route(f"/{entry.name}", _file(entry), include_in_schema=False)
    app.add_api_route("/", _file(WEB / "index.html"), include_in_schema=False)


def _add_docs(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(docs_page.page(app.openapi()))

    @app.get(docs_page.STYLE_ADDRESS, include_in_schema=False)
    async def style() -> Response:
        return Response(docs_page.STYLE, media_type="text/css")


def _file(path: Path) -> Callable[[], Awaitable[FileResponse]]:
    async def file() -> FileResponse:
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return file


def _add_health(router: APIRouter, desk: Desk) -> None:
    @router.get("/healthz")
    async def healthz() -> Response:
        """The server runs."""
        return JSONResponse({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> Response:
        """Weights and shards are loaded: questions are answered."""
        if not await desk.backend.ready():
            raise Unavailable("weights and shards are not loaded yet")
        return JSONResponse({"status": "ready"})


def _add_metrics(router: APIRouter, measured: Callable[[], Awaitable[Sequence[Metric]]]) -> None:
    @router.get("/metrics")
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(text(await measured()), media_type=CONTENT_TYPE_LATEST)
