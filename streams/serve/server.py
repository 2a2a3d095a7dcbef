"""uvicorn in a thread of its own: started, looked after, stopped."""

import asyncio
import logging
import resource
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from schemas.errors import OperatorError
from streams.serve.certificate import certificate_files
from streams.serve.middleware import MOST_HEADER_BYTES, TellsAnswers
from streams.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)

FINISH_WITHIN_S = 6
"""So long uploads under way may take to finish when the process is asked to stop; then they are broken off."""

MOST_FILES = 16_384
BACKLOG = 1_024


class AddressError(OperatorError):
    """Nobody can listen at that address."""


class Server:
    """Serves the application from `start` until `stop`."""

    def __init__(
        self,
        app: "FastAPI",
        settings: Settings,
        now: datetime,
        *,
        name: Literal["serve", "play"] = "serve",
        answered: Callable[[int], None] | None = None,
    ) -> None:
        """At `serve_host` and `serve_port`, or `play_host` and `play_port`; `answered` is told the status of each
        answer. Raises `CertificateError`.
        """
        import uvicorn

        from streams.serve.connections import Connection

        files = certificate_files(settings, now)
        self._name = name
        self._host = settings.serve_host if name == "serve" else settings.play_host
        self._port = settings.serve_port if name == "serve" else settings.play_port
        self._scheme = "http" if files is None else "https"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app if answered is None else TellsAnswers(app, answered),
                http=Connection,
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                h11_max_incomplete_event_size=MOST_HEADER_BYTES,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=FINISH_WITHIN_S,
                backlog=BACKLOG,
                ssl_certfile=None if files is None else files.certificate,
                ssl_keyfile=None if files is None else files.key,
            )
        )
        self._failure: BaseException | None = None
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._socket is not None  # noqa: S101 - after `start`
        host, port = self._socket.getsockname()[:2]
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def start(self) -> None:
        """Listens when this returns. Raises `AddressError`."""
        _allow_many_files()
        try:
            family, kind, _, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)[0]
            listening = socket.socket(family, kind)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError as error:
            raise AddressError(
                f"nobody can listen at {self._name}_host {self._host}, {self._name}_port {self._port}: "
                f"{error.strerror}; choose another port, or stop what listens there"
            ) from None
        self._socket = listening
        self._thread.start()
        log.info("%s listens at %s", self._name, self.url)

    def look(self) -> None:
        """Raises what ended the server, where anything did."""
        if not self._thread.is_alive():
            raise self._failure or RuntimeError("the server ended by itself")

    def stop(self) -> None:
        """Finish what is under way, in bounded time; nobody listens any more when this returns."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(FINISH_WITHIN_S + 1)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._socket] if self._socket is not None else None))
        except BaseException as error:
            self._failure = error


def _allow_many_files() -> None:
    """Each connection is a file; the usual bound of a process is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
