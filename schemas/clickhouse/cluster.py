"""The statements of the migrations for a cluster: pure text to text.

A table becomes two on every host: `NAME_local`, replicated within its shard, and `NAME`, which distributes over the
shards. What reads and writes goes by `NAME` as on one server; views stay as they are. All versions of a row lie on one
shard, because FINAL looks at one shard at a time; and all rows of a call lie on one shard, where the sorting key of
their table knows the call.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from schemas.errors import OperatorError

LOCAL_SUFFIX = "_local"
REPLICA_PATH = "/clickhouse/tables/{shard}/{database}/{table}"
"""Where the replicas of a table meet in Keeper; `{shard}` and `{replica}` are macros of the server."""

EVERYWHERE = frozenset({"kpi_rollup_rows", "kpi_rollup_days"})
"""Tables of sums over all calls, which are on no shard more than on another: every host has all rows. They are small,
and a day is put in place on all hosts by one statement to any of them."""
REPLICA_PATH_EVERYWHERE = "/clickhouse/tables/all/{database}/{table}"

_TOKEN = re.compile(
    r"""
      (?P<space> \s+ | --[^\n]* | /\*.*?\*/ )
    | (?P<text> '(?:[^'\\]|\\.|'')*' )
    | (?P<name> `(?:[^`\\]|\\.)*` | "(?:[^"\\]|\\.)*" )
    | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<number> [0-9][0-9A-Za-z_.]* )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING = {"(": ")", "[": "]", "{": "}"}
_ENGINE = re.compile(r"(?P<kind>(?:Replacing|Summing|Aggregating|Collapsing|VersionedCollapsing)?MergeTree)")
_COLUMN_COMMANDS = (
    *(("ADD", "COLUMN"), ("DROP", "COLUMN"), ("MODIFY", "COLUMN"), ("ALTER", "COLUMN"), ("RENAME", "COLUMN")),
    ("COMMENT", "COLUMN"),
    ("MODIFY", "COMMENT"),
)
"""What changes the columns that people see: said to both tables. Everything else concerns how rows lie on the disk."""
_LOCAL_COMMANDS = (
    *(("ADD", "INDEX"), ("DROP", "INDEX"), ("MATERIALIZE", "INDEX"), ("CLEAR", "INDEX")),
    *(("ADD", "PROJECTION"), ("DROP", "PROJECTION"), ("MATERIALIZE", "PROJECTION"), ("CLEAR", "PROJECTION")),
    *(("ADD", "CONSTRAINT"), ("DROP", "CONSTRAINT"), ("MATERIALIZE", "COLUMN"), ("CLEAR", "COLUMN")),
    *(("MODIFY", "TTL"), ("MATERIALIZE", "TTL"), ("REMOVE", "TTL"), ("MODIFY", "SETTING"), ("RESET", "SETTING")),
    *(("MODIFY", "ORDER"), ("UPDATE",), ("DELETE",)),
)

_MANY_ROWS = frozenset({"GROUP", "JOIN", "DISTINCT", "FINAL", "REFRESH", "POPULATE"})
"""Where one of these stands, a materialised view does more than to write each row that comes in another form."""
_VIEW_COMMANDS = (("MODIFY", "SQL"), ("MODIFY", "DEFINER"), ("MODIFY", "QUERY"))
"""What only a view can be told, which is one thing on every host."""


class ClusterError(OperatorError):
    """A statement that this version cannot say to a cluster; the text names it and what to do."""


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

    def statements(self, statements: Iterable[str]) -> tuple[str, ...]:
        """What a sequence of statements for one server is on this cluster, in order. Raises `ClusterError`."""
        return tuple(said for statement in statements for said in self.said(statement))

    def said(self, statement: str) -> tuple[str, ...]:
        """What one statement for one server is on this cluster. Raises `ClusterError` for one that is not known."""
        tokens = _tokens(statement)
        words = tuple(token.text.upper() for token in tokens[:6])
        for beginning, transform in (
            (("CREATE", "TABLE"), self._create_table),
            (("CREATE", "OR", "REPLACE", "VIEW"), self._same_everywhere),
            (("CREATE", "VIEW"), self._same_everywhere),
            (("CREATE", "MATERIALIZED", "VIEW"), self._create_materialized_view),
            (("CREATE", "OR", "REPLACE", "DICTIONARY"), self._same_everywhere),
            (("CREATE", "DICTIONARY"), self._same_everywhere),
            (("CREATE", "OR", "REPLACE", "FUNCTION"), self._same_everywhere),
            (("CREATE", "FUNCTION"), self._same_everywhere),
            (("DROP", "VIEW"), self._same_everywhere),
            (("DROP", "DICTIONARY"), self._same_everywhere),
            (("DROP", "FUNCTION"), self._same_everywhere),
            (("DROP", "TABLE"), self._drop_table),
            (("ALTER", "TABLE"), self._alter_table),
        ):
            if words[: len(beginning)] == beginning:
                return transform(_Statement(statement, tokens, len(beginning)))
        if words[0] == "INSERT":
            return (statement,)  # through the distributed table, to the shard of each row
        raise ClusterError(
            f"{_beginning(statement)} cannot be said to a cluster: callstream does not know this kind of statement "
            "there; write it as tables, views, dictionaries and ALTER TABLE, or teach schemas/clickhouse/cluster.py."
        )

    def _same_everywhere(self, statement: "_Statement") -> tuple[str, ...]:
        """Views, dictionaries and functions are the same on every host."""
        name = statement.name()
        return (statement.inserted((name.end, f" {self.on}")),)

    def _create_table(self, statement: "_Statement") -> tuple[str, ...]:
        name = statement.name()
        engine = statement.clause("ENGINE")
        copied = statement.clause("AS", after=name)
        if engine is None or copied is not None:
            raise ClusterError(
                f"{_beginning(statement.text)} cannot be said to a cluster: a table needs its columns and its ENGINE."
            )
        kind = statement.after(engine, "=")
        match = _ENGINE.fullmatch(kind.text)
        if not match:
            raise ClusterError(
                f"{_beginning(statement.text)} cannot be said to a cluster: no replicated form of {kind.text} is known."
            )
        arguments = statement.arguments(kind)
        if _bare(name.text) in EVERYWHERE:
            places = [_quoted(REPLICA_PATH_EVERYWHERE), "'{shard}-{replica}'"]
            said = ", ".join([*places, *([arguments.text] if arguments.text else [])])
            return (
                statement.replaced(
                    (name.end, name.end, f" {self.on}"),
                    (kind.start, arguments.end, f"Replicated{kind.text}({said})"),
                ),
            )
        parameters = ", ".join([_quoted(REPLICA_PATH), "'{replica}'", *([arguments.text] if arguments.text else [])])
        local = statement.replaced(
            (name.start, name.end, f"{_local(name.text)} {self.on}"),
            (kind.start, arguments.end, f"Replicated{kind.text}({parameters})"),
        )
        comment = statement.clause("COMMENT", after=engine)
        said = "" if comment is None else f"\nCOMMENT {statement.after(comment).text}"
        table = ", ".join(map(_quoted, (self.name, self.database, _local(_bare(name.text)))))
        distributed = (
            f"CREATE TABLE IF NOT EXISTS {name.text} {self.on} AS {_local(name.text)}\n"
            f"ENGINE = Distributed({table}, {_sharding_key(statement)}){said}"
        )
        return local, distributed

    def _create_materialized_view(self, statement: "_Statement") -> tuple[str, ...]:
        """Rows that come to a table of a shard are written again, in another form, to one of the same shard.

        That is right where both lie by call, and each row is made of one row: what is counted here would be counted
        again at each delivery.
        """
        name = statement.name()
        to = statement.after(name)
        words = [token.text.upper() for token in statement.tokens if token.kind in ("word", "name")]
        plain = to.text.upper() == "TO" and words.count("FROM") == words.count("SELECT") == 1
        by_call = {"TENANT_ID", "CALL_ID"} <= set(words)
        if not plain or not by_call or _MANY_ROWS & set(words):
            raise ClusterError(
                f"{_beginning(statement.text)} cannot be said to a cluster: there a materialised view must have TO, "
                "and make each row of one row of one table, tenant_id and call_id included."
            )
        target = statement.after(to)
        source = statement.after(next(token for token in statement.tokens if token.text.upper() == "FROM"))
        return (
            statement.replaced(
                (name.end, name.end, f" {self.on}"),
                (target.start, target.end, _local(target.text)),
                (source.start, source.end, _local(source.text)),
            ),
        )

    def _drop_table(self, statement: "_Statement") -> tuple[str, ...]:
        name = statement.name()
        return (
            statement.inserted((name.end, f" {self.on}")),
            statement.replaced((name.start, name.end, f"{_local(name.text)} {self.on}")),
        )

    def _alter_table(self, statement: "_Statement") -> tuple[str, ...]:
        """Every command to the table on the disk; those that people see to the distributed one, too, and after it."""
        name = statement.name()
        settings = statement.clause("SETTINGS", after=name)
        commands = statement.listed(name.end, len(statement.text) if settings is None else settings.start)
        verbs = [tuple(token.text.upper() for token in _tokens(command)[:2]) for command in commands]
        if all(words in _VIEW_COMMANDS for words in verbs):
            return self._same_everywhere(statement)
        seen = []
        for command, words in zip(commands, verbs, strict=True):
            if words in _COLUMN_COMMANDS:
                seen.append(command)
            elif words not in _LOCAL_COMMANDS and words[:1] not in _LOCAL_COMMANDS:
                raise ClusterError(
                    f"ALTER TABLE {name.text} {_beginning(command)} cannot be said to a cluster: callstream does not "
                    "know this command there; teach schemas/clickhouse/cluster.py."
                )
        local = statement.replaced((name.start, name.end, f"{_local(name.text)} {self.on}"))
        if not seen:
            return (local,)
        return local, f"ALTER TABLE {name.text} {self.on} {', '.join(map(_without_storage, seen))}"


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int
    depth: int


@dataclass(frozen=True)
class _Statement:
    """A statement with its tokens; `head` of them are its verb."""

    text: str
    tokens: Sequence[_Token]
    head: int

    def name(self) -> _Token:
        """The name of what the statement is about, `IF [NOT] EXISTS` skipped. Raises `ClusterError`."""
        at = self.head
        while at < len(self.tokens) and self.tokens[at].text.upper() in ("IF", "NOT", "EXISTS"):
            at += 1
        following = self.tokens[at + 1].text.upper() if at + 1 < len(self.tokens) else ""
        if at == len(self.tokens) or self.tokens[at].kind not in ("word", "name") or following in (".", "ON"):
            raise ClusterError(
                f"{_beginning(self.text)} cannot be said to a cluster: it must name what it is about without a "
                "database and without ON CLUSTER."
            )
        return self.tokens[at]

    def clause(self, *words: str, after: _Token | None = None) -> _Token | None:
        """The first of these keywords at the top level, behind a token."""
        start = 0 if after is None else after.end
        found = (t for t in self.tokens if t.kind == "word" and t.depth == 0 and t.start >= start)
        return next((token for token in found if token.text.upper() in words), None)

    def after(self, token: _Token, skip: str = "") -> _Token:
        """The token that follows, one text skipped."""
        following = [t for t in self.tokens if t.start >= token.end and t.text != skip]
        if not following:
            raise ClusterError(f"{_beginning(self.text)} ends after {token.text}.")
        return following[0]

    def arguments(self, token: _Token) -> _Token:
        """What stands in brackets right behind a token; an empty text at its end where nothing does."""
        opening = next((t for t in self.tokens if t.start >= token.end), None)
        if opening is None or opening.text != "(":
            return _Token("sign", "", token.end, token.end, token.depth)
        closing = next(t for t in self.tokens if t.text == ")" and t.depth == opening.depth and t.start > opening.start)
        return _Token("sign", self.text[opening.end : closing.start].strip(), opening.start, closing.end, token.depth)

    def listed(self, start: int, end: int) -> list[str]:
        """The parts between commas at the top level."""
        commas = [t for t in self.tokens if t.depth == 0 and t.text == "," and start <= t.start < end]
        edges = [start, *(comma.start for comma in commas), end]
        return [self.text[first:last].lstrip(",").strip() for first, last in pairwise(edges)]

    def inserted(self, *insertions: tuple[int, str]) -> str:
        return self.replaced(*((place, place, text) for place, text in insertions))

    def replaced(self, *replacements: tuple[int, int, str]) -> str:
        text = self.text
        for start, end, new in sorted(replacements, reverse=True):
            text = text[:start] + new + text[end:]
        return text


def _tokens(sql: str) -> tuple[_Token, ...]:
    """Everything but space and comments; a bracket has the depth of what stands around it. Raises `ClusterError`."""
    found, closing = list[_Token](), list[str]()
    for match in _TOKEN.finditer(sql):
        kind, text = str(match.lastgroup), match.group()
        if kind == "space":
            continue
        if closing and text == closing[-1]:
            closing.pop()
        found.append(_Token(kind, text, match.start(), match.end(), len(closing)))
        if kind == "sign" and text in _OPENING:
            closing.append(_OPENING[text])
    if closing or not found:
        raise ClusterError(
            f"{_beginning(sql)} cannot be said to a cluster: a bracket is left open, or there is nothing."
        )
    return tuple(found)


def _sharding_key(statement: _Statement) -> str:
    """By call where the sorting key knows the call, so that its rows in all tables lie together; else by the whole key.

    Versions of a row share their sorting key, so they share their shard in either case.
    """
    order = statement.clause("ORDER")
    if order is None:
        raise ClusterError(f"{_beginning(statement.text)} cannot be said to a cluster: it has no ORDER BY.")
    by = statement.after(order)
    key = statement.arguments(by).text
    if not key:  # one column or expression without brackets around it
        end = statement.clause("PARTITION", "PRIMARY", "SAMPLE", "TTL", "SETTINGS", "COMMENT", after=by)
        key = statement.text[by.end : len(statement.text) if end is None else end.start].strip()
    names = {_bare(token.text) for token in _tokens(key)}
    return "sipHash64(tenant_id, call_id)" if {"tenant_id", "call_id"} <= names else f"sipHash64({key})"


def _without_storage(command: str) -> str:
    """A column without its codec and its own TTL: a distributed table keeps no rows."""
    statement = _Statement(command, _tokens(command), 0)
    if statement.clause("TTL") is not None:
        raise ClusterError(f"{_beginning(command)} cannot be said to a cluster: a TTL of a column is not known there.")
    codec = statement.clause("CODEC")
    return command if codec is None else statement.replaced((codec.start, statement.arguments(codec).end, "")).strip()


def _local(name: str) -> str:
    """The name of the table on the disk, quoted as the name is."""
    return f"{name[:-1]}{LOCAL_SUFFIX}{name[-1]}" if name[0] in '`"' else name + LOCAL_SUFFIX


def _bare(name: str) -> str:
    return name[1:-1] if name[0] in '`"' else name


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _beginning(statement: str) -> str:
    return " ".join(statement.split()[:6]) or "An empty statement"
