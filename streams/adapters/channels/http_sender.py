"""HTTP to addresses that subscribers chose: nothing is sent to where they must not reach.

The name is resolved once for each connection, every address that it has is checked, and the connection goes to a
checked one; the name is only used for TLS and the Host header. A name that changes its address between check and
connection (DNS rebinding) therefore gains nothing. Redirects are never followed, proxies of the environment never used.
"""

import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from schemas.config.subscription import HttpTarget

MAX_ANSWER_BYTES = 64 * 1024

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
"""Host and port → addresses. Raises `OSError`."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")
_TRANSLATED = ipaddress.ip_network("::ffff:0:0:0/96")
"""IPv4 behind a translator without state (RFC 7915)."""
_ISATAP = (bytes.fromhex("00005efe"), bytes.fromhex("02005efe"))
"""What stands before an IPv4 address that is reached through a tunnel (RFC 5214)."""
_PUBLIC_V6 = ipaddress.ip_network("2000::/3")
"""All that has ever been given out; the rest is private, or means something that this list does not know."""
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        *("100.100.100.200", "192.0.0.192", "168.63.129.16"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
    )
)
"""Where machines of some clouds get their credentials; 169.254.169.254 is link-local anyway."""
_PROTOCOL_ASSIGNMENTS = ipaddress.ip_network("192.0.0.0/24")
"""Private, of which Python 3.11 knows parts only."""


class SendError(Exception):
    """There was no answer. `kind` is the class of the error, the only thing of it that may be recorded."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(kind)


class RefusedAddressError(SendError):
    """The name leads to an address that nothing is sent to."""

    def __init__(self) -> None:
        super().__init__("RefusedAddressError")


@dataclass(frozen=True)
class HttpLimits:
    """How long a subscriber may take. `total_s` holds for everything together, also where it sends byte after byte."""

    connect_s: float = 5
    read_s: float = 15
    total_s: float = 20
    answer_bytes: int = MAX_ANSWER_BYTES
    """What of an answer is read; the rest is not."""


@dataclass(frozen=True)
class HttpAnswer:
    """What came back: at most `HttpLimits.answer_bytes` of it."""

    status: int
    retry_after: str | None
    body: bytes


def is_allowed(address: str, *, allow_private: bool) -> bool:
    """Whether something may be sent to this IP address. Addresses within addresses are looked at as well.

    Link-local, multicast, unspecified and metadata addresses are never allowed; private ones where the subscription
    says so.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_is_allowed(each, allow_private=allow_private) for each in _with_embedded(ip))


def _with_embedded(ip: IpAddress) -> Iterator[IpAddress]:
    """The address, or those IPv4 addresses that an IPv6 address leads to."""
    if not isinstance(ip, ipaddress.IPv6Address):
        yield ip
        return
    packed_v4 = ipaddress.IPv4Address(ip.packed[-4:])
    if ip.ipv4_mapped is not None:
        yield ip.ipv4_mapped
    elif ip in _NAT64 or ip in _TRANSLATED or (ip.packed[:12] == bytes(12) and int(ip) > 1):
        yield packed_v4
    elif ip in _NAT64_LOCAL:
        # A network of one's own, which may put the IPv4 address into any of these places (RFC 6052).
        yield ip
        yield packed_v4
        yield ipaddress.IPv4Address(ip.packed[6:8] + ip.packed[9:11])
        yield ipaddress.IPv4Address(ip.packed[7:8] + ip.packed[9:12])
        yield ipaddress.IPv4Address(ip.packed[9:13])
    else:
        yield ip
        if ip.sixtofour is not None:
            yield ip.sixtofour
        if ip.teredo is not None:
            yield from ip.teredo
        if ip.packed[8:12] in _ISATAP:
            yield packed_v4


def _is_allowed(ip: IpAddress, *, allow_private: bool) -> bool:
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip in _METADATA:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _PUBLIC_V6:
        return allow_private
    if ip.is_global and ip not in _PROTOCOL_ASSIGNMENTS:
        return True
    is_future_use = isinstance(ip, ipaddress.IPv4Address) and ip.is_reserved
    return allow_private and not is_future_use


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system knows them; also of `2130706433` and `0x7f.1`. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def allows_host(host: str, allow_private: bool) -> bool:
    """False for an IP address, however it is written, that nothing may be sent to. A name is only known when it is
    resolved, at each connection.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return True
    return all(is_allowed(str(entry[4][0]), allow_private=allow_private) for entry in found)


