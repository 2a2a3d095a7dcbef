"""Bugs that are planted into workers while they run, to see whether the checker finds them.

Each is one that a pipeline of this kind has had somewhere; none is in the code that ships.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import uuid4

from processors.alerts.delivery_queue import DeliveryQueue
from schemas.errors import RetryableError
from schemas.messages.alert import Alert
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import ALERTS_RAISED, CALLS_DEAD_LETTERS, CALLS_TRANSCRIBED
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.kafka.client import Publisher
from streams.runtime.stage import Stage
from streams.stages.store import Store

LATE_S = 3.0


def commit_before_publish() -> None:
    """An offset is committed while what came of the record is still on its way."""
    publish = Publisher.publish

    def later(self: Publisher, outputs: Iterable[ProducerRecord]) -> None:
        kept = list(outputs)
        threading.Timer(LATE_S, lambda: publish(self, kept)).start()

    _replace(Publisher, "publish", later)


def dropped_batch() -> None:
    """A batch of rows that ClickHouse could not take is gone."""
    work = Store.work

    def forgetful(self: Store, records: Sequence[Any]) -> Sequence[ProducerRecord]:
        try:
            return work(self, records)
        except RetryableError:
            return ()

    _replace(Store, "work", forgetful)


def skipped_row() -> None:
    """After ClickHouse was away, each insert lacks its first row, once."""
    write = ClickHouseSink.write
    failed = threading.Event()

    def skipping(self: ClickHouseSink, rows: Any) -> None:
        if failed.is_set():
            rows = {table: table_rows[1:] for table, table_rows in rows.items()}
        try:
            write(self, rows)
        except RetryableError:
            failed.set()
            raise
        failed.clear()

    _replace(ClickHouseSink, "write", skipping)


def doubled_alert() -> None:
    """Every alert is raised once more under another id."""

    def twice(outputs: Sequence[ProducerRecord]) -> Iterable[ProducerRecord]:
        for output in outputs:
            yield output
            if output.topic == ALERTS_RAISED.name:
                alert = ALERTS_RAISED.decode(output.value)
                yield ALERTS_RAISED.record(alert.model_copy(update={"alert_id": str(uuid4())}))

    _change_outputs(twice)


def random_alert_id() -> None:
    """The id of an alert is another one each time."""
    _replace(Alert, "id_of", staticmethod(lambda *_what: str(uuid4())))


def lost_retry() -> None:
    """What a subscriber could not take at once is not tried again."""
    settle = DeliveryQueue.settle

    def once(self: DeliveryQueue, delivery: Any, answer: Any, now: Any) -> Any:
        if answer.verdict == "later":
            answer = type(answer)("refused", answer.status_code, answer.error_class)
        return settle(self, delivery, answer, now)

    _replace(DeliveryQueue, "settle", once)


def forgetful_notify() -> None:
    """What was read counts as finished, whether it has been delivered or not: a restart forgets it."""
    arrive, take_finished = DeliveryQueue.arrive, DeliveryQueue.take_finished
    arrived: list[tuple[int, int]] = []

    def noting(self: DeliveryQueue, alert: Alert, place: tuple[int, int], now: Any) -> Any:
        arrived.append(place)
        return arrive(self, alert, place, now)

    def all_of_it(self: DeliveryQueue) -> list[tuple[int, int]]:
        early = arrived.copy()
        arrived.clear()
        return [*early, *take_finished(self)]

    _replace(DeliveryQueue, "arrive", noting)
    _replace(DeliveryQueue, "take_finished", all_of_it)


def swallowed_dead_letter() -> None:
    """A record that cannot be read is passed over without a word."""
    _change_outputs(lambda outputs: (output for output in outputs if output.topic != CALLS_DEAD_LETTERS.name))


def wrong_version_wins() -> None:
    """Of two rows with one key the older one stands."""
    write = ClickHouseSink.write
    most = 2**127

    def turned_round(self: ClickHouseSink, rows: Any) -> None:
        write(
            self,
            {
                table: [{**row, "version": most - row["version"]} if row.get("version") else row for row in table_rows]
                if table in ("outcome_versions", "call_versions")
                else table_rows
                for table, table_rows in rows.items()
            },
        )

    _replace(ClickHouseSink, "write", turned_round)


def silent_bad_audio() -> None:
    """Of a recording that cannot be heard nobody says so."""

    def heard_alone(outputs: Sequence[ProducerRecord]) -> Iterable[ProducerRecord]:
        for output in outputs:
            if output.topic != CALLS_TRANSCRIBED.name or CALLS_TRANSCRIBED.decode(output.value).outcome != "bad_audio":
                yield output

    _change_outputs(heard_alone)


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        commit_before_publish,
        dropped_batch,
        skipped_row,
        doubled_alert,
        random_alert_id,
        lost_retry,
        forgetful_notify,
        swallowed_dead_letter,
        wrong_version_wins,
        silent_bad_audio,
    )
}


def plant(name: str) -> None:
    """Into this process. Raises `KeyError` for a bug that is not known."""
    BUGS[name]()


def _change_outputs(change: Callable[[Sequence[ProducerRecord]], Iterable[ProducerRecord]]) -> None:
    handle = Stage.handle

    def changed(self: Stage[Any, Any, Any], record: Any) -> tuple[ProducerRecord, ...]:
        return tuple(change(handle(self, record)))

    _replace(Stage, "handle", changed)


def _replace(owner: type, name: str, by: object) -> None:
    setattr(owner, name, by)
