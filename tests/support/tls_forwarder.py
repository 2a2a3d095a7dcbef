"""TLS in front of a server on loopback that speaks none, as a proxy in front of ClickHouse does."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from streams.embedded.ports import LOOPBACK
from tests.support.certificates import Certificate


@contextmanager
def tls_in_front_of(port: int, certificate: Certificate) -> Iterator[int]:
    """The port on which TLS is spoken; what comes there goes on to `port`, and back."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    with closing(socket.create_server((LOOPBACK, 0))) as listening:
        accepting = threading.Thread(target=_accept, args=(listening, context, port), daemon=True)
        accepting.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join(10)


def _accept(listening: socket.socket, context: ssl.SSLContext, port: int) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(connection, context, port), daemon=True).start()


def _serve(connection: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError), closing(connection):
        outer = context.wrap_socket(connection, server_side=True)
        with closing(outer), closing(socket.create_connection((LOOPBACK, port))) as inner:
            back = threading.Thread(target=_copy, args=(inner, outer), daemon=True)
            back.start()
            _copy(outer, inner)
            back.join(60)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
