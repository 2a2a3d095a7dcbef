"""Transcripts as another recogniser hands them over."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.messages.call_ended import Role
from schemas.messages.transcript_received import TranscriptReceived

ENDED_AT = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)

Line = tuple[Role, str]
TimedLine = tuple[Role, str, int, int]

LINES: tuple[Line, ...] = (
    ("agent", "您好，这里是客服中心，工号三零一五，请问有什么可以帮您？"),
    ("customer", "我叫王小明，手机号是一三八零零一三八零零零。"),
    ("agent", "这款产品保本保息，絕對没有风险。"),
    ("customer", "好的，我再想想。"),
)


def received(*lines: Line | TimedLine, call: dict[str, Any] | None = None, **more: Any) -> TranscriptReceived:
    """A transcript of these lines, `LINES` where there are none."""
    return TranscriptReceived.model_validate(content(*lines, call=call, **more))


def content(*lines: Line | TimedLine, call: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The same before it is read."""
    names = ("role", "text", "start_ms", "end_ms")
    facts = {
        "tenant_id": "acme",
        "call_id": "c1",
        "direction": "inbound",
        "started_at": ENDED_AT - timedelta(minutes=1),
        "ended_at": ENDED_AT,
        "agent": {"id": "A1"},
        "industry": "finance",
    }
    utterances = [dict(zip(names, line, strict=False)) for line in lines or LINES]
    return {"call": facts | (call or {}), "utterances": utterances, **more}
