"""Who may talk to the live app: readers on this machine, or those who have the token."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
COOKIE = "netwright_token"
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Lets through only GET and HEAD, and only known readers.

    Without a token the Host header must name this machine: a foreign page that makes its own name point here
    (DNS rebinding) still sends that name. With a token, every request must carry it: once in the address as
    `?token=...`, from then on in a cookie, or in an `Authorization: Bearer` header.
    """

    def __init__(self, app: ASGIApp, *, token: str | None = None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in self._headers(scope).items()]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse(
                "Only reading is possible here: GET and HEAD.\n", status_code=405, headers={"allow": "GET, HEAD"}
            )
        if self._token is not None:
            if any(_same(given, self._token) for given in _tokens(scope, headers)):
                return None
            text = "This dashboard needs its token: open the address that was printed when it started.\n"
            return PlainTextResponse(text, status_code=401)
        if host_name(headers.get("host", "")) not in LOOPBACK:
            text = "This dashboard answers to 127.0.0.1 and localhost only.\n"
            return PlainTextResponse(text, status_code=403)
        return None

    def _headers(self, scope: Scope) -> dict[str, str]:
        if self._token is not None and _query_tokens(scope):
            return {**HEADERS, "set-cookie": f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict"}
        return HEADERS


def host_name(header: str) -> str:
    """The host in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _tokens(scope: Scope, headers: Headers) -> list[str]:
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    found = _query_tokens(scope) + ([bearer] if kind.lower() == "bearer" else [])
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        cookie = None  # a cookie that cannot be read holds no token; the request is refused without one
    return found + ([cookie.value] if cookie else [])


def _query_tokens(scope: Scope) -> list[str]:
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())
