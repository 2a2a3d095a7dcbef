"""What every server of S3 must do for the object store, and what the store does when a server does not."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import botocore.auth
import pytest

from schemas.errors import RetryableError
from streams.adapters.object_store.s3 import S3Settings
from streams.ports import ObjectMissingError, ObjectStore, StoreAccessError
from tests.contracts.faulty_proxy import faulty_proxy
from tests.contracts.object_store_contract import (
    BUCKET,
    DIGITS,
    KEY,
    SECRET,
    ObjectStoreContract,
    assert_tells_no_secret,
)
from tests.contracts.s3_server import S3Server


class S3Contract(ObjectStoreContract):
    """A subclass names the fixture of its server."""

    kind = S3Settings.kind
    fixture: ClassVar[str]

    @pytest.fixture
    def server(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
        """The shared server, with the bucket absent at the start."""
        server: S3Server = request.getfixturevalue(self.fixture)
        if server.certificate:
            monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        server.remove_bucket(BUCKET)
        return server

    @pytest.fixture
    def unapplied_store(self, server: S3Server) -> ObjectStore:
        return server.store(BUCKET)

    @pytest.fixture
    def store(self, unapplied_store: ObjectStore) -> ObjectStore:
        unapplied_store.apply()
        return unapplied_store

    @pytest.mark.parametrize(
        ("access_key", "secret_key", "sentence"),
        [
            pytest.param("nobody", SECRET, "does not know the access key: check s3_access_key", id="wrong access key"),
            pytest.param(None, SECRET, "refuses the signature: check s3_secret_key", id="wrong secret key"),
        ],
    )
    @pytest.mark.parametrize(
        "ask",
        [
            pytest.param(lambda store: store.check(), id="check"),
            pytest.param(lambda store: store.apply(), id="apply"),
            pytest.param(lambda store: store.put(KEY, DIGITS), id="put"),
            pytest.param(lambda store: store.read(KEY), id="read"),
            pytest.param(lambda store: store.size(KEY), id="size"),
            pytest.param(lambda store: store.delete(KEY), id="delete"),
            pytest.param(lambda store: list(store.entries()), id="entries"),
        ],
    )
    def test_wrong_credentials_are_named_but_never_shown(
        self,
        server: S3Server,
        access_key: str | None,
        secret_key: str,
        sentence: str,
        ask: Callable[[ObjectStore], object],
    ) -> None:
        store = server.store(BUCKET, access_key=access_key or server.access_key, secret_key=secret_key)

        with pytest.raises(StoreAccessError, match=sentence) as raised:
            ask(store)

        assert_tells_no_secret(raised.value, server.access_key, server.secret_key, secret_key)

    def test_a_wrong_clock_is_named(self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)

        with monkeypatch.context() as patch:
            patch.setattr(botocore.auth, "get_current_datetime", lambda: an_hour_ago)
            with pytest.raises(StoreAccessError, match="disagree about the time"):
                store.read(KEY)

    def test_an_object_with_a_content_encoding_is_read_as_it_is_stored(
        self, store: ObjectStore, server: S3Server
    ) -> None:
        server.client().put_object(Bucket=BUCKET, Key=KEY, Body=DIGITS, ContentEncoding="gzip")

        assert store.read(KEY) == DIGITS

    def test_deleting_leaves_no_version_and_no_delete_marker(self, store: ObjectStore, server: S3Server) -> None:
        server.client().put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        for data in (b"first", b"second", b"third"):
            store.put(KEY, data)
        store.put(f"{KEY}2", b"another")
        server.client().delete_object(Bucket=BUCKET, Key=KEY)
        assert len([key for key, _ in server.versions(BUCKET) if key == KEY]) == 4

        store.delete(KEY)

        assert [key for key, _ in server.versions(BUCKET)] == [f"{KEY}2"]

    @pytest.mark.usefixtures("store")
    def test_a_stream_that_is_left_leaves_no_part_behind(self, server: S3Server) -> None:
        with server.store(BUCKET).writer(KEY) as writer:
            writer.write(DIGITS * 1_200_000)
            assert server.unfinished_uploads(BUCKET, KEY) == [KEY]

        assert server.unfinished_uploads(BUCKET, KEY) == []

    def test_a_server_that_goes_away_in_the_middle_shows_nothing(self, store: ObjectStore, server: S3Server) -> None:
        with faulty_proxy(server.endpoint) as proxy:
            stack = ExitStack()
            writer = stack.enter_context(server.store(BUCKET, endpoint=proxy.endpoint).writer(KEY))
            writer.write(DIGITS * 600_000)
        with pytest.raises(RetryableError), stack:
            writer.write(DIGITS * 600_000)

        with pytest.raises(ObjectMissingError):
            store.read(KEY)
        assert list(store.entries()) == []

    def test_a_bucket_keeps_what_is_overwritten_until_it_is_deleted(self, store: ObjectStore, server: S3Server) -> None:
        store.put(KEY, b"first")
        store.put(KEY, b"second")

        assert store.read(KEY) == b"second"
        assert [key for key, _ in server.versions(BUCKET)] == [KEY, KEY]

    def test_of_its_rules_a_bucket_lacks_none_that_its_server_can_have(self, store: ObjectStore) -> None:
        states = {rule.name: rule.state for rule in store.rules()}

        assert "missing" not in states.values()
        assert states["what is overwritten or deleted is kept as an older version"] == "set"

    def test_a_rule_that_somebody_has_changed_is_missing_until_it_is_applied_again(
        self, store: ObjectStore, server: S3Server
    ) -> None:
        before = store.rules()
        server.client().put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})

        assert store.rules()[0].state == "missing"
        store.apply()
        assert store.rules() == before

    @pytest.mark.usefixtures("store")
    @pytest.mark.parametrize(
        ("begun_before", "stays"),
        [
            pytest.param(timedelta(hours=20), True, id="it may still be written"),
            pytest.param(timedelta(hours=30), False, id="nobody writes for so long"),
        ],
    )
    def test_what_a_writer_that_was_killed_has_left_is_removed_after_a_day(
        self, server: S3Server, begun_before: timedelta, stays: bool
    ) -> None:
        server.client().create_multipart_upload(Bucket=BUCKET, Key=KEY)

        server.store(BUCKET, clock=ClockAt(datetime.now(UTC) + begun_before)).apply()

        assert (server.unfinished_uploads(BUCKET, KEY) == [KEY]) is stays


class ClockAt:
    """It is always then."""

    def __init__(self, time: datetime) -> None:
        self._time = time

    def now(self) -> datetime:
        """See `Clock.now`."""
        return self._time
