"""HTTP to subscribers: checked addresses, no redirects, no waiting for ever, TLS with the name."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.config.subscription import HttpTarget
from streams.adapters.channels.http_sender import (
    HttpLimits,
    HttpSender,
    RefusedAddressError,
    Resolve,
    SendError,
    is_allowed,
    resolve,
)
from streams.embedded.ports import free_port
from tests.support.receiver import DRIP, DROP, HANG, Receiver, Reply, running_receiver, self_signed

pytestmark = pytest.mark.loopback

SOON = HttpLimits(connect_s=1, read_s=0.3, total_s=0.8)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


class Senders:
    """Makes senders, and closes what they have kept open."""

    def __init__(self) -> None:
        self._made: list[HttpSender] = []

    def __call__(self, target: HttpTarget, resolve_host: Resolve | None = None) -> HttpSender:
        self._made.append(HttpSender(target, SOON, resolve_host))
        return self._made[-1]

    def close(self) -> None:
        for sender in self._made:
            sender.close()


@pytest.fixture
def senders() -> Iterator[Senders]:
    made = Senders()
    yield made
    made.close()


def a_target(url: str, **changes: Any) -> HttpTarget:
    return HttpTarget.model_validate({"url": url, "allow_private": True} | changes)


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "public", "private_too"),
        [
            pytest.param("8.8.8.8", True, True, id="public"),
            pytest.param("2606:4700:4700::1111", True, True, id="public, IPv6"),
            pytest.param("::ffff:8.8.8.8", True, True, id="public, mapped"),
            pytest.param("192.0.0.192", False, False, id="metadata of Oracle"),
            pytest.param("168.63.129.16", False, False, id="wire server of Azure"),
            pytest.param("192.0.0.9", False, True, id="assigned to protocols"),
            pytest.param("::ffff:168.63.129.16", False, False, id="metadata, mapped"),
            pytest.param("::ffff:192.0.0.192", False, False, id="metadata, mapped again"),
            pytest.param("64:ff9b::8.8.8.8", True, True, id="public through NAT64"),
            pytest.param("64:ff9b::168.63.129.16", False, False, id="metadata through NAT64"),
            pytest.param("64:ff9b::169.254.169.254", False, False, id="link-local through NAT64"),
            pytest.param("64:ff9b:1:a83f:81:1000::", False, False, id="metadata through a NAT64 of one's own, /48"),
            pytest.param("64:ff9b:1::169.254.169.254", False, False, id="link-local through one, /96"),
            pytest.param("2002:a83f:8110::1", False, False, id="metadata through 6to4"),
            pytest.param("2002:c000:c0::1", False, False, id="metadata through 6to4 again"),
            pytest.param("2002:7f00:1::", False, True, id="loopback through 6to4"),
            pytest.param("10.1.2.3", False, True, id="private, 10/8"),
            pytest.param("172.16.0.1", False, True, id="private, 172.16/12"),
            pytest.param("192.168.1.1", False, True, id="private, 192.168/16"),
            pytest.param("100.64.0.1", False, True, id="carrier-grade NAT"),
            pytest.param("127.0.0.1", False, True, id="loopback"),
            pytest.param("127.255.255.254", False, True, id="loopback, its end"),
            pytest.param("::1", False, True, id="loopback, IPv6"),
            pytest.param("fd12:3456::1", False, True, id="unique local"),
            pytest.param("fec0::1", False, True, id="site-local"),
            pytest.param("::ffff:10.0.0.1", False, True, id="private, mapped"),
            pytest.param("::10.0.0.1", False, True, id="private, IPv4-compatible"),
            pytest.param("64:ff9b::a00:1", False, True, id="private, behind NAT64"),
            pytest.param("2002:a00:1::1", False, True, id="private, in 6to4"),
            pytest.param("169.254.169.254", False, False, id="metadata"),
            pytest.param("::ffff:169.254.169.254", False, False, id="metadata, mapped"),
            pytest.param("64:ff9b::a9fe:a9fe", False, False, id="metadata, behind NAT64"),
            pytest.param("2002:a9fe:a9fe::1", False, False, id="metadata, in 6to4"),
            pytest.param("100.100.100.200", False, False, id="metadata of another cloud"),
            pytest.param("fd00:ec2::254", False, False, id="metadata, IPv6"),
            pytest.param("fe80::1", False, False, id="link-local"),
            pytest.param("fe80::1%eth0", False, False, id="link-local with its interface"),
            pytest.param("0.0.0.0", False, False, id="unspecified"),  # noqa: S104 - it is to be refused
            pytest.param("::", False, False, id="unspecified, IPv6"),
            pytest.param("224.0.0.1", False, False, id="multicast"),
            pytest.param("ff02::1", False, False, id="multicast, IPv6"),
            pytest.param("255.255.255.255", False, False, id="broadcast"),
            pytest.param("240.0.0.1", False, False, id="reserved"),
            pytest.param("alerts.example.com", False, False, id="no address"),
        ],
    )
    def test_where_anything_may_be_sent(self, address: str, public: bool, private_too: bool) -> None:
        assert is_allowed(address, allow_private=False) is public
        assert is_allowed(address, allow_private=True) is private_too

    @pytest.mark.names
    @pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost"])
    def test_however_loopback_is_written_it_is_resolved_and_refused(
        self, senders: Senders, host: str, receiver: Receiver
    ) -> None:
        target = HttpTarget.model_validate({"url": f"https://{host}:{receiver.port}/"})
        with pytest.raises(RefusedAddressError):
            senders(target).post(b"{}", {})
        assert receiver.connections == 0
        assert all(is_allowed(address, allow_private=True) for address in resolve(host, receiver.port))

    def test_one_private_address_among_public_ones_is_enough_to_refuse(
        self, senders: Senders, receiver: Receiver
    ) -> None:
        target = HttpTarget.model_validate({"url": f"https://alerts.example.com:{receiver.port}/"})
        with pytest.raises(RefusedAddressError):
            senders(target, lambda _host, _port: ["8.8.8.8", "127.0.0.1"]).post(b"{}", {})
        assert receiver.connections == 0

    def test_a_name_that_changes_its_address_after_the_check_gains_nothing(
        self, senders: Senders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first look-up says a public address, every later one loopback: what is connected to is the first."""
        asked: list[str] = []
        connected: list[tuple[str, int]] = []

        def rebinding(host: str, _port: int) -> list[str]:
            asked.append(host)
            return ["203.0.113.7"] if len(asked) == 1 else ["127.0.0.1"]

        def no_network(address: tuple[str, int], *_args: Any, **_kwargs: Any) -> socket.socket:
            connected.append(address)
            raise ConnectionRefusedError

        monkeypatch.setattr("urllib3.util.connection.create_connection", no_network)
        # 203.0.113.0/24 is for documentation and not public, so the check has to be told.
        monkeypatch.setattr("streams.adapters.channels.http_sender.is_allowed", lambda ip, **_how: ip == "203.0.113.7")
        sender = senders(HttpTarget.model_validate({"url": "https://alerts.example.com/"}), rebinding)
        with pytest.raises(SendError, match="ConnectionRefusedError"):
            sender.post(b"{}", {})
        assert connected == [("203.0.113.7", 443)]
        with pytest.raises(RefusedAddressError):
            sender.post(b"{}", {})
        assert asked == ["alerts.example.com"] * 2
        assert len(connected) == 1

    @pytest.mark.names
    def test_a_name_that_does_not_exist_says_so(self, senders: Senders) -> None:
        with pytest.raises(SendError, match="NameResolutionError"):
            senders(a_target("https://nowhere.invalid/")).post(b"{}", {})


