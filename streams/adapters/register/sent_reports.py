"""Which report went to whom, in the register: each period to each recipient once, whoever sends and however often.

A sender claims a mail before it hands it to the server and says afterwards what became of it. One that died in between
leaves its claim, which another takes over after `CLAIM_LASTS`: that mail may come twice, under one Message-ID.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, select, update

from streams.adapters.register.register import Register
from streams.adapters.register.tables import sent_reports
from streams.ports import Clock

CLAIM_LASTS = timedelta(minutes=30)
"""Longer no mail takes; whoever claimed it has died."""
KEPT = timedelta(days=800)
"""So long it is remembered what was sent: longer than any period, and the one before it."""

ReportState = Literal["sending", "sent", "later", "refused"]
"""`later` is tried again by the next run, `refused` is not."""


@dataclass(frozen=True)
class SentReport:
    """What became of a period of a report at a recipient."""

    report: str
    period: str
    recipient: str
    state: ReportState
    attempts: int
    tried_at: datetime
    error: str | None


class RegisterSentReports:
    """Safe to share between processes. Every method may raise what `Register.transaction` does."""

    def __init__(self, register: Register, clock: Clock) -> None:
        self._register = register
        self._clock = clock

    def claim(self, report: str, period: str, recipient: str) -> bool:
        """Whether it is to be sent now, by whoever asked; then nobody else is told so."""
        now, s = self._clock.now(), sent_reports.c
        key = (s.report == report) & (s.period == period) & (s.recipient == recipient)
        with self._register.transaction("claim a report") as tx:
            tx.execute(delete(sent_reports).where(s.tried_at < now - KEPT))
            if tx.insert_new(
                sent_reports,
                report=report,
                period=period,
                recipient=recipient,
                state="sending",
                attempts=1,
                tried_at=now,
                error=None,
            ):
                return True
            free = (s.state == "later") | ((s.state == "sending") & (s.tried_at < now - CLAIM_LASTS))
            taken = tx.execute(
                update(sent_reports)
                .where(key & free)
                .values(state="sending", attempts=s.attempts + 1, tried_at=now, error=None)
            )
        return taken.rowcount > 0

    def tell(self, report: str, period: str, recipient: str, state: ReportState, error: str | None = None) -> None:
        """What became of what was claimed."""
        s = sent_reports.c
        key = (s.report == report) & (s.period == period) & (s.recipient == recipient)
        with self._register.transaction("note a report") as tx:
            tx.execute(update(sent_reports).where(key).values(state=state, tried_at=self._clock.now(), error=error))

    def of(self, report: str, period: str) -> dict[str, SentReport]:
        """Recipient → what became of it."""
        s = sent_reports.c
        with self._register.reading("read sent reports") as tx:
            rows = tx.execute(select(sent_reports).where((s.report == report) & (s.period == period))).mappings()
            return {row["recipient"]: SentReport(**row) for row in rows}
