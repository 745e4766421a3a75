"""The application: the page, its static files, and the endpoints of its figures."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from ipaddress import ip_address
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Final, TypeVar, get_type_hints

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig

from apitracker.errors import StoreError, UsageError
from apitracker.page import views
from apitracker.page.answers import Fault
from apitracker.page.parameters import ExportParameters, Parameters
from apitracker.store.database import Store
from apitracker.store.schema import APITRACKER_VERSION

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

P = TypeVar("P", bound=Parameters)
A = TypeVar("A")

FAULTS: Final[dict[int | str, dict[str, Any]]] = {
    403: {"model": Fault, "description": "Another site asks, through a browser."},
    422: {"model": Fault, "description": "A question that cannot be asked."},
    503: {"model": Fault, "description": "The store cannot be read just now, or at all."},
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
        version=APITRACKER_VERSION,
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
    """Refuse requests by a name that is not this server's; limit the files of our page."""

    @app.middleware("http")
    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        host = request.headers.get("host", "")
        response = (
            await answer(request)
            if is_ours(host, hosts)
            else JSONResponse({"detail": f"{host}: not the name of this server: {WAY_ON}"}, 421)
        )
        response.headers.update(HEADERS)
        # Answers of the store are not for the browser's disk. It may keep our static files, but
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
    """Answer in words where a question fails."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, e: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": views.word_errors(e.errors())}, 422)

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

    def answered(answer: Callable[[views.OpenStore, P], A], parameters: P) -> A:
        with turn, store.reading() as db:
            return answer(views.OpenStore(store.path, db), parameters)

    def add(path: str, endpoint: views.Endpoint) -> None:
        kind = endpoint.parameters

        def respond(parameters: Annotated[kind, Query()]) -> Any:  # type: ignore[valid-type] # noqa: ANN401 - it is told by response_model
            return answered(endpoint.answer, parameters)

        api.add_api_route(
            path,
            respond,
            summary=endpoint.summary,
            response_model=get_type_hints(endpoint.answer)["return"],
        )

    for path, endpoint in views.ENDPOINTS.items():
        add(path, endpoint)

    @api.get("/api/export", summary="All rows, as a file", response_class=Response, responses=FILE)
    def export(parameters: Annotated[ExportParameters, Query()]) -> Response:
        text = answered(views.export_rows, parameters)
        kind = {"csv": "text/csv", "json": "application/json"}[parameters.format]
        name = "-".join(part.strip() for part in parameters.by.split(","))
        return Response(
            text,
            media_type=kind,
            headers={"Content-Disposition": f'attachment; filename="{name}.{parameters.format}"'},
        )

    return api
