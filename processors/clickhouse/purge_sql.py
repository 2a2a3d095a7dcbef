"""What of a destroyed call goes from which table of ClickHouse, as SQL; and how it is found that it has gone. Pure.

Every table of `roles.yaml` stands in one of the lists below, and a test sees to it: of a new one it is decided here
whether it says what was said, whose it was or where it lies. Mutations alone are used: rows that a lightweight delete
or update has hidden come back with a backup.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

_NO_WORDS = "arrayMap(one -> '', {column})"
_NULL = "nullIf(materialize(''), '')"
"""Not the constant NULL: ClickHouse would set the mark of null alone, and leave the value beneath it in the file."""
_NULL_SHA256 = "nullIf(materialize(toFixedString('', 64)), toFixedString('', 64))"
_MOST_OF = "tenant_id = {tenant:String} AND call_id IN {calls:Array(String)}"

_OF_THESE = "tenant_id = {tenant:String} AND call_id IN {calls:Array(String)}"
_OF_OTHERS = "tenant_id = {tenant:String} AND call_id NOT IN {calls:Array(String)}"


def _named_last(column: str) -> str:
    """The key of a fact stands in that column of these calls, and of no other."""
    keys = f"SELECT assumeNotNull({column}) FROM call_versions WHERE isNotNull({column})"  # noqa: S608 - names of ours
    return f"key IN ({keys} AND {_OF_THESE}) AND key NOT IN ({keys} AND {_OF_OTHERS})"


_FACTS_OF_CALLS = (
    "tenant_id = {tenant:String} AND (entity = 'call' AND key IN {calls:Array(String)}"
    f" OR entity = 'order' AND {_named_last('order_id')}"
    f" OR entity IN ('customer', 'credit') AND {_named_last('customer_key')})"
)
"""What other systems know of a customer or an order goes with the last call that names it; before, another call that is
still kept needs it."""

PURGE_STATE_STEP = 10**15
"""More than the milliseconds since 1970 for 30,000 years: of the states of one call the later one stands."""


@dataclass(frozen=True)
class PurgedTable:
    """A table whose rows of a destroyed call go, or lose what tells of it.

    `blank` is column → what is put in its place; without any, the rows are deleted. `left` is what a row fulfils that
    still has what must go. `rows` says which rows are those of a call.
    """

    table: str
    blank: tuple[tuple[str, str], ...] = ()
    left: str = "1"
    rows: str = _MOST_OF

    def mutation(self) -> str:
        """The statement, with placeholders of `schemas.clickhouse.cluster`, for calls as parameters."""
        return f"ALTER TABLE {{{{local {self.table}}}}} {{{{on_cluster}}}} {self.command()}"

    def command(self) -> str:
        """The part behind the name of the table. Rows in which nothing is left are not touched: again costs little."""
        if not self.blank:
            return f"DELETE WHERE {self.rows}"
        assignments = ", ".join(f"{column} = {value}" for column, value in self.blank)
        return f"UPDATE {assignments} WHERE {self.rows} AND ({self.left})"

    def count(self) -> str:
        """How many rows still have what must go."""
        return f"SELECT count() FROM {self.table} WHERE {self.rows} AND ({self.left})"  # noqa: S608 - names of ours


def _blanked(*columns: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"`{column}`", _NO_WORDS.format(column=f"`{column}`")) for column in columns)


PURGED: tuple[PurgedTable, ...] = (
    PurgedTable("transcript_versions"),
    PurgedTable("search_text_versions"),
    # Before the rows of the calls, which say whose the facts are.
    PurgedTable("fact_versions", rows=_FACTS_OF_CALLS),
    PurgedTable(
        "call_versions",
        blank=(
            ("customer_key", _NULL),
            ("order_id", _NULL),
            ("crm", "map()"),
            ("audio_uri", "''"),
            ("audio_sha256", "''"),
            *_blanked("findings.quote", "findings.matched", "topics.quote"),
            (
                "`findings.attributes`",
                "arrayMap(one -> CAST(map(), 'Map(LowCardinality(String), String)'), `findings.attributes`)",
            ),
            ("purged_at", "coalesce(purged_at, fromUnixTimestamp64Milli({at:Int64}, 'UTC'))"),
        ),
        left="isNotNull(customer_key) OR isNotNull(order_id) OR notEmpty(crm) OR audio_uri != '' OR audio_sha256 != ''"
        " OR arrayExists(one -> one != '', `findings.quote`) OR arrayExists(one -> one != '', `findings.matched`)"
        " OR arrayExists(one -> one != '', `topics.quote`) OR arrayExists(one -> notEmpty(one), `findings.attributes`)"
        " OR isNull(purged_at)",
    ),
    PurgedTable(
        "alert_versions",
        blank=(("quote", "''"), ("matched", "''")),
        left="quote != '' OR matched != ''",
    ),
    # The id of what was missed is a digest of its words, and in the key of the table: such rows go whole. No KPI and no
    # precision is made of them.
    PurgedTable("verdict_versions", rows=f"about = 'missed' AND {_MOST_OF}"),
    PurgedTable(
        "verdict_versions",
        blank=(("quote", _NULL), ("note", _NULL)),
        left="isNotNull(quote) OR isNotNull(note)",
    ),
    PurgedTable(
        "dead_letter_versions",
        blank=(("value_sha256", _NULL),),
        left="isNotNull(value_sha256)",
    ),
    PurgedTable("custody_event_versions", blank=(("content_sha256", _NULL_SHA256),), left="isNotNull(content_sha256)"),
    PurgedTable("exchange_call_versions", blank=(("customer_key", _NULL),), left="isNotNull(customer_key)"),
    PurgedTable(
        "rating_versions",
        blank=(("customer_tags", "[]"),),
        left="0",  # tags are what calls are grouped by: they go where a person is erased alone
    ),
    PurgedTable("blocked_calls"),
)
"""In this order: what was said first."""

_STORED_LATER = frozenset({"dead_letter_versions", "custody_event_versions"})

DIGESTS: Mapping[str, tuple[str, ...]] = {
    each.table: tuple(column for column, _ in each.blank) for each in PURGED if each.table in _STORED_LATER
}
"""Table → its columns that are null of a destroyed call. Rows of these tables tell what was done with a call, and are
stored after its tombstone, too."""

OF_A_PERSON: tuple[PurgedTable, ...] = tuple(
    PurgedTable(each.table, each.blank, "notEmpty(customer_tags)") if each.table == "rating_versions" else each
    for each in PURGED
)
"""The same where a customer asks for it: tags that somebody gave to the person go, too."""

WITHOUT_A_CALL = frozenset(
    {
        "outcome_versions",  # the first outcome stays; a call that had none gets `purged`
        "timed_outcome_versions",  # ids and times
        "timed_outcome_writer",
        "missing_recording_versions",  # ids and times
        "alert_delivery_versions",  # what became of messages; ids of alerts
        "access_log_versions",  # who looked: it must stay
        "purge_versions",
        "rule_pack_versions",
        "rule_versions",
        "kpi_rollup_rows",  # sums
        "kpi_rollup_days",
        "duration_buckets",  # sums
        "reader_role_versions",
        "schema_migrations",
        "search_text_writer",  # writes into a table above
    }
)
"""Tables that say nothing of what was said, whose it was, or where it lay."""

TABLES: tuple[str, ...] = tuple(dict.fromkeys(each.table for each in PURGED))

FORGET_CUSTOMER = (
    "ALTER TABLE {{local fact_versions}} {{on_cluster}} DELETE WHERE tenant_id = {tenant:String} "
    "AND entity IN ('customer', 'credit') AND lower(hex(SHA256(key))) IN {digests:Array(String)}"
)
"""What other systems know of a customer of whom no call is left, or never was any. By SHA-256 of the key: mutations are
shown for long."""

_CUSTOMERS = (
    "SELECT DISTINCT assumeNotNull(customer_key) FROM call_versions "
    "WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)} AND isNotNull(customer_key)"
)

_SHARED_MATTER = (
    "(hasAny(other.2, topic_ids) OR ((empty(other.2) OR empty(topic_ids)) AND ifNull(other.3 = inquiry_type, false)))"
)

CONTACTS = f"""
WITH contacts AS
(
    SELECT
        customer_key,
        groupArray((started_at, topics.topic_id, inquiry_type, ended_at, call_id)) AS contacts_of_customer
    FROM call_versions FINAL
    WHERE tenant_id = {{tenant:String}} AND customer_key GLOBAL IN ({_CUSTOMERS})
        AND direction = 'inbound' AND outcome != 'too_short'
    GROUP BY customer_key
)
SELECT
    judged.call_id AS call_id,
    arrayExists(
        other -> (is_purged OR has({{calls:Array(String)}}, other.5)) AND other.1 > started_at
            AND other.1 <= ended_at + toIntervalDay({{window_days:UInt32}}) AND {_SHARED_MATTER},
        contacts.contacts_of_customer
    ) AS called_again,
    arrayExists(
        other -> (is_purged OR has({{calls:Array(String)}}, other.5)) AND other.1 < started_at
            AND started_at <= other.4 + toIntervalDay({{window_days:UInt32}}) AND {_SHARED_MATTER},
        contacts.contacts_of_customer
    ) AS is_repeat,
    is_purged
