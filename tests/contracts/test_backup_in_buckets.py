"""Backups in a bucket: what is erased leaves no older version there, and keys may lie in another one."""

from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from streams.adapters.backup.target import BackupPlace, BackupTarget
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.backup.creating import create_backup
from streams.backup.erasing import apply_erasures
from streams.backup.restoring import restore_backup
from streams.backup.verifying import verify_backup
from streams.ports import SystemClock
from tests.contracts.s3_server import S3Server
from tests.support.backed_up import SIGNING, SOURCES, House, new_database, opened_house
from tests.support.clickhouse_engine import RunningEngine

pytestmark = [pytest.mark.embedded, pytest.mark.loopback]


@pytest.fixture(
    params=[
        pytest.param("minio", marks=pytest.mark.minio),
        pytest.param("versitygw", marks=pytest.mark.versitygw),
    ]
)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    if found.certificate is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(found.certificate))
    return found


@pytest.fixture
def house(engine: RunningEngine, tmp_path: Path) -> Iterator[House]:
    register = Register(sqlite_url(tmp_path / "house" / "register.db"))
    migrate_register(register)
    with opened_house(register, engine.url(new_database()), tmp_path / "house") as opened:
        yield opened
    register.close()


def test_a_backup_in_a_bucket_is_given_back_and_an_erasure_leaves_no_version_of_a_key(
    house: House, server: S3Server, engine: RunningEngine, tmp_path: Path
) -> None:
    bucket, keys_bucket = f"backup-{token_hex(4)}", f"keys-{token_hex(4)}"
    target = BackupTarget(
        BackupPlace(server.store(bucket, older_versions_days=0), "callstream/"),
        keys_place=BackupPlace(server.store(keys_bucket, older_versions_days=0)),
        private_key=SIGNING,
    )
    going = house.take_in("going-1")
    create_backup(house.systems, SOURCES, target)
    house.keys.destroy("acme", "going-1", going.ended_at.date())
    apply_erasures(target, house.systems.register, [("acme", "going-1")], SystemClock().now())

    client = server.client()
    assert all(each["Key"].startswith("callstream/") for each in client.list_objects_v2(Bucket=bucket)["Contents"])
    versions = client.list_object_versions(Bucket=keys_bucket).get("Versions", ())
    part = target.keys_part()
    assert part is not None
    wanted = {
        chunk.sha256 for table in part.tables.values() for rows in table.partitions.values() for chunk in rows.chunks
    }
    chunks = {each["Key"].rpartition("/")[2] for each in versions if "/chunks/" in each["Key"]}
    assert chunks == wanted, "what held the keys of the erased call is gone in every version"
    manifest = target.backup_or_newest(None)
    assert not verify_backup(target, manifest, full=True, open_calls=20, wrapper=house.wrapper).problems

    register = Register(sqlite_url(tmp_path / "new" / "register.db"))
    url = engine.url(new_database())
    with opened_house(register, url, tmp_path / "new", empty=True, wrapper=house.wrapper) as new:
        restored = restore_backup(target, manifest, new.systems, new.clickhouse(), new.keys)
    register.close()
    assert restored.problems == []
    assert restored.played == {"acme": 2, "beta": 2}
