"""The contract of the object store port on two servers of S3; then what only a store behind a network can do wrong."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from processors.custody.ports import SealedIdentity
from schemas.errors import RetryableError
from streams.adapters.object_store.s3.client import Patience, S3Store
from streams.adapters.object_store.sealed_store import SealedStore
from streams.embedded.ports import LOOPBACK, free_port
from streams.ports import ObjectMissingError, ObjectStore, StoreAccessError
from tests.contracts.faulty_proxy import Fault, faulty_proxy
from tests.contracts.minio_server import running_minio
from tests.contracts.object_store_contract import BUCKET, DIGITS, KEY, SECRET, assert_tells_no_secret
from tests.contracts.s3_contract import S3Contract
from tests.contracts.s3_server import IMPATIENT, S3Server, ServerUnavailableError
from tests.contracts.versitygw_server import Versitygw, running_versitygw
from tests.support.data_keys import MemoryDataKeys

CANARY = b"my card number is 4929 1234 5678 9012"
RECORDING = SealedIdentity("acme", "c1", "recording", "0123456789abcdef")


@pytest.mark.minio
class TestMinio(S3Contract):
    fixture = "minio"

    def test_tls_asked_of_a_plain_server_is_named(self, server: S3Server) -> None:
        with pytest.raises(StoreAccessError, match="set s3_secure to false"):
            server.store(BUCKET, secure=True).check()

    def test_rules_of_the_operator_stay_beside_ours(self, store: ObjectStore, server: S3Server) -> None:
        of_operator = {
            "ID": "archive",
            "Status": "Enabled",
            "Filter": {"Prefix": "exports/"},
            "Expiration": {"Days": 30},
        }
        client = server.client()
        client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [of_operator]})
        assert [rule.state for rule in store.rules()] == ["set", "missing", "missing"]

        store.apply()

        rules = client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
        assert {rule["ID"] for rule in rules} == {"archive", "callstream"}
        assert [rule.state for rule in store.rules()] == ["set", "set", "unsupported"]

    @pytest.mark.usefixtures("store")
    def test_another_number_of_days_is_a_change(self, server: S3Server) -> None:
        longer = server.store(BUCKET, older_versions_days=30)
        assert longer.rules()[1].state == "missing"

        longer.apply()

        assert longer.rules()[1].state == "set"

    @pytest.mark.usefixtures("store")
    def test_who_wants_no_older_versions_has_no_rule_for_them(self, server: S3Server) -> None:
        without = server.store(BUCKET, older_versions_days=0)

        without.apply()

        (rule,) = without.rules()
        assert (rule.name, rule.state) == ("uploads that were never finished are removed after 1 day", "unsupported")


@pytest.fixture(scope="module")
def versitygw_in_clear(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    try:
        with running_versitygw(tmp_path_factory.mktemp("versitygw-in-clear"), tls=False) as server:
            yield server
    except ServerUnavailableError as reason:
        pytest.skip(str(reason))


class TestFaultsThatPass:
    """On servers without TLS, since who disturbs their answers reads them."""

    @pytest.fixture(
        params=[
            pytest.param("versitygw_in_clear", marks=pytest.mark.versitygw),
            pytest.param("minio", marks=pytest.mark.minio),
        ]
    )
    def server(self, request: pytest.FixtureRequest) -> S3Server:
        server: S3Server = request.getfixturevalue(request.param)
        server.remove_bucket(BUCKET)
        return server

    @pytest.fixture
    def store(self, server: S3Server) -> ObjectStore:
        store = server.store(BUCKET)
        store.apply()
        return store

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(Fault.RESET, id="the connection is cut before the answer"),
            pytest.param(Fault.CUT_ANSWER, id="the connection is cut in the middle of the answer"),
            pytest.param(Fault.SLOW_DOWN, id="the store is overloaded"),
            pytest.param(Fault.BAD_GATEWAY, id="a proxy has lost the store"),
        ],
    )
    def test_a_fault_that_passes_is_not_noticed_by_the_reader(
        self, store: ObjectStore, server: S3Server, fault: Fault
    ) -> None:
        store.put(KEY, DIGITS * 1000)

        with faulty_proxy(server.endpoint, [fault, fault]) as proxy:
            behind = server.store(BUCKET, endpoint=proxy.endpoint)

            assert behind.read(KEY) == DIGITS * 1000
            assert proxy.connections == 3

    @pytest.mark.parametrize("fault", [Fault.RESET, Fault.SLOW_DOWN, Fault.BAD_GATEWAY])
    def test_a_fault_that_passes_is_not_noticed_by_the_writer(
        self, store: ObjectStore, server: S3Server, fault: Fault
    ) -> None:
        with faulty_proxy(server.endpoint, [fault, fault]) as proxy:
            server.store(BUCKET, endpoint=proxy.endpoint).put(KEY, DIGITS * 1000)

        assert store.read(KEY) == DIGITS * 1000

    def test_an_upload_in_parts_survives_a_fault_in_one_of_them(self, store: ObjectStore, server: S3Server) -> None:
        with faulty_proxy(server.endpoint, [Fault.NONE, Fault.SLOW_DOWN]) as proxy:
            server.store(BUCKET, endpoint=proxy.endpoint).put(KEY, DIGITS * 1_200_000)

        assert store.size(KEY) == 12_000_000
        assert not server.unfinished_uploads(BUCKET, KEY)

    def test_an_answer_that_is_always_cut_is_never_passed_on(self, store: ObjectStore, server: S3Server) -> None:
        store.put(KEY, DIGITS * 1000)

        with (
            faulty_proxy(server.endpoint, afterwards=Fault.CUT_ANSWER) as proxy,
            pytest.raises(RetryableError, match="ProtocolError"),
        ):
            server.store(BUCKET, endpoint=proxy.endpoint).read(KEY)


@pytest.mark.versitygw
class TestVersitygw(S3Contract):
    fixture = "versitygw"

    def test_it_says_which_rules_it_cannot_have(self, store: ObjectStore) -> None:
        assert [rule.state for rule in store.rules()] == ["set", "unsupported", "unsupported"]

    def test_an_answer_without_versions_is_no_obstacle_to_deleting(self, tmp_path: Path) -> None:
        with running_versitygw(tmp_path, versioning=False) as server:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SSL_CERT_FILE", str(server.certificate))
                store = server.store(BUCKET)
                without_versions = server.store(BUCKET, older_versions_days=0)
            store.apply()
            store.put(KEY, DIGITS)
            store.delete(KEY)
            store.delete(KEY)

            with pytest.raises(ObjectMissingError):
                store.read(KEY)
            assert [rule.state for rule in store.rules()] == ["unsupported"] * 3
            assert [rule.state for rule in without_versions.rules()] == ["unsupported"]

    def test_what_is_sealed_lies_sealed_on_its_disk(self, store: ObjectStore, versitygw: Versitygw) -> None:
        """It answers 200 to a request for encryption and stores clear text: only what we seal is sealed."""
        versitygw.client().put_object(Bucket=BUCKET, Key="clear", Body=CANARY, ServerSideEncryption="AES256")

        SealedStore(store, MemoryDataKeys()).put(KEY, RECORDING, date(2026, 1, 2), CANARY * 1000)

        holding_it = [
            path.name for path in versitygw.data.rglob("*") if path.is_file() and CANARY[:16] in path.read_bytes()
        ]
        assert holding_it == ["clear"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("certificates")
    subject = ["-subj", "/CN=callstream-test", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
    files = ["-keyout", str(folder / "private.key"), "-out", str(folder / "public.crt")]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def tls_server(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    try:
        with running_minio(tmp_path_factory.mktemp("minio-tls"), certificates) as server:
            yield server
    except ServerUnavailableError as reason:
        pytest.skip(str(reason))


@pytest.mark.minio
class TestS3StoreOverTls:
    def test_a_certificate_of_a_ca_that_is_named_is_trusted(
        self, tls_server: S3Server, certificates: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "public.crt"))
        store = tls_server.store(BUCKET, secure=True)

        store.apply()
        store.put(KEY, DIGITS)

        assert store.read(KEY) == DIGITS

    def test_a_certificate_of_an_unknown_ca_is_refused(
        self, tls_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)

        with pytest.raises(StoreAccessError, match="is not trusted: let SSL_CERT_FILE name its CA"):
            tls_server.store(BUCKET, secure=True).check()

    def test_plain_http_asked_of_a_tls_server_is_named(self, tls_server: S3Server) -> None:
        with pytest.raises((StoreAccessError, RetryableError), match="set s3_secure to true"):
            tls_server.store(BUCKET, secure=False).check()


def write_in_parts(store: ObjectStore) -> None:
    with store.writer(KEY) as writer:
        writer.write(DIGITS * 1_200_000)


@pytest.mark.loopback
class TestS3StoreWithoutAStore:
    """What needs no server of S3: an endpoint that is away, or is something else."""

    ASKED = (
        pytest.param(lambda store: store.check(), id="check"),
        pytest.param(lambda store: store.put(KEY, DIGITS), id="put"),
        pytest.param(lambda store: store.read(KEY), id="read"),
        pytest.param(lambda store: store.size(KEY), id="size"),
        pytest.param(write_in_parts, id="a stream in parts"),
        pytest.param(lambda store: store.delete(KEY), id="delete"),
        pytest.param(lambda store: list(store.entries()), id="entries"),
    )

    @pytest.mark.parametrize("ask", ASKED)
    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            pytest.param(Fault.RESET, "ProtocolError", id="every connection is reset"),
            pytest.param(Fault.SLOW_DOWN, "SlowDown", id="it is always overloaded"),
            pytest.param(Fault.BAD_GATEWAY, "HTTP 502", id="a proxy has lost it for good"),
        ],
    )
    def test_a_fault_that_stays_is_retried_and_then_left_to_the_stage(
        self, fault: Fault, reason: str, ask: Callable[[ObjectStore], object]
    ) -> None:
        with faulty_proxy(afterwards=fault) as proxy:
            with pytest.raises(RetryableError, match=reason) as raised:
                ask(absent_store(proxy.endpoint))

            assert proxy.connections == IMPATIENT.tries
        assert_tells_no_secret(raised.value, SECRET)

    def test_a_server_that_never_answers_does_not_hold_the_worker_for_ever(self) -> None:
        patience = Patience(connect_timeout_s=0.2, read_timeout_s=0.2, tries=2, first_pause_s=0, max_pause_s=0)

        with faulty_proxy(afterwards=Fault.SILENCE) as proxy:
            with pytest.raises(RetryableError, match="ReadTimeoutError"):
                absent_store(proxy.endpoint, patience).read(KEY)

            assert proxy.connections == 2

    def test_of_a_server_that_takes_no_notice_of_the_range_no_more_is_read_than_was_asked_for(self) -> None:
        sent_bytes: list[int] = []

        class Endless(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("ETag", '"e"')
                self.end_headers()
                with suppress(OSError):
                    while sum(sent_bytes) < 512 * 1024 * 1024:
                        sent_bytes.append(self.wfile.write(bytes(1024 * 1024)))

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer((LOOPBACK, 0), Endless)
        threading.Thread(target=server.handle_request).start()
        assert absent_store(f"{LOOPBACK}:{server.server_port}").read(KEY, length=10) == bytes(10)
        server.server_close()
        assert sum(sent_bytes) < 64 * 1024 * 1024

    def test_a_port_where_nobody_listens_is_retryable(self) -> None:
        with pytest.raises(RetryableError, match="NewConnectionError"):
            absent_store(f"{LOOPBACK}:{free_port()}").check()

    @pytest.mark.names
    def test_a_host_that_does_not_resolve_is_retryable(self) -> None:
        with pytest.raises(RetryableError, match="NameResolutionError"):
            absent_store("object-store.invalid:9000").check()

    @pytest.mark.parametrize("ask", ASKED)
    def test_another_server_is_not_asked_twice(self, ask: Callable[[ObjectStore], object]) -> None:
        with faulty_proxy(afterwards=Fault.NOT_FOUND_PAGE) as proxy:
            with pytest.raises(StoreAccessError, match=r"no S3 object store \(HTTP 404\): check s3_endpoint"):
                ask(absent_store(proxy.endpoint))

            assert proxy.connections == 1

    @pytest.mark.parametrize(
        ("failures", "longest_s"),
        [
            pytest.param(1, 0.2, id="first"),
            pytest.param(3, 0.8, id="doubled twice"),
            pytest.param(9, 5, id="capped"),
            pytest.param(500, 5, id="still capped where doubling would overflow"),
        ],
    )
    def test_pauses_grow_to_a_cap_and_differ(self, failures: int, longest_s: float) -> None:
        pauses_s = [Patience().pause_s(failures) for _ in range(1000)]

        assert 0 <= min(pauses_s) < 0.1 * longest_s
        assert 0.9 * longest_s < max(pauses_s) <= longest_s

    @pytest.mark.parametrize(
        "endpoint",
        [pytest.param("http://127.0.0.1:9000", id="a scheme"), pytest.param("127.0.0.1:9000/path", id="a path")],
    )
    def test_an_endpoint_that_cannot_be_is_refused(self, endpoint: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            absent_store(endpoint)


def absent_store(endpoint: str, patience: Patience = IMPATIENT) -> S3Store:
    return S3Store(
        endpoint, BUCKET, access_key="somebody", secret_key=SecretStr(SECRET), secure=False, patience=patience
    )
