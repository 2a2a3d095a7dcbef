"""Every table of the register. What makes them are the files in `migrations/versions`; a test compares the two."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
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
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator

REVISIONS: tuple[str, ...] = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011")
"""The migrations that there are, the oldest first; the last one is what this release works with."""

TENANT_LENGTH = 64
CALL_LENGTH = 128
VERSION_LENGTH = 128
SLUG_LENGTH = 64
KEY_LENGTH = 1_024
CASE_LENGTH = 160
CONTRACT_LENGTH = 128
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

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("entry_id", String(36), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("tenant_id", String(TENANT_LENGTH), nullable=False),
    Column("actor", String(512), nullable=False),
    Column("action", String(SLUG_LENGTH), nullable=False),
    Column("call_id", String(512)),
    Column("appended_at", UtcTime, nullable=False),
    Index("ix_audit_entries_at", "at"),
    Index("ix_audit_entries_actor", "actor", "at"),
    Index("ix_audit_entries_call_id", "tenant_id", "call_id"),
)
"""Entries of the audit log. `content` is what is hashed; the other columns repeat parts of it, to find entries by.

A trigger refuses to change a row, and to remove one that is younger than a year.
"""

audit_waiting = Table(
    "audit_waiting",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), Identity(always=True), primary_key=True),
    Column("entry_id", String(36), nullable=False, unique=True),
    sqlite_autoincrement=True,
)
"""Entries that have no place in the tree yet. Whoever appends one writes here, too, and waits for nobody."""

audit_leaves = Table(
    "audit_leaves",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("entry_id", String(36), nullable=False, unique=True),
    Column("leaf_hash", LargeBinary, nullable=False),
)
"""The place of each entry in the tree, for ever: also of entries that are gone. A trigger refuses every change."""

audit_personal = Table(
    "audit_personal",
    metadata,
    Column("entry_id", String(36), primary_key=True),
    Column("name", String(SLUG_LENGTH), primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("value", String(512), nullable=False),
    Index("ix_audit_personal_value", "value"),
)
"""What of entries is of a person, until it is erased: then the row is gone."""

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", String(2048), nullable=False),
    Column("peaks", LargeBinary, nullable=False),
    Column("signed_at", UtcTime, nullable=False),
)
"""What was signed of the log; `peaks` are the full subtrees of its tree, from which it grows. Never changed."""

audit_positions = Table(
    "audit_positions",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("position", String(256), nullable=False),
)
"""How far the stage `audit` has come in each of the things that it does."""

ACCOUNT_LENGTH = 64
URL_LENGTH = 512
ACTOR_LENGTH = 128

accounts = Table(
    "accounts",
    metadata,
    Column("account_id", String(ACCOUNT_LENGTH), primary_key=True),
    Column("home", String(TENANT_LENGTH), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("made_by", String(ACTOR_LENGTH), nullable=False),
    Column("password_hash", String(256)),
    Column("password_by", String(ACTOR_LENGTH)),
    Column("oidc_issuer", String(URL_LENGTH)),
    Column("oidc_subject", String(256)),
    Column("os_user", String(64)),
    Column("clickhouse_user", String(64)),
    Column("disabled_at", UtcTime),
    Column("generation", Integer, nullable=False),
    Index("ix_accounts_oidc", "oidc_issuer", "oidc_subject", unique=True),
    Index("ix_accounts_os_user", "os_user", unique=True),
)
"""People. Of a password the Argon2id hash alone; `generation` grows with every change of what the account may do."""

account_grants = Table(
    "account_grants",
    metadata,
    Column("grant_id", String(32), primary_key=True),
    Column("account_id", String(ACCOUNT_LENGTH), nullable=False),
    Column("role", String(SLUG_LENGTH), nullable=False),
    Column("tenant_id", String(TENANT_LENGTH), nullable=False),
    Column("teams", Text),
    Column("agent_id", String(128)),
    Column("granted_at", UtcTime, nullable=False),
    Column("granted_by", String(ACTOR_LENGTH), nullable=False),
    Column("ends_at", UtcTime),
    Column("revoked_at", UtcTime),
    ForeignKeyConstraint(["account_id"], ["accounts.account_id"]),
    Index("ix_account_grants_account_id", "account_id"),
)
"""Roles that accounts were given. `teams` is a JSON list, or null where the role is not narrowed to any."""

account_tokens = Table(
    "account_tokens",
    metadata,
    Column("token_id", String(32), primary_key=True),
    Column("account_id", String(ACCOUNT_LENGTH), nullable=False),
    Column("label", String(128), nullable=False),
    Column("scopes", String(256), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("issued_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
    Column("used_at", UtcTime),
    Column("held_by", String(ACTOR_LENGTH)),
    ForeignKeyConstraint(["account_id"], ["accounts.account_id"]),
    Index("ix_account_tokens_account_id", "account_id"),
)
"""Tokens of accounts. Of their secrets, 256 random bits, the SHA-256 alone; `used_at` is right to about an hour."""

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("account_id", String(ACCOUNT_LENGTH), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("used_at", UtcTime, nullable=False),
    Column("claimed", Text, nullable=False),
    ForeignKeyConstraint(["account_id"], ["accounts.account_id"]),
    Index("ix_sessions_account_id", "account_id"),
    Index("ix_sessions_used_at", "used_at"),
)
"""Open sessions by the SHA-256 of what the cookie holds. `claimed`: grants of an OpenID provider's claims, as JSON."""