class TestExchange:
    def test_body_headers_path_and_host_arrive(self, senders: Senders, receiver: Receiver) -> None:
        sender = senders(a_target(receiver.url("/hook?key=1").replace("127.0.0.1", "localhost")))
        answer = sender.post("亏损".encode(), {"webhook-id": "1"}, "sign=a%2Bb")
        assert answer.status == 200
        (request,) = receiver.requests
        assert (request.path, request.body) == ("/hook?key=1&sign=a%2Bb", "亏损".encode())
        assert request.headers["host"] == f"localhost:{receiver.port}"
        assert request.headers["webhook-id"] == "1"
        assert "python" not in request.headers["user-agent"]

    def test_a_connection_is_used_again(self, senders: Senders, receiver: Receiver) -> None:
        sender = senders(a_target(receiver.url()))
        for _ in range(5):
            assert sender.post(b"{}", {}).status == 200
        assert (len(receiver.requests), receiver.connections) == (5, 1)

    def test_one_that_the_other_side_has_closed_is_made_again(self, senders: Senders, receiver: Receiver) -> None:
        sender = senders(a_target(receiver.url()))
        receiver.script(Reply(headers={"Connection": "close"}), Reply())
        assert [sender.post(b"{}", {}).status for _ in range(3)] == [200, 200, 200]
        assert receiver.connections == 2

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_is_an_answer_and_is_not_followed(
        self, senders: Senders, receiver: Receiver, status: int
    ) -> None:
        with running_receiver() as elsewhere:
            receiver.script(Reply(status, {"Location": elsewhere.url("/stolen")}))
            assert senders(a_target(receiver.url())).post(b"{}", {}).status == status
            assert elsewhere.requests == []

    def test_an_endless_answer_is_not_read_to_its_end(self, senders: Senders, receiver: Receiver) -> None:
        receiver.script(Reply(body=b"x" * 1_000_000), Reply(body=b"short"))
        sender = senders(a_target(receiver.url()))
        assert len(sender.post(b"{}", {}).body) == 65_536
        assert sender.post(b"{}", {}).body == b"short"

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            pytest.param(HANG, r"TimeoutError|timeout", id="hangs"),
            pytest.param(DRIP, "TotalTimeout", id="drips for ever"),
            pytest.param(DROP, "RemoteDisconnected|ProtocolError|ConnectionResetError", id="hangs up"),
        ],
    )
    def test_who_does_not_answer_is_left(self, senders: Senders, receiver: Receiver, reply: Reply, kind: str) -> None:
        receiver.script(reply, Reply())
        sender = senders(a_target(receiver.url()))
        with pytest.raises(SendError, match=kind):
            sender.post(b"{}", {})
        assert sender.post(b"{}", {}).status == 200

    def test_nobody_there_is_said_by_its_class(self, senders: Senders) -> None:
        with pytest.raises(SendError, match="ConnectionRefusedError") as refused:
            senders(a_target(f"http://127.0.0.1:{free_port()}/hush-hush")).post(b"{}", {})
        assert "hush" not in repr(refused.value)
        assert refused.value.__suppress_context__

    def test_proxies_of_the_environment_are_not_used(
        self, senders: Senders, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with running_receiver() as proxy:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url(""))
            assert senders(a_target(receiver.url())).post(b"{}", {}).status == 200
            assert (proxy.requests, len(receiver.requests)) == ([], 1)


