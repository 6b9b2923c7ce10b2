"""The live app: follows a run while it goes on, on this machine, and never writes to it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from netwright.core.errors import ConfigurationError, Mistake, NetwrightError, RunError, UnknownNameError
from netwright.dashboards.changes import Follower
from netwright.dashboards.details import draw, find_trial, trial_details
from netwright.dashboards.figures import GL_FROM
from netwright.dashboards.guard import LOOPBACK, Guard
from netwright.dashboards.page import SCRIPTS, STYLE, asset, json_in_page, live_page, live_policy, plotly_script
from netwright.dashboards.payload import title
from netwright.dashboards.report import report_page
from netwright.runs.view import RunView


def create_app(open_view: Callable[[], RunView], *, token: str | None = None, refresh_s: float = 1.0) -> Starlette:
    """The app that shows whatever run `open_view` gives, read anew at most every `refresh_s` seconds.

    With a token every request must carry it; without one only requests to this machine's own name are answered.
    """
    pages = _Pages(Follower(open_view, refresh_s=refresh_s))
    return Starlette(
        routes=[
            Route("/", pages.index),
            Route("/report.html", pages.report),
            Route("/assets/{name}", _asset),
            Route("/api/run", pages.run),
            Route("/api/trials/{number:int}", pages.trial),
            Route("/api/trials/{number:int}/drawing.svg", pages.drawing),
        ],
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={UnknownNameError: _missing, NetwrightError: _unreadable},
    )


def serve(
    path: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8600,
    token: str | None = None,
    announce: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a run's page until Ctrl-C. `announce` gets the address once the port is taken; port 0 takes a free one.

    Raises ConfigurationError for a host beyond this machine without a token, and RunError when the run cannot
    be read or the port is in use.
    """
    import uvicorn

    from netwright.runs.view import open_run

    if host not in LOOPBACK and not token:
        mistake = f"came {host!r}, which other machines can reach; give a token too, or use 127.0.0.1"
        raise ConfigurationError([Mistake("host", mistake)])
    view = open_run(path)

    def read() -> RunView:
        nonlocal view
        view = open_run(path, known=view)
        return view

    listening = _bind(host, port)
    app = create_app(read, token=token)
    shown = f"[{host}]" if ":" in host else host
    announce(f"http://{shown}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else ""))
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    with suppress(KeyboardInterrupt), closing(listening):
        uvicorn.Server(config).run(sockets=[listening])


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise RunError(
            f"cannot listen on {host} port {port}: {error}; give another port, or 0 for a free one"
        ) from None
    return listening


class _Pages:
    """The answers that depend on the run; reading it happens off the event loop."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    async def index(self, request: Request) -> Response:
        view = await run_in_threadpool(self._follower.view)
        gl = max(view.asked, len(view.trials)) >= GL_FROM
        headers = {"cache-control": "no-store", "content-security-policy": live_policy(gl=gl)}
        return HTMLResponse(live_page(name=title(view), gl=gl), headers=headers)

    async def report(self, request: Request) -> Response:
        view = await run_in_threadpool(self._follower.view)
        text = await run_in_threadpool(report_page, view)
        disposition = {"content-disposition": 'attachment; filename="report.html"'}
        return HTMLResponse(text, headers=disposition)

    async def run(self, request: Request) -> Response:
        since = request.query_params.get("since", "")
        known = int(since) if since.isdecimal() and since.isascii() else None
        data = await run_in_threadpool(self._follower.page, since=known)
        return _json(data)

    async def trial(self, request: Request) -> Response:
        view = await run_in_threadpool(self._follower.view)
        return _json(await run_in_threadpool(trial_details, view, request.path_params["number"]))

    async def drawing(self, request: Request) -> Response:
        view = await run_in_threadpool(self._follower.view)
        number = find_trial(view, request.path_params["number"]).number
        svg = await run_in_threadpool(draw, view, number)
        if svg is None:
            return PlainTextResponse("This trial has no drawing.\n", status_code=404)
        return Response(svg, media_type="image/svg+xml")


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "plotly.js":
        script = await run_in_threadpool(plotly_script)
        return Response(script, media_type="text/javascript", headers={"cache-control": "max-age=3600"})
    if name not in (*SCRIPTS, STYLE):
        return PlainTextResponse("There is no such file.\n", status_code=404)
    kind = "text/css" if name == STYLE else "text/javascript"
    return Response(asset(name), media_type=kind, headers={"cache-control": "no-cache"})


def _json(data: object) -> Response:
    return Response(json_in_page(data), media_type="application/json", headers={"cache-control": "no-store"})


async def _missing(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=404)


async def _unreadable(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=503)
