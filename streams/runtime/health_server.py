"""Where a worker tells how it is, over plain HTTP: `/metrics`, `/livez`, `/readyz`, `/startupz`.

For Prometheus and for who starts workers, inside a trusted network. It tells nothing of calls and takes nothing.
"""

import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from schemas.errors import OperatorError
from streams.runtime.health import WorkerHealth
from streams.settings import host_and_port

log = logging.getLogger(__name__)

READ_WITHIN_S = 10.0
MOST_CONNECTIONS = 16
"""At the same time; further ones wait until one has ended."""


class MetricsAddressError(OperatorError):
    """Nobody can listen there."""


class HealthServer:
    """Listens from `start` until `stop`."""

    def __init__(self, address: str, health: WorkerHealth) -> None:
        """`address` as the setting `metrics_address`, not empty."""
        self._address = address
        self._health = health
        self._server: _Server | None = None

    @property
    def address(self) -> str:
        """`host:port` where it listens, the port as it is; empty where it does not."""
        if self._server is None:
            return ""
        host, port = self._server.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Listens when this returns. Raises `MetricsAddressError`."""
        host, port = host_and_port(self._address)
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._server = _Server(family, address[:2], self._health)
        except OSError as error:
            raise MetricsAddressError(
                f"nobody can listen at metrics_address {self._address}: {error.strerror}; give each worker of a "
                "machine a port of its own, or port 0"
            ) from None
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        log.info("%s tells its metrics at http://%s/metrics", self._health.stage, self.address)

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, family: socket.AddressFamily, address: tuple[object, ...], health: WorkerHealth) -> None:
        self.address_family = family
        self.health = health
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((str(address[0]), int(str(address[1]))), _Handler)

    def process_request(self, request: object, client_address: object) -> None:
        self._room.acquire()
        try:
            super().process_request(request, client_address)  # type: ignore[arg-type]
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._room.release()

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Who asks has gone away; that is nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = READ_WITHIN_S
    server_version = "callstream"
    sys_version = ""
    questions: ClassVar[dict[str, Callable[[WorkerHealth], list[str]]]] = {
        "/livez": WorkerHealth.against_living,
        "/readyz": WorkerHealth.against_being_ready,
        "/startupz": WorkerHealth.against_having_started,
    }

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            body, content_type = self.server.health.metrics.text(self.headers.get("Accept") or "")
            self._answer(200, body, content_type)
        elif (question := self.questions.get(path)) is not None:
            against = question(self.server.health)
            self._answer(503 if against else 200, ("\n".join(against) or "ok").encode() + b"\n")
        else:
            self._answer(404, b"/metrics, /livez, /readyz, /startupz\n")

    def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Every few seconds somebody asks."""