oidc_sign_ins = Table(
    "oidc_sign_ins",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    Column("began_at", UtcTime, nullable=False),
    Index("ix_oidc_sign_ins_began_at", "began_at"),
)
"""People who were sent to the OpenID provider, by the SHA-256 of `state` and of what their browser holds, until they
come back, once."""

sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    Column("who", String(64), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("last_at", UtcTime, nullable=False),
    Column("waits_until", UtcTime),
    Index("ix_sign_in_tries_last_at", "last_at"),
)
"""Tries to sign in that were not right, by the SHA-256 of a name or an address: neither has to exist."""

retentions = Table(
    "retentions",
    metadata,
    Column("tenant_id", String(TENANT_LENGTH), primary_key=True),
    Column("call_id", String(CALL_LENGTH), primary_key=True),
    Column("day", Date),
    Column("ended_at", UtcTime),
    Column("customer_key", String(64)),
    Column("contract_id", String(CONTRACT_LENGTH)),
    Column("retention_class", String(SLUG_LENGTH)),
    Column("days", Integer),
    Column("starts_at", UtcTime),
    Column("ends_on", Date),
    Column("floor_on", Date),
    Column("policy_version", BigInteger),
    Column("decided_by", String(16)),
    Column("archive_days", Integer),
    Column("waiting", LargeBinary),
    Column("is_misdial", Boolean),
    Column("early_on", Date),
    Column("archived_on", Date),
    Column("archived_at", UtcTime),
    Column("due_on", Date),
    CheckConstraint("decided_by IN ('capture', 'judged', 'event', 'person')", name="decided_by"),
    sqlite_with_rowid=False,
)
"""How long each call is kept; what is not known of it yet is NULL. A row is also what a purge and a hold of the call
lock, so either makes one that says nothing more where there is none. `due_on` is NULL where nothing is due by itself;
`waiting` (JSON) holds the classes that wait for an event, and the events that came.
"""

due_retentions = Index(
    "ix_retentions_due",
    retentions.c.due_on,
    retentions.c.tenant_id,
    retentions.c.call_id,
    sqlite_where=text("due_on IS NOT NULL"),
    postgresql_where=text("due_on IS NOT NULL"),
)
retentions_of_customers = Index(
    "ix_retentions_customer",
    retentions.c.tenant_id,
    retentions.c.customer_key,
    sqlite_where=text("customer_key IS NOT NULL"),
    postgresql_where=text("customer_key IS NOT NULL"),
)
retentions_of_contracts = Index(
    "ix_retentions_contract",
    retentions.c.tenant_id,
    retentions.c.contract_id,
    sqlite_where=text("contract_id IS NOT NULL"),
    postgresql_where=text("contract_id IS NOT NULL"),
)

retention_events = Table(
    "retention_events",
    metadata,
    Column("tenant_id", String(TENANT_LENGTH), primary_key=True),
    Column("contract_id", String(CONTRACT_LENGTH), primary_key=True),
    Column("event", String(SLUG_LENGTH), primary_key=True),
    Column("came_at", UtcTime, nullable=False),
    Column("told_by", String(CALL_LENGTH), nullable=False),
    Column("told_at", UtcTime, nullable=False),
)
"""What has come of a contract, for its calls that are there and those that are told later."""