class HttpSender:
    """Posts to one target, over one connection that is kept as long as the other side keeps it. For one thread."""

    def __init__(
        self, target: HttpTarget, limits: HttpLimits | None = None, resolve_host: Resolve | None = None
    ) -> None:
        url = parse_url(target.url.get_secret_value())
        self._secure = url.scheme == "https"
        self._host = (url.host or "").strip("[]")
        self._port = url.port or (443 if self._secure else 80)
        self._path = url.request_uri
        self._host_header = (url.host or "") + ("" if url.port is None else f":{url.port}")
        self._allow_private = target.allow_private
        self._ca_file = target.ca_file
        self._limits = limits or HttpLimits()
        self._resolve = resolve_host or resolve
        self._connection: HTTPConnection | None = None

    def post(self, body: bytes, headers: Mapping[str, str], query: str = "") -> HttpAnswer:
        """The answer, whatever its status; `query` is added to that of the URL. Raises `SendError`."""
        path = self._path + (("&" if "?" in self._path else "?") + query if query else "")
        try:
            connection = self._connected()
            with _ended_after(connection, self._limits.total_s) as is_over:
                try:
                    return self._exchange(connection, path, body, headers)
                except (OSError, HTTPError, http.client.HTTPException):
                    if is_over():
                        raise SendError("TotalTimeout") from None
                    raise
        except SendError:
            self.close()
            raise
        except (OSError, HTTPError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise SendError(_kind(error)) from None

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
        self._connection = None

    def _exchange(self, connection: HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        connection.request(
            "POST",
            path,
            body=body,
            headers={"Host": self._host_header, "User-Agent": "callstream", **headers},
            preload_content=False,
            decode_content=False,
        )
        response = connection.getresponse()
        most = self._limits.answer_bytes
        answer = response.read(most, decode_content=False)
        rest = response.read(1, decode_content=False) if len(answer) == most else b""
        if rest or response.headers.get("connection", "").lower() == "close" or response.version == 10:
            response.close()
            self.close()
        return HttpAnswer(response.status, response.headers.get("retry-after"), answer)

    def _connected(self) -> HTTPConnection:
        """The connection that is still open, or one to a checked address."""
        if self._connection is not None and self._connection.is_connected:
            return self._connection
        self.close()
        try:
            addresses = self._resolve(self._host, self._port)
        except (OSError, UnicodeError):
            raise SendError("NameResolutionError") from None
        if not addresses or not all(is_allowed(each, allow_private=self._allow_private) for each in addresses):
            raise RefusedAddressError
        failure: Exception = SendError("NoAddress")
        for address in addresses[:3]:
            connection = self._connection_to(address)
            try:
                with _ended_after(connection, self._limits.total_s):
                    connection.connect()
            except (OSError, HTTPError) as error:
                connection.close()
                failure = error
            else:
                # Time to connect is over; from now on it is about the answer.
                if connection.sock is not None:
                    connection.sock.settimeout(self._limits.read_s)
                connection.timeout = self._limits.read_s
                self._connection = connection
                return connection
        raise failure

    def _connection_to(self, address: str) -> HTTPConnection:
        timeout = self._limits.connect_s
        if not self._secure:
            return HTTPConnection(address, self._port, timeout=timeout)
        ca_file = self._ca_file or os.environ.get("SSL_CERT_FILE") or certifi.where()
        context = ssl.create_default_context(cafile=str(ca_file))
        return HTTPSConnection(
            address,
            self._port,
            timeout=timeout,
            ssl_context=context,
            server_hostname=self._host,
            assert_hostname=self._host,
        )


@contextmanager
def _ended_after(connection: HTTPConnection, seconds: float) -> Iterator[Callable[[], bool]]:
    """Shuts the connection down when it is not done in time, whatever it is waiting for."""
    ends_at_s = time.monotonic() + seconds

    def shut_down() -> None:
        sock = connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield lambda: time.monotonic() >= ends_at_s
    finally:
        timer.cancel()


def _kind(error: Exception) -> str:
    """The class of the error; of one that wraps another, which is more telling."""
    inner = error.__cause__ if isinstance(error, HTTPError) else None
    return type(inner or error).__name__
