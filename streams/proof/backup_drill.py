"""A backup of the whole installation, in a folder of its own, and what it gives back, beside the installation."""

import shutil
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from schemas.clickhouse.cluster import Cluster, to_sql
from schemas.errors import EmbeddedStackError
from streams.adapters.backup.target import BackupPlace, BackupTarget
from streams.adapters.clickhouse.connection import ClickHouseAddress, connect
from streams.adapters.clickhouse.statements import execute
from streams.adapters.key_wrappers.from_settings import key_wrapper_from
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.register.audit_log import RegisterAuditLog
from streams.adapters.register.keys import RegisterKeys
from streams.adapters.register.register import Register
from streams.backup.creating import create_backup
from streams.backup.erasing import ErasureReach, apply_erasures, destroyed_calls
from streams.backup.from_settings import BUCKET, clickhouse_target_from, systems_from, systems_in
from streams.backup.restoring import Restored, restore_backup
from streams.backup.systems import ByWhom, Sources
from streams.ports import Clock
from streams.settings import Settings


class RestoreWrongError(EmbeddedStackError):
    """What the backup gave back does not open."""


@dataclass(frozen=True)
class BackupDrill:
    """Below `folder`: the backup, and what it gives back. The rows go into a database of their own beside the one that
    the settings name. `remove` takes all of it away.
    """

    settings: Settings
    register: Register
    clock: Clock
    folder: Path
    database: str
    key: Ed25519PrivateKey
    by: ByWhom

    @classmethod
    def of(cls, settings: Settings, register: Register, clock: Clock, by: ByWhom) -> "BackupDrill":
        """In the data folder, under names that nothing else has. Nothing is done yet."""
        name = f"proof_{token_hex(8)}"
        database = f"{ClickHouseAddress.parse(settings.clickhouse_url.get_secret_value()).database}_{name}"
        return cls(settings, register, clock, settings.data_dir / name, database, Ed25519PrivateKey.generate(), by)

    @property
    def backups(self) -> Path:
        """Where the backup lies."""
        return self.folder / "backup"

    @property
    def restored(self) -> Path:
        """Where it is given back: register and objects, as a data folder has them."""
        return self.folder / "restored"

    def create(self) -> str:
        """Make the backup; its id. Raises as `create_backup`."""
        self.folder.mkdir(mode=0o700)
        systems = replace(systems_from(self.settings, self.clock, version("callstream")), register=self.register)
        log = RegisterAuditLog(self.register, self.clock)
        # The rules that are published have nothing of a call.
        return create_backup(systems, Sources(lambda: (), ()), self._target(), audit=log, by=self.by).manifest.backup_id

    def restore(self) -> Restored:
        """Give it back, as it was made, into what is empty. As `callstream backup restore --into` does, the register
        that lives is asked what was erased since. Raises as `restore_backup`, and `RestoreWrongError`.
        """
        settings = self._beside()
        systems = systems_in(self.restored, settings, self.clock, version("callstream"))
        target = self._target()
        with closing(systems.register):
            restored = restore_backup(
                target,
                target.manifest(target.backup_ids()[-1]),
                systems,
                clickhouse_target_from(settings),
                RegisterKeys(systems.register, key_wrapper_from(settings), self.clock),
                more_erased=destroyed_calls(self.register),
                audit=RegisterAuditLog(systems.register, self.clock),
                audit_beside=RegisterAuditLog(self.register, self.clock),
                by=self.by,
            )
        if restored.problems:
            raise RestoreWrongError(restored.problems[0])
        return restored

    def apply_erasures(self) -> ErasureReach:
        """Take what was erased since out of the backup, too. Raises as `streams.backup.erasing.apply_erasures`."""
        return apply_erasures(self._target(), self.register, (), self.clock.now())

    def remove(self) -> None:
        """The database, and the folder."""
        name = self.settings.clickhouse_cluster
        drop = f"DROP DATABASE IF EXISTS `{self.database}` {{{{on_cluster}}}} SYNC"
        with closing(connect(self.settings.clickhouse_url.get_secret_value())) as client:
            for sql in to_sql((drop,), Cluster(name, self.database) if name else None):
                execute(client, "removing what was given back", sql)
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def _target(self) -> BackupTarget:
        return BackupTarget(BackupPlace(FolderStore(self.backups, BUCKET)), private_key=self.key)

    def _beside(self) -> Settings:
        url = urlsplit(self.settings.clickhouse_url.get_secret_value())
        return self.settings.model_copy(
            update={"clickhouse_url": SecretStr(url._replace(path=f"/{self.database}").geturl())}
        )
