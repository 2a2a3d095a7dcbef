"""Around every request: an id, a line in the log, and what HTTP itself allows but nobody honest needs."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from streams.runtime.logs import describe
from streams.serve.problems import ClientGoneError, RefusedError, answer_of, busy

log = logging.getLogger(__name__)

_Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

MOST_HEADER_BYTES = 64 * 1024
"""Of one request, all headers together. What does not come at once, uvicorn refuses at the same length (400)."""

LINGER_S = 2.0
LINGER_BYTES = 4 * 1024 * 1024
"""So long, and so much, is read on and thrown away after a refusal, so that the sender sees it before we hang up."""

_SAFE = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class TellsAnswers:
    """Tells the status of each answer that is begun, whoever gives it."""

    def __init__(self, app: _App, answered: Callable[[int], None]) -> None:
        self._app = app
        self._answered = answered

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        async def send_and_tell(message: _Message) -> None:
            if message["type"] == "http.response.start":
                self._answered(int(message["status"]))
            await send(message)

        await self._app(scope, receive, send_and_tell)


class Edge:
    """The outermost layer of the application. `request.state.ended` is called when the request is over."""

    def __init__(self, app: _App, most_requests: int, new_id: Callable[[], str] = lambda: secrets.token_hex(8)) -> None:
        self._app = app
        self._most_requests = most_requests
        self._new_id = new_id
        self._open = 0

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(receive, send, request_id, _has_body(scope))
        began_s = time.monotonic()
        self._open += 1
        try:
            refused = self._refusal(scope)
            if refused is not None:
                await answer_of(refused, request_id)(scope, exchange.receive, exchange.send)
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except ClientGoneError:
            exchange.status = 499
        except Exception as error:
            # Its text may hold what was sent.
            log.critical("request %s: this is a bug: %s", request_id, describe(error))
            if exchange.status is None:
                bug = RefusedError(
                    HTTPStatus.INTERNAL_SERVER_ERROR, "bug", "This is a bug: tell the operator the request id."
                )
                await answer_of(bug, request_id)(scope, exchange.receive, exchange.send)
        finally:
            self._open -= 1
            if (ended := scope["state"].get("ended")) is not None:
                ended()
            route = scope.get("route")
            log.info(
                "request %s: %s %s %s by %s, %d bytes in %d ms",
                request_id,
                scope["method"] if scope["method"] in _METHODS else "?",
                getattr(route, "path", "?"),
                exchange.status or "-",
                scope["state"].get("key_id", "-"),
                exchange.bytes_in,
                (time.monotonic() - began_s) * 1_000,
            )

    def _refusal(self, scope: _Scope) -> RefusedError | None:
        names = [name for name, _ in scope["headers"]]
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        if b"transfer-encoding" in names and b"content-length" in names:
            # Two servers in a row may take different bytes for the next request.
            return RefusedError(
                HTTPStatus.BAD_REQUEST, "ambiguous_length", "Content-Length and Transfer-Encoding exclude each other."
            )
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADER_BYTES:
            return RefusedError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The headers are too long."
            )
        if any(names.count(name) > 1 for name in (b"authorization", b"content-type", b"x-callstream-event")):
            return RefusedError(HTTPStatus.BAD_REQUEST, "header_twice", "A header stands there twice.")
        if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
            return RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", "Send the body as it is, not compressed."
            )
        if b"content-range" in names:
            # The first part of a recording would be taken for all of it.
            return RefusedError(
                HTTPStatus.BAD_REQUEST, "partial_content", "Send the whole recording, without Content-Range."
            )
        if self._open > self._most_requests:
            return busy("too_many_requests", "Too many requests at once: send this one again later.", 1)
        return None


def _has_body(scope: _Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Exchange:
    """One request and its answer. A body that was not read to its end closes the connection behind the answer."""

    def __init__(self, receive: _Receive, send: _Send, request_id: str, has_body: bool) -> None:
        self._receive = receive
        self._send = send
        self._request_id = request_id.encode()
        self._whole = not has_body
        self._gone = False
        self._closes = False
        self.status: int | None = None
        self.bytes_in = 0

    async def receive(self) -> _Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.bytes_in += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
        else:
            self._gone = True
        return message

    async def send(self, message: _Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = [*message.get("headers", ())]
            names = {name for name, _ in given}
            safe = (each for each in _SAFE if each[0] not in names)
            headers = [*given, (b"x-request-id", self._request_id), *safe]
            self._closes = not self._whole and message["status"] >= HTTPStatus.BAD_REQUEST
            if self._closes:
                headers.append((b"connection", b"close"))
            await self._send({**message, "headers": headers})
        elif self._closes and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._send(message)

    async def _linger(self) -> None:
        """Closing at once would make the kernel throw away our answer on its way to who is still sending."""
        until_s = time.monotonic() + LINGER_S
        most = self.bytes_in + LINGER_BYTES
        while not self._whole and not self._gone and self.bytes_in < most:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            try:
                await asyncio.wait_for(self.receive(), left_s)
            except TimeoutError:
                return