FROM
(
    SELECT
        call_id, customer_key, started_at, ended_at, inquiry_type, topics.topic_id AS topic_ids,
        has({{calls:Array(String)}}, call_id) AS is_purged
    FROM call_versions FINAL
    WHERE tenant_id = {{tenant:String}} AND customer_key GLOBAL IN ({_CUSTOMERS})
        AND direction = 'inbound' AND outcome != 'too_short'
        AND (notEmpty(topics.topic_id) OR isNotNull(inquiry_type))
) AS judged
LEFT JOIN contacts ON judged.customer_key = contacts.customer_key
WHERE is_purged OR called_again OR is_repeat
"""  # noqa: S608 - names of ours
"""What `kpi_calls` knows of these calls, and of other calls of their customers, by a key that is about to go: whether
the customer called again within the window, and whether the call is a repeat. Of the others only what these calls make
of them."""

KEEP_CONTACTS = (
    "ALTER TABLE {{local call_versions}} {{on_cluster}} UPDATE kept_contact = arrayFilter(word -> word != '', ["
    "if(has(kept_contact, 'contact') OR call_id IN {contact:Array(String)}, 'contact', ''), "
    "if(has(kept_contact, 'called_again') OR call_id IN {called_again:Array(String)}, 'called_again', ''), "
    "if(has(kept_contact, 'repeat') OR call_id IN {repeat:Array(String)}, 'repeat', '')]) "
    "WHERE tenant_id = {tenant:String} AND call_id IN {touched:Array(String)}"
)
"""The mutation that keeps it in their rows."""


def mutations(of_a_person: bool, tables: Collection[str] = TABLES) -> Iterator[PurgedTable]:
    """What is to be done, in order."""
    return (each for each in (OF_A_PERSON if of_a_person else PURGED) if each.table in tables)
