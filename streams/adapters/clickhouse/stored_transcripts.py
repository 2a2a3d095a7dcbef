"""What was said in a call, as `store` wrote it (`StoredTranscripts`)."""

import threading
from datetime import timedelta

from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.records import EPOCH
from schemas.messages.transcript import Segment, Transcript, Word
from streams.adapters.clickhouse.reconnecting import ReconnectingClient
from streams.adapters.clickhouse.statements import read_rows
from streams.ports import TranscriptGoneError

_TIMEOUT_S = 30
_ROUNDING = timedelta(seconds=1)
"""A column holds milliseconds, and the table is sorted by it."""
_QUERY = """
SELECT version, segments.segment_id, segments.channel, segments.role, segments.start_ms,
    segments.end_ms, segments.text, segments.confidence, segments.word_text, segments.word_start_ms,
    segments.word_end_ms, segments.word_confidence, roles_inferred
FROM transcript_versions
WHERE tenant_id = {tenant:String} AND call_id = {call:String}
    AND ended_at BETWEEN {first:DateTime64(3, 'UTC')} AND {last:DateTime64(3, 'UTC')}
ORDER BY version DESC LIMIT 1"""


class ClickHouseTranscripts:
    """Asks ClickHouse for one transcript after the other; may be used by several threads."""

    def __init__(self, url: str) -> None:
        self._clients = ReconnectingClient(url, timeout_s=_TIMEOUT_S)
        self._lock = threading.Lock()

    def transcript_of(self, analysis: CallAnalysis) -> Transcript | None:
        """See `StoredTranscripts.transcript_of`."""
        with self._lock, self._clients.client() as client:
            rows = read_rows(
                client,
                "a transcript",
                _QUERY,
                tenant=analysis.tenant_id,
                call=analysis.call_id,
                first=analysis.call.ended_at - _ROUNDING,
                last=analysis.call.ended_at + _ROUNDING,
            )
        if not rows:
            return None
        stored_ms, *columns, roles_inferred = rows[0]
        judged_ms = (analysis.transcribed_at - EPOCH) // timedelta(milliseconds=1)
        if stored_ms > judged_ms:
            raise TranscriptGoneError
        if stored_ms < judged_ms:
            return None
        return Transcript(
            tenant_id=analysis.tenant_id,
            call_id=analysis.call_id,
            call=analysis.call,
            language=analysis.language,
            engine=analysis.engine,
            audio=analysis.audio,
            segments=tuple(
                Segment(
                    segment_id=segment_id,
                    channel=channel,
                    role=role,
                    start_ms=start_ms,
                    end_ms=end_ms,
                    text=text,
                    confidence=confidence,
                    words=tuple(
                        Word(text=word, start_ms=begin, end_ms=end, confidence=sure)
                        for word, begin, end, sure in zip(*words, strict=True)
                    ),
                )
                for segment_id, channel, role, start_ms, end_ms, text, confidence, *words in zip(*columns, strict=True)
            ),
            roles_inferred=roles_inferred,
            transcribed_at=analysis.transcribed_at,
        )
