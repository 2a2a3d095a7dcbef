"""What the placeholders in the SQL files of this folder stand for: on one server, and on a cluster.

On a cluster a table is two on every host: `NAME_local`, replicated within its shard, and `NAME`, which distributes over
the shards. What reads and writes goes by `NAME` as on one server; views are the same everywhere. Each statement says by
its placeholders where it is run; nothing is guessed from the SQL around them (docs/adr/0026-views-and-placeholders.md).

    placeholder                       on one server     on a cluster
    {{on_cluster}}                    nothing           ON CLUSTER 'name'
    {{local T}}                       T                 T_local: the table of the shard alone
    {{both T}}                        T                 the statement twice: for T_local, then for T
    {{everywhere T}}                  T                 T, which has all its rows on every host
    {{stored X}}                      X                 X, left out for T of {{both T}}: how rows lie on the disk
    {{engine MergeTree(a)}}           MergeTree(a)      its replicated form, for {{local T}} or {{everywhere T}}
    {{distributed T by a, b}}         no statement      Distributed over T_local; rows with equal a and b share a shard
    {{secret}}                        a random text in quotes, 256 bits, another one each time

Views also have `{{day M}}` and `{{clock M}}` (`schemas.clickhouse.days`) and `{{call_url T, C, MS}}`
(`schemas.clickhouse.views`), which are replaced before.

Braces are double because ClickHouse has single ones for parameters of queries and views.
"""

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from schemas.errors import OperatorError

LOCAL_SUFFIX = "_local"
REPLICA_PATH = "/clickhouse/tables/{shard}/{database}/{table}"
"""Where the replicas of a table meet in Keeper; `{shard}` and `{replica}` are macros of the server."""
REPLICA_PATH_EVERYWHERE = "/clickhouse/tables/all/{database}/{table}"
"""The same of a table that every host has whole."""

ON_CLUSTER = "{{on_cluster}}"
_MADE_ANEW = "{{secret}}"

_PLACEHOLDER = re.compile(r"(?P<space> ?)\{\{(?P<word>\w+)(?: (?P<argument>[^{}]+))?\}\}")
_ENGINE = re.compile(
    r"(?P<kind>(?:Replacing|Summing|Aggregating|Collapsing|VersionedCollapsing)?MergeTree)(?:\((?P<arguments>.*)\))?"
)
_DISTRIBUTED = re.compile(r"(?P<table>\w+) by (?P<key>.+)")
_WITH_ARGUMENT = frozenset({"local", "both", "everywhere", "stored", "engine", "distributed"})


class PlaceholderError(OperatorError):
    """A placeholder in an SQL file cannot be read; the text quotes it."""


@dataclass(frozen=True)
class Cluster:
    """Where the tables lie: a cluster of `remote_servers`, and the database on each of its hosts."""

    name: str
    database: str

    @property
    def on(self) -> str:
        """`ON CLUSTER 'name'`."""
        return f"ON CLUSTER {_quoted(self.name)}"

    def create_database(self) -> str:
        """The statement that makes the database on every host."""
        return f"CREATE DATABASE IF NOT EXISTS `{self.database}` {self.on}"


def to_sql(statements: Iterable[str], cluster: Cluster | None) -> tuple[str, ...]:
    """Statements with placeholders as they are run on a cluster, or (None) on one server, in order.

    Raises `PlaceholderError`.
    """
    if cluster is None:
        return tuple(sql for statement in statements for sql in to_server_sql(statement))
    return tuple(sql for statement in statements for sql in to_cluster_sql(statement, cluster))


def to_server_sql(statement: str) -> tuple[str, ...]:
    """The statement on one server; none where it concerns clusters alone. Raises `PlaceholderError`."""
    sql = _replace(_with_secret(statement), lambda word, argument: "" if word == "on_cluster" else argument)
    return () if "{{distributed " in statement else (sql,)


def to_cluster_sql(statement: str, cluster: Cluster) -> tuple[str, ...]:
    """The statement on a cluster, twice where it concerns the tables of the shards and the one above them.

    Raises `PlaceholderError`.
    """

    statement = _with_secret(statement)

    def below(word: str, argument: str) -> str:
        match word:
            case "on_cluster":
                return cluster.on
            case "local" | "both":
                return argument + LOCAL_SUFFIX
            case "engine":
                return _replicated(argument, everywhere="{{everywhere " in statement)
            case "distributed":
                return _distributed(argument, cluster)
        return argument

    def above(word: str, argument: str) -> str:
        match word:
            case "both":
                return argument
            case "stored":
                return ""
        return below(word, argument)

    sql = _replace(statement, below)
    return (sql, _replace(statement, above)) if "{{both " in statement else (sql,)


def _with_secret(statement: str) -> str:
    """A secret that stands in the statement more than once, or in both tables, is one."""
    return statement.replace(_MADE_ANEW, _quoted(secrets.token_hex(32))) if _MADE_ANEW in statement else statement


def _replace(statement: str, text_for: Callable[[str, str], str]) -> str:
    """The statement with a text in place of each placeholder; an empty text takes the space before it along."""

    def text(found: re.Match[str]) -> str:
        word, argument = found["word"], found["argument"] or ""
        if bool(argument) != (word in _WITH_ARGUMENT) or (word not in _WITH_ARGUMENT and word != "on_cluster"):
            raise PlaceholderError(f"{found[0].strip()} is no placeholder; schemas/clickhouse/cluster.py lists them.")
        replacement = text_for(word, argument)
        return found["space"] + replacement if replacement else ""

    sql = _PLACEHOLDER.sub(text, statement)
    if "{{" in sql or "}}" in sql:
        raise PlaceholderError(f"A placeholder is not closed, or closed twice, in: {' '.join(statement.split()[:6])} …")
    return sql


def _replicated(engine: str, *, everywhere: bool) -> str:
    match = _ENGINE.fullmatch(engine)
    if not match:
        raise PlaceholderError(f"{{{{engine {engine}}}}}: no replicated form of this engine is known.")
    path, replica = (REPLICA_PATH_EVERYWHERE, "{shard}-{replica}") if everywhere else (REPLICA_PATH, "{replica}")
    arguments = ", ".join([_quoted(path), _quoted(replica), *([match["arguments"]] if match["arguments"] else [])])
    return f"Replicated{match['kind']}({arguments})"


def _distributed(argument: str, cluster: Cluster) -> str:
    match = _DISTRIBUTED.fullmatch(argument)
    if not match:
        raise PlaceholderError(f"{{{{distributed {argument}}}}} must be {{{{distributed TABLE by KEY}}}}.")
    table = ", ".join(map(_quoted, (cluster.name, cluster.database, match["table"] + LOCAL_SUFFIX)))
    return f"Distributed({table}, sipHash64({match['key']}))"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
