"""A real HTTP server on loopback that behaves as badly as a test tells it to."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """What arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """How to answer. `hang`: not at all; `drop`: hang up; `drip`: one byte now and then, for ever."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    behaviour: str = "answer"


HANG = Reply(behaviour="hang")
DROP = Reply(behaviour="drop")
DRIP = Reply(behaviour="drip")


class Receiver:
    """Answers by the replies that it was given, one after the other, then by the last for ever."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.replies: list[Reply] = [Reply()]
        self.connections = 0
        self.choose: Callable[[Request], Reply] | None = None
        self.lock = threading.Lock()
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                with receiver.lock:
                    receiver.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                request = Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                with suppress(OSError):
                    receiver.answer(self, request)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
                """Tests look at `requests`."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that hang up, or do not like our certificate, are what is tested."""

        self._server = Server(("127.0.0.1", port), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def script(self, *replies: Reply) -> None:
        self.replies = list(replies)

    @property
    def ids(self) -> list[str]:
        """`webhook-id` of every request, in order."""
        return [request.headers["webhook-id"] for request in self.requests]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        """As the script says, or `choose`; called by the threads of the server."""
        with self.lock:
            self.requests.append(request)
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if self.choose is not None:
            reply = self.choose(request)
        if reply.behaviour == "hang":
            self.released.wait(60)
        if reply.behaviour == "drip":
            while not self.released.wait(0.05):
                handler.wfile.write(b"H")
                handler.wfile.flush()
        if reply.behaviour in ("drop", "hang", "drip"):
            handler.close_connection = True
            return
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)


@contextmanager
def running_receiver(*replies: Reply, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver(tls=tls)
    if replies:
        receiver.script(*replies)
    try:
        yield receiver
    finally:
        receiver.close()


def self_signed(folder: Path, names: Sequence[str]) -> tuple[Path, ssl.SSLContext]:
    """A certificate for these names, which is its own CA: its file, and a context of a server that has it."""
    import subprocess

    certificate, key = folder / "certificate.pem", folder / "key.pem"
    alternatives = ",".join(f"DNS:{name}" for name in names)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={names[0]}"),
            *("-addext", f"subjectAltName={alternatives}", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context
