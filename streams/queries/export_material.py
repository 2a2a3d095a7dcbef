"""What there is of calls for an export, from the views of ClickHouse: masked text and rows. See
`streams.stages.exporting.Material`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from typing import Any

from clickhouse_connect.driver.client import Client

from processors.custody.authorization import Target
from processors.custody.export_archive import MARK_COLUMN, TEXT_COLUMNS
from processors.custody.exports import ExportableCall, ExportContent, ExportedCall
from processors.custody.muting import WhyNotMuted, muting_id, why_not_mutable
from schemas.config.console_url import LINK_COLUMN
from schemas.errors import RetryableError
from schemas.messages.transcript import EngineIdentity
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.statements import read_rows, stream_of
from streams.queries.parquet_export import CUSTOMER_COLUMNS, EXPORTS, PARQUET_END, PARQUET_SETTINGS, Exported

AT_ONCE = 200
"""Calls that are asked for together."""

VIEWS = ("calls", "findings", "scores", "topics", "transcripts", "segments")
"""What an export of Parquet holds: everything that is of a single call. Of customers nothing but what they said."""

_LEFT_OUT = CUSTOMER_COLUMNS | {LINK_COLUMN}
"""Of the columns of these views."""

_CALL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")

_CALLS = """
SELECT call_id, agent_id, agent_team, audio_sha256, analysis_version, toUnixTimestamp64Milli(analyzed_at)
FROM whole_calls
WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)}
"""
_TEXTS = """
SELECT
    call_id,
    lower(hex(SHA256(toJSONString(arraySort(groupArray((segment_id, channel, role, start_ms, end_ms, text)))))))
FROM segments WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)} GROUP BY call_id
"""
_MUTINGS = """
SELECT
    call_id, outcome, engine_name, engine_version, engine_model, engine_settings, toUnixTimestamp64Milli(transcribed_at)
