"""What the settings name: where backups lie, what is backed up, where it is given back."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from clickhouse_connect.driver.client import Client

from schemas.clickhouse.migrations import load_migrations
from streams.adapters.backup.signing import read_private_key, read_public_keys, read_sealing_key
from streams.adapters.backup.target import BackupPlace, BackupTarget
from streams.adapters.clickhouse import migrate as database
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.errors import ClickHouseSchemaError
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.from_settings import whole_store_from
from streams.adapters.object_store.s3 import S3Settings
from streams.adapters.register.register import Register, sqlite_url
from streams.backup.restoring import ClickHouseTarget
from streams.backup.systems import ConfigurationFile, Systems
from streams.ports import Clock, ObjectStore
from streams.settings import Settings, SettingsError

BUCKET = "backup"
"""What the bucket in a folder of backups is called."""

QUERY_TIMEOUT_S = 3_600
"""A partition is sent when all of it is there."""

CONFIGURATION = (
    *("tenants_file", "subscriptions_file", "rules_folder", "score_forms_folder", "risk_file", "selection_file"),
    *("retention_file", "kpis_file", "clickhouse_users_file", "second_reader_prompts_folder", "rules_public_keys"),
)
"""Settings whose files are backed up: what is in force, and no secret."""


def target_from(settings: Settings, to: str | None = None, *, writes: bool = False) -> BackupTarget:
    """Where backups lie; `to` in place of the setting. Nothing is read or sent yet, but for key files.

    Raises `SettingsError`, which names the setting, and `BackupKeyError`.
    """
    place = to or settings.backup_to
    if place is None:
        raise SettingsError("backup_to is not set: name a folder, or s3://BUCKET/PREFIX/")
    private_file, public = settings.backup_private_key_file, settings.backup_public_keys
    if private_file is None and (writes or public is None):
        raise SettingsError(
            "backup_private_key_file is not set: make keys with `callstream backup keygen`"
            if writes
            else "neither backup_public_keys nor backup_private_key_file is set: what is read must be signed"
        )
    return BackupTarget(
        _place(settings, place, "backup_to"),
        keys_place=_place(settings, settings.backup_keys_to, "backup_keys_to") if settings.backup_keys_to else None,
        private_key=read_private_key(private_file) if private_file else None,
        public_keys=read_public_keys(public) if public else (),
        sealing_key=read_sealing_key(settings.backup_sealing_key_file),
        keys_sealing_key=read_sealing_key(settings.backup_keys_sealing_key_file),
    )


def _place(settings: Settings, place: str, setting: str) -> BackupPlace:
    if not place.startswith("s3://"):
        return BackupPlace(FolderStore(Path(place).expanduser().absolute(), BUCKET))
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    for name in ("backup_s3_access_key", "backup_s3_secret_key"):
        if not getattr(settings, name):
            raise SettingsError(f"{name} is not set, and {setting} is a bucket")
    s3 = S3Settings(
        s3_endpoint=settings.backup_s3_endpoint,
        s3_secure=settings.backup_s3_secure,
        s3_region=settings.backup_s3_region,
        s3_access_key=settings.backup_s3_access_key,
        s3_secret_key=settings.backup_s3_secret_key,
        s3_older_versions_days=0,  # what is erased must not lie on as an older version
    )
    return BackupPlace(s3.open(bucket, settings.data_dir), prefix)


def systems_from(settings: Settings, clock: Clock, release: str) -> Systems:
    """The installation that the settings name."""
    return Systems(Register.of(settings), lambda: _client(settings), whole_store_from(settings), clock, release)


def systems_in(folder: Path, settings: Settings, clock: Clock, release: str) -> Systems:
    """Register and objects below a folder, as an installation with this data folder would have them; ClickHouse as the
    settings say."""
    store: ObjectStore = FolderStore(folder / "objects", settings.store_bucket)
    register = Register(sqlite_url(folder / "register" / "register.db"))
    return Systems(register, lambda: _client(settings), store, clock, release)


def clickhouse_target_from(settings: Settings) -> ClickHouseTarget:
    """The database that the settings name, to be made anew."""
    url, cluster = settings.clickhouse_url.get_secret_value(), settings.clickhouse_cluster

    def migrate_until(number: int) -> None:
        wanted = tuple(each for each in load_migrations() if each.number <= number)
        database.migrate(url, wanted, cluster=cluster, views={})

    def migrate() -> None:
        database.migrate(url, cluster=cluster, views=database.views_of(settings))

    def exists() -> bool:
        with suppress(ClickHouseSchemaError):
            connect(url).close()
            return True
        return False

    return ClickHouseTarget(migrate_until, migrate, exists)


def _client(settings: Settings) -> Client:
    return connect(settings.clickhouse_url.get_secret_value(), timeout_s=QUERY_TIMEOUT_S)


def configuration_files(settings: Settings) -> Iterator[ConfigurationFile]:
    """The files that are in force by the settings. Raises `SettingsError` where one cannot be read."""
    for setting in CONFIGURATION:
        place: Path | None = getattr(settings, setting)
        if place is None:
            continue
        files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        for file in files:
            try:
                content = file.read_bytes()
            except OSError as error:
                raise SettingsError(f"{setting}: {file} cannot be read ({error.strerror})") from None
            path = file.relative_to(place) if place.is_dir() else Path(file.name)
            yield ConfigurationFile(setting, str(path), content)