holds = Table(
    "holds",
    metadata,
    Column("tenant_id", String(TENANT_LENGTH), primary_key=True),
    Column("case_id", String(CASE_LENGTH), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", String(SLUG_LENGTH), nullable=False),
    Column("opened_by", String(CALL_LENGTH), nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("released_by", String(CALL_LENGTH)),
    Column("released_at", UtcTime),
    CheckConstraint("state IN ('open', 'released')", name="state"),
)
"""The cases of legal holds."""

hold_calls = Table(
    "hold_calls",
    metadata,
    Column("tenant_id", String(TENANT_LENGTH), primary_key=True),
    Column("call_id", String(CALL_LENGTH), primary_key=True),
    Column("case_id", String(CASE_LENGTH), primary_key=True),
    ForeignKeyConstraint(["tenant_id", "case_id"], ["holds.tenant_id", "holds.case_id"]),
    Index("ix_hold_calls_case", "tenant_id", "case_id"),
)
"""The calls that each case names."""

hold_customers = Table(
    "hold_customers",
    metadata,
    Column("tenant_id", String(TENANT_LENGTH), primary_key=True),
    Column("case_id", String(CASE_LENGTH), primary_key=True),
    Column("customer_key", String(64), primary_key=True),
    Column("ended_from", UtcTime, primary_key=True),
    Column("ended_before", UtcTime, primary_key=True),
    ForeignKeyConstraint(["tenant_id", "case_id"], ["holds.tenant_id", "holds.case_id"]),
    Index("ix_hold_customers_customer_key", "tenant_id", "customer_key"),
)
"""The customers whose calls each case holds, a row for each key of theirs, with when these calls ended."""

purges = Table(
    "purges",
    metadata,
    Column("purge_id", String(32), primary_key=True),
    Column("tenant_id", String(TENANT_LENGTH), nullable=False),
    Column("reason", String(SLUG_LENGTH), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("role", String(64), nullable=False),
    Column("policy_version", String(VERSION_LENGTH), nullable=False),
    Column("ticket", String(128)),
    Column("erasure_id", String(32)),
    Column("salt", LargeBinary, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("done", String(256), nullable=False),
    Column("counts", Text, nullable=False),
    Column("worker", String(32)),
    Column("lease_until", UtcTime),
    Column("late_at", UtcTime, nullable=False),
    Column("receipt", LargeBinary),
    Column("receipted_at", UtcTime),
    Column("ended_at", UtcTime),
)
"""A set of calls that are destroyed together: which steps are done (words with spaces between), what each has destroyed
(JSON), who is at it, and the signed receipt. `ended_at` stands once what was written late has gone, too."""

open_purges = Index(
    "ix_purges_open",
    purges.c.started_at,
    sqlite_where=text("ended_at IS NULL"),
    postgresql_where=text("ended_at IS NULL"),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("tenant_id", String(TENANT_LENGTH), primary_key=True),
    Column("call_id", String(CALL_LENGTH), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", String(SLUG_LENGTH), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("role", String(64), nullable=False),
    Column("policy_version", String(VERSION_LENGTH), nullable=False),
    Column("ticket", String(128)),
    Column("erasure_id", String(32)),
    Column("purge_id", String(32)),
    Column("digest", String(64)),
    Column("days", String(256), nullable=False),
    Column("kept_by", String(16)),
    Column("look_at", UtcTime),
    Column("written_at", UtcTime, nullable=False),
    Column("purged_at", UtcTime),
    CheckConstraint("state IN ('blocked', 'purging', 'purged')", name="state"),
    Index("ix_tombstones_purge_id", "purge_id"),
    Index("ix_tombstones_erasure_id", "erasure_id"),
)
"""Calls that are no more, or may be used no more. `digest` is salted: what the receipt calls the call. `days` are the
UTC days under which something of it is filed. Kept for ever: whatever comes of a call after its tombstone is
dropped."""

blocked_tombstones = Index(
    "ix_tombstones_blocked",
    tombstones.c.look_at,
    sqlite_where=text("state = 'blocked'"),
    postgresql_where=text("state = 'blocked'"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("erasure_id", String(32), primary_key=True),
    Column("tenant_id", String(TENANT_LENGTH), nullable=False),
    Column("reason", String(SLUG_LENGTH), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("role", String(64), nullable=False),
    Column("ticket", String(128)),
    Column("customer_keys", Text),
    Column("salt", LargeBinary, nullable=False),
    Column("customer_digest", String(64), nullable=False),
    Column("asked_at", UtcTime, nullable=False),
    Column("listed_at", UtcTime),
    Column("done_at", UtcTime),
    Column("counts", Text, nullable=False),
    Column("receipt", LargeBinary),
    Index("ix_erasures_tenant_id", "tenant_id"),
)
"""Customers' requests to be erased. The keys of the customer (JSON) go with the last of the calls; of them the salted
digest stays."""

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
    Column("muting", String(64)),
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

saved_searches = Table(
    "saved_searches",
    metadata,
    Column("account_id", String(PERSON_LENGTH), primary_key=True),
    Column("name", String(SLUG_LENGTH), primary_key=True),
    Column("criteria", Text, nullable=False),
    Column("saved_at", UtcTime, nullable=False),
)
"""Criteria of searches (JSON: option → what was given) that an account keeps; no results, and none that tells a
customer apart."""

sent_reports = Table(
    "sent_reports",
    metadata,
    Column("report", String(SLUG_LENGTH), primary_key=True),
    Column("period", String(32), primary_key=True),
    Column("recipient", String(320), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("tried_at", UtcTime, nullable=False),
    Column("error", String(128)),
    CheckConstraint("state IN ('sending', 'sent', 'later', 'refused')", name="state"),
)
"""Reports by mail: what became of each period at each recipient."""

pauses = Table(
    "pauses",
    metadata,
    Column("stage", String(SLUG_LENGTH), primary_key=True),
    Column("tenant_id", String(TENANT_LENGTH), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("why", String(256), nullable=False),
    Column("actor", String(PERSON_LENGTH), nullable=False),
    Column("since", UtcTime, nullable=False),
    CheckConstraint("kind IN ('pause', 'drain')", name="kind"),
)
"""Stages that are to stand still until somebody resumes them; with a tenant, they do nothing for that tenant alone. The
tenant is empty where it is the whole stage."""
