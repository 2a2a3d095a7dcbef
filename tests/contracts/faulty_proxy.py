"""A TCP proxy whose first connections go wrong in a chosen way; the rest is passed through untouched."""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from selectors import EVENT_READ, DefaultSelector
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Lock, Thread

_SLOW_DOWN = (
    b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate."
    b"</Message><Resource>/</Resource><RequestId>1</RequestId><HostId>1</HostId></Error>"
)


class Fault(Enum):
    """What happens to one connection."""

    NONE = auto()
    RESET = auto()
    SILENCE = auto()
    SLOW_DOWN = auto()
    BAD_GATEWAY = auto()
    NOT_FOUND_PAGE = auto()
    CUT_ANSWER = auto()


_ANSWERS = {
    Fault.SLOW_DOWN: (b"503 Slow Down", b"application/xml", _SLOW_DOWN),
    Fault.BAD_GATEWAY: (b"502 Bad Gateway", b"text/html", b"<html><body>Bad Gateway</body></html>"),
    Fault.NOT_FOUND_PAGE: (b"404 Not Found", b"text/html", b"<html><body>Nothing here</body></html>"),
}


class FaultyProxy(ThreadingTCPServer):
    """Takes one fault for each connection, then `afterwards` for ever."""

    block_on_close = True

    def __init__(self, target: str, faults: Sequence[Fault], afterwards: Fault) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        host, _, port = target.partition(":")
        self.target = (host, int(port or 0))
        self.stopping = Event()
        self.holds_answers = Event()
        """While it is set, requests reach the target, but its answers go nowhere."""
        self.silent_until = 0
        """Of so many connections, from the first, no answer comes any more; later ones are as if nothing had been."""
        self._faults = list(faults)
        self._afterwards = afterwards
        self._lock = Lock()
        self.connections = 0

    @property
    def endpoint(self) -> str:
        """host:port to connect to."""
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def next_fault(self) -> Fault:
        """What to do with a connection that has just come in."""
        with self._lock:
            self.connections += 1
            return self._faults.pop(0) if self._faults else self._afterwards


@contextmanager
def faulty_proxy(
    target: str = "", faults: Sequence[Fault] = (), afterwards: Fault = Fault.NONE
) -> Iterator[FaultyProxy]:
    """A proxy in front of `target` (host:port) that runs until the end of the block."""
    with FaultyProxy(target, faults, afterwards) as proxy:
        thread = Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.stopping.set()
            proxy.shutdown()
            thread.join()


class _Connection(StreamRequestHandler):
    server: FaultyProxy

    def handle(self) -> None:
        fault = self.server.next_fault()
        if fault is Fault.RESET:
            self.rfile.readline()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif fault is Fault.SILENCE:
            self.server.stopping.wait()
        elif fault is Fault.NONE:
            self._pass_through()
        elif fault is Fault.CUT_ANSWER:
            self._cut_answer()
        else:
            status, kind, body = _ANSWERS[fault]
            self._read_request()
            self.wfile.write(
                b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
                % (status, kind, len(body), body)
            )

    def _read_request(self) -> bytes:
        """One whole request, so that closing does not reset the connection before its answer is read."""
        head, body_bytes = b"", 0
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            head += line
            if line.lower().startswith(b"content-length:"):
                body_bytes = int(line.partition(b":")[2])
        return head + b"\r\n" + self.rfile.read(body_bytes)

    def _cut_answer(self) -> None:
        """Half of the answer of the target, then nothing."""
        request = self._read_request()
        with socket.create_connection(self.server.target) as target, target.makefile("rb") as answer:
            target.sendall(request)
            while (line := answer.readline()) != b"\r\n":
                self.wfile.write(line)
                if line.lower().startswith(b"content-length:"):
                    body_bytes = int(line.partition(b":")[2])
            self.wfile.write(line + answer.read(body_bytes // 2))

    def _pass_through(self) -> None:
        number = self.server.connections
        with socket.create_connection(self.server.target) as target, DefaultSelector() as selector:
            selector.register(self.connection, EVENT_READ, target)
            selector.register(target, EVENT_READ, self.connection)
            while not self.server.stopping.is_set():
                for ready, _ in selector.select(timeout=0.01):
                    source, sink = ready.fileobj, ready.data
                    held = self.server.holds_answers.is_set() or number <= self.server.silent_until
                    if source is target and held:
                        self.server.stopping.wait(0.01)
                        continue
                    assert isinstance(source, socket.socket)
                    data = source.recv(65536)
                    if not data:
                        return
                    sink.sendall(data)
