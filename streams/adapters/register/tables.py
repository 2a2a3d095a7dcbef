"""Every table of the register. What makes them are the files in `migrations/versions`; a test compares the two."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)
from sqlalchemy.types import TypeDecorator

REVISIONS: tuple[str, ...] = ("0001", "0002", "0003", "0008")
"""The migrations that there are, the oldest first; the last one is what this release works with."""

TENANT_LENGTH = 64
CALL_LENGTH = 128
VERSION_LENGTH = 128
SLUG_LENGTH = 64
KEY_LENGTH = 1_024
PERSON_LENGTH = 256


class UtcTime(TypeDecorator[datetime]):
    """A point in time, aware and in UTC, also where the database knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone is no point in time")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - as declared by SQLAlchemy
        if value is None:
            return None
        assert isinstance(value, datetime)  # noqa: S101 - both drivers give one
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

wrapping_keys = Table(
    "wrapping_keys",
    metadata,
    Column("purpose", String(SLUG_LENGTH), primary_key=True),
    Column("version", String(VERSION_LENGTH), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("prepared_at", UtcTime, nullable=False),
    Column("current_at", UtcTime),
    Column("retiring_at", UtcTime),
    Column("retired_at", UtcTime),
    CheckConstraint("state IN ('prepared', 'current', 'retiring', 'retired')", name="state"),
)
"""Which version of a wrapping key wraps. The keys themselves are where the key wrapper keeps them."""

one_current = Index(
    "ix_wrapping_keys_one_current",
    wrapping_keys.c.purpose,
    unique=True,
    sqlite_where=text("state = 'current'"),
    postgresql_where=text("state = 'current'"),
)

day_keys = Table(
    "day_keys",
    metadata,
    Column("tenant_id", String(TENANT_LENGTH), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("purpose", String(SLUG_LENGTH), primary_key=True),
    Column("version", String(VERSION_LENGTH), nullable=False),
    Column("blob", LargeBinary, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    ForeignKeyConstraint(["purpose", "version"], ["wrapping_keys.purpose", "wrapping_keys.version"]),
    Index("ix_day_keys_version", "purpose", "version"),
    Index("ix_day_keys_day", "day"),
)
"""One key for each tenant, day and purpose, wrapped by a wrapping key."""

call_keys = Table(
    "call_keys",
    metadata,
    Column("day", Date, primary_key=True),
    Column("tenant_id", String(TENANT_LENGTH), primary_key=True),
    Column("call_id", String(CALL_LENGTH), primary_key=True),
    Column("purpose", String(SLUG_LENGTH), primary_key=True),
    Column("blob", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
    postgresql_partition_by="RANGE (day)",
)
"""The data key of each call and purpose, wrapped by the key of its day. On PostgreSQL in one partition a day.

No foreign key leads to `day_keys`: each insert would lock the one row that all calls of the day share. What is read is
joined with it instead.
"""

outbox = Table(
    "outbox",
    metadata,
    Column(
        "sequence",
        BigInteger().with_variant(Integer, "sqlite"),
        Identity(always=True),
        primary_key=True,
    ),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("topic", String(SLUG_LENGTH), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("written_at", UtcTime, nullable=False),
    Column("sent_at", UtcTime),
    sqlite_autoincrement=True,
)
"""Events that were written in the same transaction as the change that they tell of, until they are in Kafka."""

waiting = Index(
    "ix_outbox_waiting",
    outbox.c.sequence,
    sqlite_where=text("sent_at IS NULL"),
    postgresql_where=text("sent_at IS NULL"),
)
sent = Index(
    "ix_outbox_sent",
    outbox.c.sent_at,
    sqlite_where=text("sent_at IS NOT NULL"),
    postgresql_where=text("sent_at IS NOT NULL"),
)

intakes = Table(
    "intakes",
    metadata,
    Column("tenant_id", String(TENANT_LENGTH), primary_key=True),
    Column("call_id", String(CALL_LENGTH), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("attempt", String(32), nullable=False),
    Column("object_key", String(KEY_LENGTH), nullable=False),
    Column("lease_until", UtcTime),
    Column("source", String(SLUG_LENGTH), nullable=False),
    Column("content", String(64)),
    Column("event", LargeBinary),
    Column("received_at", UtcTime),
    Column("capture_ms", BigInteger),
    CheckConstraint("state IN ('reserved', 'stored', 'announced')", name="state"),
)
"""The intake of each call. The event stands in it from when the recording is stored until Kafka has it, the row for
some weeks more."""

reserved = Index(
    "ix_intakes_reserved",
    intakes.c.lease_until,
    sqlite_where=text("state = 'reserved'"),
    postgresql_where=text("state = 'reserved'"),
)
stored = Index(
    "ix_intakes_stored",
    intakes.c.received_at,
    sqlite_where=text("state = 'stored'"),
    postgresql_where=text("state = 'stored'"),
)

announced = Index(
    "ix_intakes_announced",
    intakes.c.received_at,
    sqlite_where=text("state = 'announced'"),
    postgresql_where=text("state = 'announced'"),
)

leftovers = Table(
    "leftovers",
    metadata,
    Column("object_key", String(KEY_LENGTH), primary_key=True),
    Column("left_at", UtcTime, nullable=False),
    Column("removed_at", UtcTime),
    Index("ix_leftovers_left_at", "left_at"),
)
"""Objects of attempts that were given up: written or not, they belong to no call."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("tenant_id", String(TENANT_LENGTH), nullable=False),
    Column("label", String(128), nullable=False),
    Column("scopes", String(256), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("issued_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
    Column("replaced_by", String(32)),
    Column("used_at", UtcTime),
    Index("ix_api_keys_tenant_id", "tenant_id"),
)
"""API keys of tenants. Of their secrets, 256 random bits, the SHA-256 alone; `used_at` is right to about an hour."""

exports = Table(
    "exports",
    metadata,
    Column("export_id", String(32), primary_key=True),
    Column("tenant_id", String(TENANT_LENGTH), nullable=False),
    Column("recipient", String(128), nullable=False),
    Column("contents", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("requester_account", String(PERSON_LENGTH), nullable=False),
    Column("requester_person", String(PERSON_LENGTH), nullable=False),
    Column("reason", String(SLUG_LENGTH), nullable=False),
    Column("ticket", String(128)),
    Column("approvals_needed", Integer, nullable=False),
    Column("grant_lasts_s", BigInteger, nullable=False),
    Column("downloads_allowed", Integer, nullable=False),
    Column("requested_at", UtcTime, nullable=False),
    Column("request_until", UtcTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("grant_until", UtcTime),
    Column("downloads", Integer, nullable=False),
    Column("token_digest", String(64)),
    Column("token_until", UtcTime),
    Column("ended_at", UtcTime),
    Column("end_reason", String(SLUG_LENGTH)),
    CheckConstraint(
        "state IN ('requested', 'approved', 'downloaded', 'refused', 'withdrawn', 'expired', 'void', 'closed')",
        name="state",
    ),
    Index("ix_exports_tenant_id_requested_at", "tenant_id", "requested_at"),
)
"""Exports, what is asked for and where each stands. `digest` is of the set when it was asked for; of the secret of a
download's token the SHA-256 alone is kept."""

export_calls = Table(
    "export_calls",
    metadata,
    Column("export_id", String(32), primary_key=True),
    Column("call_id", String(CALL_LENGTH), primary_key=True),
    Column("recording", String(64)),
    Column("text", String(64)),
    Column("analysis", String(64)),
    ForeignKeyConstraint(["export_id"], ["exports.export_id"]),
    Index("ix_export_calls_call_id", "call_id"),
)
"""The calls of each export, and in which versions they would be handed out."""

export_approvals = Table(
    "export_approvals",
    metadata,
    Column("export_id", String(32), primary_key=True),
    Column("person", String(PERSON_LENGTH), primary_key=True),
    Column("account", String(PERSON_LENGTH), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("approved_at", UtcTime, nullable=False),
    ForeignKeyConstraint(["export_id"], ["exports.export_id"]),
)
"""Who agreed to which set; a person once."""
