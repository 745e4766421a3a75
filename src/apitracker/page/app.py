"""The application: the page, its static files, and the endpoints that its figures come from."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from ipaddress import ip_address
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig

from apitracker.errors import StoreError, UsageError
from apitracker.page import views
from apitracker.store.database import Store

HERE: Final = Path(__file__).parent
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
WAY_ON: Final = "open it by its address, or start it with apitracker serve --host NAME"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
ANY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - to be recognised, not bound

NO_TELEMETRY: Final = TelemetryConfig(
    tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False
)
"""Nothing is sent anywhere, whatever OpenTelemetry finds in the environment."""

Q = TypeVar("Q", bound=views.Question)
A = TypeVar("A")

FAULTS: Final[dict[int | str, dict[str, Any]]] = {
    403: {"model": views.Fault, "description": "Another site asks, through a browser."},
    422: {"model": views.Fault, "description": "A question that cannot be asked."},
    503: {"model": views.Fault, "description": "The store cannot be read just now, or at all."},
}
FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"text/csv": {"schema": {"type": "string"}}, "application/json": {"schema": {}}},
        "description": "All rows, as apitracker top --all writes them.",
    }
}


def make_app(path: Path, hosts: Collection[str] = LOOPBACK) -> FastAPI:
    """
    Make the application for the store at *path*.

    It answers requests whose Host is one of *hosts*, names or addresses without port; where `ANY`
    is among them, whose Host is an address.
    """
    app = FastAPI(
        title="apitracker",
        version=views.VERSION,
        description="Which AWS APIs are called, how often, by whom, and which are throttled or"
        " denied: the figures of the local page. Counts are of calls; times are UTC.",
        telemetry=NO_TELEMETRY,
        docs_url=None,  # its page would be loaded from elsewhere
        redoc_url=None,
        responses=FAULTS,
    )
    _guard(app, hosts)
    _explain(app)
    app.include_router(_endpoints(Store(path)))

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(HERE / "templates" / "page.html")

    app.mount("/static", StaticFiles(directory=HERE / "static"))
    return app


def _guard(app: FastAPI, hosts: Collection[str]) -> None:
    """Refuse what a page of another site may ask through the browser; say what ours may load."""

    @app.middleware("http")
    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        host = request.headers.get("host", "")
        response = (
            await answer(request)
            if is_ours(host, hosts)
            else JSONResponse({"detail": f"{host}: not the name of this server: {WAY_ON}"}, 421)
        )
        response.headers.update(HEADERS)
        # What is in the store is not for the browser's disk; files of ours it may keep, but it
        # asks whether they are still the same.
        static = request.url.path.startswith("/static/")
        response.headers["Cache-Control"] = "no-cache" if static else "no-store"
        return response


def is_ours(host: str, hosts: Collection[str]) -> bool:
    """
    Tell whether the Host of a request is one of *hosts*.

    A site that lets its own name resolve to this machine (DNS rebinding) is the same origin to the
    browser, but its name is in Host. The port does not matter: it may be forwarded, as by ssh -L.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.removeprefix("[").removesuffix("]").lower()
    if name in hosts:
        return True
    if not ANY & set(hosts):
        return False
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """
    Tell whether a browser sent a request with these *headers* for another origin.

    Another port of this machine is another origin too. A typed address is ``none`` in
    Sec-Fetch-Site; curl and scripts send no such header. A browser that is older than it, or that
    reaches this server by a name that is neither https nor this machine, may still send Origin.
    """
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    # By host and port alone: in front of us there may be a proxy that speaks https.
    return origin is not None and origin.partition("://")[2] != headers.get("host")


async def _refuse_elsewhere(request: Request) -> None:
    if is_from_elsewhere(request.headers):
        raise HTTPException(
            403,
            f"{request.url.path}: not for pages of other sites; open this server's own page, or"
            " type the address",
        )


def _explain(app: FastAPI) -> None:
    """Answer with words when there is no answer."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, e: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": views.wrong(e.errors())}, 422)

    @app.exception_handler(UsageError)
    async def unusable(_: Request, e: UsageError) -> JSONResponse:
        return JSONResponse({"detail": str(e)}, 422)

    @app.exception_handler(StoreError)
    async def unreadable(_: Request, e: StoreError) -> JSONResponse:
        return JSONResponse({"detail": str(e)}, 503)


def _endpoints(store: Store) -> APIRouter:
    """Make the endpoints that answer from *store*; they refuse the requests of other sites."""
    api = APIRouter(dependencies=[Depends(_refuse_elsewhere)])
    # DuckDB uses all cores for one question: several at a time are not answered sooner, and
    # between two of them the file is closed, so that an ingest can go on.
    turn = Lock()

    def answered(answer: Callable[[Store, Q], A], question: Q) -> A:
        with turn:
            return answer(store, question)

    @api.get("/api/about", summary="What is in the store")
    def about(question: Annotated[views.Question, Query()]) -> views.About:
        return answered(views.about, question)

    @api.get("/api/summary", summary="Headline figures")
    def summary(question: Annotated[views.Selected, Query()]) -> views.Summary:
        return answered(views.summary, question)

    @api.get("/api/thresholds", summary="Thresholds for an alarm")
    def thresholds(question: Annotated[views.Alarmed, Query()]) -> views.Thresholds:
        return answered(views.thresholds, question)

    @api.get("/api/series", summary="Calls over time")
    def series(question: Annotated[views.OverTime, Query()]) -> views.Stacked:
        return answered(views.series, question)

    @api.get("/api/top", summary="What calls fall to")
    def top(question: Annotated[views.Ranked, Query()]) -> views.Top:
        return answered(views.top, question)

    @api.get("/api/throttles", summary="Throttled or denied APIs, and who is behind it")
    def throttles(question: Annotated[views.Refused, Query()]) -> list[views.Throttle]:
        return answered(views.throttles, question)

    @api.get("/api/reconciliation", summary="What became of every record")
    def reconciliation(question: Annotated[views.Question, Query()]) -> views.Reconciliation:
        return answered(views.reconciliation, question)

    @api.get("/api/export", summary="All rows, as a file", response_class=Response, responses=FILE)
    def export(question: Annotated[views.Exported, Query()]) -> Response:
        text = answered(views.export, question)
        kind = {"csv": "text/csv", "json": "application/json"}[question.format]
        name = "-".join(part.strip() for part in question.by.split(","))
        return Response(
            text,
            media_type=kind,
            headers={"Content-Disposition": f'attachment; filename="{name}.{question.format}"'},
        )

    return api