@pytest.mark.processes
class TestTls:
    @pytest.fixture
    def secure(self, tmp_path: Path) -> Iterator[tuple[Receiver, Path]]:
        certificate, context = self_signed(tmp_path, ["localhost", "alerts.example.com"])
        with running_receiver(tls=context) as running:
            yield running, certificate

    def test_the_certificate_is_checked_against_the_name_although_the_address_is_connected_to(
        self, senders: Senders, secure: tuple[Receiver, Path]
    ) -> None:
        receiver, certificate = secure
        url = f"https://alerts.example.com:{receiver.port}/hook"
        sender = senders(a_target(url, ca_file=str(certificate)), lambda _host, _port: ["127.0.0.1"])
        assert sender.post(b"{}", {}).status == 200
        assert receiver.requests[0].headers["host"] == f"alerts.example.com:{receiver.port}"

    def test_a_certificate_of_another_name_is_refused(self, senders: Senders, secure: tuple[Receiver, Path]) -> None:
        receiver, certificate = secure
        url = f"https://other.example.com:{receiver.port}/hook"
        sender = senders(a_target(url, ca_file=str(certificate)), lambda _host, _port: ["127.0.0.1"])
        with pytest.raises(SendError, match=r"SSLCertVerificationError|CertificateError"):
            sender.post(b"{}", {})
        assert receiver.requests == []

    def test_a_certificate_of_an_unknown_authority_is_refused(
        self, senders: Senders, secure: tuple[Receiver, Path]
    ) -> None:
        receiver, _certificate = secure
        with pytest.raises(SendError, match="SSLCertVerificationError"):
            senders(a_target(f"https://localhost:{receiver.port}/")).post(b"{}", {})
        assert receiver.requests == []

    def test_a_server_that_does_not_speak_tls_is_left(self, senders: Senders, receiver: Receiver) -> None:
        with pytest.raises(SendError) as failed:
            senders(a_target(f"https://localhost:{receiver.port}/")).post(b"{}", {})
        assert issubclass(getattr(ssl, failed.value.kind, OSError), OSError)
        assert receiver.requests == []
