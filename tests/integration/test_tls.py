"""PostgreSQL and ClickHouse over TLS, with real servers: whose certificate is not to be trusted is asked no further.

Kafka: test_kafka_cluster.py; S3: tests/contracts/test_s3_store.py.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from schemas.errors import RetryableError
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.errors import ClickHouseAccessError
from streams.adapters.register.errors import RegisterAccessError
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.embedded.ports import LOOPBACK
from tests.support.certificates import Authority, Certificate
from tests.support.clickhouse_engine import RunningEngine
from tests.support.postgresql_server import PostgresqlServer, PostgresqlUnavailableError, running_postgresql
from tests.support.tls_forwarder import tls_in_front_of


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    """It bears the address, and no name."""
    return authority.issue("server", names=(LOOPBACK,))


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Authority(tmp_path_factory.mktemp("other")).ca_file


@pytest.mark.postgresql
class TestRegister:
    @pytest.fixture(scope="class")
    @staticmethod
    def server(certificate: Certificate) -> Iterator[PostgresqlServer]:
        try:
            with running_postgresql(tls=certificate) as server:
                yield server
        except PostgresqlUnavailableError as reason:
            pytest.skip(str(reason))

    def test_is_asked_over_tls_by_a_ca_of_its_own(self, server: PostgresqlServer, authority: Authority) -> None:
        with closing(Register(server.new_database(), ca_file=authority.ca_file)) as register:
            migrate_register(register)
            register.check()
            with register.reading() as tx:
                (is_secured,) = tx.execute(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")).one()
        assert is_secured is True

    def test_of_another_ca_is_refused(self, server: PostgresqlServer, other_ca: Path) -> None:
        register = Register(server.new_database(), ca_file=other_ca)
        with pytest.raises(RegisterAccessError, match="register_ca_file must name who signed it"):
            register.check()

    def test_whose_certificate_bears_another_name_is_refused(
        self, server: PostgresqlServer, authority: Authority
    ) -> None:
        url = server.new_database().replace(LOOPBACK, "localhost")
        with pytest.raises(RegisterAccessError, match="register_url a host that it bears"):
            Register(url, ca_file=authority.ca_file).check()

    def test_a_file_that_is_no_certificate_is_named(self, server: PostgresqlServer, tmp_path: Path) -> None:
        for name, content in (("missing.pem", None), ("other.pem", b"no PEM")):
            file = tmp_path / name
            if content is not None:
                file.write_bytes(content)
            with pytest.raises(RegisterAccessError, match="register_ca_file cannot be read"):
                Register(server.new_database(), ca_file=file).check()

    def test_that_speaks_no_tls_is_told_no_password(self, postgresql: PostgresqlServer, authority: Authority) -> None:
        with pytest.raises(RegisterAccessError, match="speaks no TLS"):
            Register(postgresql.new_database(), ca_file=authority.ca_file).check()


@pytest.mark.embedded
class TestClickHouse:
    @pytest.fixture(scope="class")
    @staticmethod
    def port(engine: RunningEngine, certificate: Certificate) -> Iterator[int]:
        with tls_in_front_of(engine.port, certificate) as port:
            yield port

    @staticmethod
    def url(engine: RunningEngine, port: int, host: str = LOOPBACK) -> str:
        return (
            engine.url("default")
            .replace("http://", "https://", 1)
            .replace(f"@{LOOPBACK}:{engine.port}", f"@{host}:{port}", 1)
        )

    def test_is_asked_over_tls_by_the_ca_that_ssl_cert_file_names(
        self, engine: RunningEngine, port: int, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        with closing(connect(self.url(engine, port))) as client:
            assert client.query("SELECT 6 * 7").result_rows == [(42,)]

    def test_of_another_ca_is_refused(
        self, engine: RunningEngine, port: int, other_ca: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(other_ca))
        with pytest.raises(ClickHouseAccessError, match="let SSL_CERT_FILE name its CA"):
            connect(self.url(engine, port))

    def test_whose_certificate_bears_another_name_is_refused(
        self, engine: RunningEngine, port: int, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        with pytest.raises(ClickHouseAccessError, match="clickhouse_url a host that it bears"):
            connect(self.url(engine, port, "localhost"))

    def test_that_speaks_no_tls_is_waited_for(self, engine: RunningEngine) -> None:
        """A proxy that is about to be started looks the same."""
        with pytest.raises(RetryableError):
            connect(self.url(engine, engine.port))