FROM transcripts
WHERE tenant_id = {tenant:String} AND call_id IN {calls:Array(String)}
"""
_ENDED_ON = """
SELECT call_id FROM calls
WHERE tenant_id = {tenant:String} AND day BETWEEN {first:Date32} AND {last:Date32}
AND ended_at >= toDateTime64({first:Date32} - 1, 3, 'UTC') AND ended_at < toDateTime64({last:Date32} + 2, 3, 'UTC')
ORDER BY call_id LIMIT {most:UInt32}
"""
_SEGMENTS = """
SELECT call_id, segment_id, channel, role, start_ms, end_ms, text FROM segments
WHERE tenant_id = {tenant:String} AND call_id = {call:String} ORDER BY segment_id
"""
_COLUMNS = (
    "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position"
)


_Muting = tuple[str | None, WhyNotMuted | None]

_NOT_MUTED: _Muting = (None, "not_heard_yet")


def _mutings(client: Client, tenant_id: str, call_ids: Sequence[str]) -> Mapping[str, _Muting]:
    """Of each call that has a transcript: which muting, or why there is none."""
    rows = read_rows(client, "what an export mutes", _MUTINGS, tenant=tenant_id, calls=call_ids)
    found: dict[str, _Muting] = {}
    for call_id, outcome, name, version, model, settings, transcribed_ms in rows:
        engine = EngineIdentity(name=name, version=version, model=model, settings=settings)
        why = why_not_mutable(outcome, engine)
        found[call_id] = (muting_id(transcribed_ms), None) if why is None else (None, why)
    return found


class ClickHouseMaterial:
    """Safe to share between threads: every question has a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    def find(
        self, tenant_id: str, call_ids: Sequence[str], contents: Sequence[ExportContent]
    ) -> Mapping[str, ExportableCall]:
        """See `Material`. A transcript without a word is none."""
        wants_sound = any(each.startswith("audio") for each in contents)
        wants_text = not {"text", "parquet"}.isdisjoint(contents)
        found: dict[str, ExportableCall] = {}
        with closing(connect(self._url)) as client:
            for start in range(0, len(call_ids), AT_ONCE):
                some = list(call_ids[start : start + AT_ONCE])
                rows = read_rows(client, "the calls of an export", _CALLS, tenant=tenant_id, calls=some)
                texts: dict[str, str] = {}
                if wants_text:
                    read = read_rows(client, "the transcripts of an export", _TEXTS, tenant=tenant_id, calls=some)
                    texts = {str(call_id): str(digest) for call_id, digest in read}
                mutings = _mutings(client, tenant_id, some) if "audio_masked" in contents else {}
                for call_id, agent_id, team, recording, version, analyzed_ms in rows:
                    if (wants_sound and not recording) or (wants_text and call_id not in texts):
                        continue
                    muting, not_mutable = mutings.get(call_id, _NOT_MUTED)
                    exported = ExportedCall(
                        call_id,
                        recording if wants_sound else None,
                        texts.get(call_id),
                        f"{version}:{analyzed_ms}" if "parquet" in contents else None,
                        muting,
                    )
                    found[call_id] = ExportableCall(
                        exported,
                        Target(tenant_id, call_id, agent_id or None, team or None),
                        not_mutable if "audio_masked" in contents else None,
                    )
        return found

    def ended_on(self, tenant_id: str, first: date, last: date, most: int) -> Sequence[str]:
        """See `Material`."""
        days = {"first": first.isoformat(), "last": last.isoformat()}
        with closing(connect(self._url)) as client:
            rows = read_rows(client, "the calls of days", _ENDED_ON, tenant=tenant_id, most=most, **days)
        return [str(row[0]) for row in rows]

    def segments(self, tenant_id: str, call_id: str) -> Iterable[Mapping[str, Any]]:
        """See `Material`."""
        with closing(connect(self._url)) as client:
            rows = read_rows(client, "a transcript of an export", _SEGMENTS, tenant=tenant_id, call=call_id)
        return [dict(zip(TEXT_COLUMNS, row, strict=True)) for row in rows]

    def tables(self, tenant_id: str, call_ids: Sequence[str], mark: str) -> Iterable[tuple[str, Iterable[bytes]]]:
        """See `Material`: `VIEWS`, of these calls alone."""
        exported = {each.view: each for each in EXPORTS}
        for view in VIEWS:
            yield view, self._rows(exported[view], tenant_id, call_ids, mark)

    def _rows(self, exported: Exported, tenant_id: str, call_ids: Sequence[str], mark: str) -> Iterator[bytes]:
        if unfit := [call_id for call_id in call_ids if not _CALL_ID.fullmatch(call_id)]:
            raise ValueError(f"{len(unfit)} ids that no call has")
        operation = f"the export of {exported.view}"
        with closing(connect(self._url)) as client:
            every = [row[0] for row in read_rows(client, operation, _COLUMNS, table=exported.source)]
            columns = ", ".join(f"`{name}`" for name in every if name not in _LEFT_OUT)
            # As literals, which such ids are fit for: ten thousand of them are too long for an URL.
            calls = ", ".join(f"'{call_id}'" for call_id in call_ids)
            statement = (
                f"SELECT {columns}, {{mark:String}} AS {MARK_COLUMN} FROM {exported.source} "  # noqa: S608 - see above
                f"WHERE tenant_id = {{tenant:String}} AND call_id IN ({calls}) ORDER BY {', '.join(exported.order)}"
            )
            settings = PARQUET_SETTINGS | {"max_query_size": 16 * 1024 * 1024}
            tail = b""
            parameters: dict[str, object] = {"tenant": tenant_id, "mark": mark}
            for chunk in stream_of(client, operation, statement, parameters, "Parquet", settings):
                tail = (tail + chunk)[-len(PARQUET_END) :]
                yield chunk
            if tail != PARQUET_END:
                raise RetryableError(f"ClickHouse broke off {operation}")
