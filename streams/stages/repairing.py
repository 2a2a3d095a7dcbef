"""Repairs of what `callstream check data` finds: calls are taken anew from their stored transcripts.

Nothing is changed in place. What is wrong is replaced by what comes later, as with every judgement that is made again,
and what is done twice gives the same.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import rows_for_transcript
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_REANALYZED, CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from streams.adapters.clickhouse.statements import read_rows
from streams.ports import PublisherPort, Sink
from streams.queries.data_checks import CheckLimits, DataCheck
from streams.stages.replay import BatchJudge

MOST_CALLS = 10_000
"""Calls of a tenant and check that are repaired at once; run it again for more."""


@dataclass(frozen=True)
class Repaired:
    """What became of the calls of a tenant that a check found: how many were taken anew, and those that could not be,
    because they were destroyed, or nothing that can be read of them is stored."""

    check: DataCheck
    tenant_id: str
    calls: int
    left: tuple[str, ...]


def calls_found(client: Client, check: DataCheck, limits: CheckLimits) -> dict[str, list[str]]:
    """Tenant → call ids that the check finds, `MOST_CALLS` of each subject at most. Raises as `connect`."""
    # The checks name one of those that they count; here all of them are asked for.
    query = check.query.replace("anyIf(", f"groupUniqArrayIf({MOST_CALLS})(")
    found: dict[str, set[str]] = {}
    for row in read_rows(client, f"the calls of the check {check.id}", query, **limits.parameters):
        tenant_id, _subject, _count, _total, calls = row
        found.setdefault(tenant_id, set()).update(calls)
    return {tenant_id: sorted(calls) for tenant_id, calls in sorted(found.items())}


@dataclass
class Repairing:
    """`judging` makes what judges again, once it is needed. Without `publisher` and `sink` nothing is written.

    `most_per_s` bounds the pace.
    """

    client: Client
    judging: Callable[[], BatchJudge]
    publisher: PublisherPort | None = None
    sink: Sink | None = None
    most_per_s: float = 50

    def repair(self, checks: Sequence[DataCheck], limits: CheckLimits) -> Iterator[Repaired]:
        """Check by check and tenant by tenant; of those that have a repair.

        Raises `RetryableError` and `OperatorError`. What was taken anew before that stays, and is not found again.
        """
        judging: BatchJudge | None = None
        for check in checks:
            if check.repair is None:
                continue
            for tenant_id, calls in calls_found(self.client, check, limits).items():
                judging = judging or self.judging()
                left = [call for call in calls if not self._take_anew(check, judging, tenant_id, call)]
                yield Repaired(check, tenant_id, len(calls) - len(left), tuple(left))

    def _take_anew(self, check: DataCheck, judging: BatchJudge, tenant_id: str, call_id: str) -> bool:
        """Whether there was anything to take it from."""
        if judging.tombstones.among([(tenant_id, call_id)]):
            return False
        transcript = judging.transcripts.load(tenant_id, call_id)
        if transcript is None:
            return False
        if self.publisher is None or self.sink is None:
            return True
        if check.repair == "store_text":
            self.sink.write(rows_for_transcript(transcript))
        else:
            self.publisher.publish([self._record(check, judging, transcript)])
        time.sleep(1 / self.most_per_s)
        return True

    @staticmethod
    def _record(check: DataCheck, judging: BatchJudge, transcript: Transcript) -> ProducerRecord:
        if check.repair == "hand_over":
            return CALLS_TRANSCRIBED.record(transcript)
        background = judging.history.background(transcript.call)
        return CALLS_REANALYZED.record(judging.judge.judge(transcript, judging.clock.now(), background))
