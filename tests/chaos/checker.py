"""Says whether a stack came through a schedule of faults with nothing lost and nothing doubled.

Imports nothing of ours, and runs in a process of its own. It knows what was published from the log of whoever published
it, and looks at what came of it from outside: topics and committed offsets of the broker, files of the object store,
rows over ClickHouse's HTTP interface, and the requests that a subscriber's server has logged. What is right it knows
from two sources: the short table below, and what an undisturbed run of the same recordings came to.
"""

import argparse
import base64
import json
import sys
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

EXIT_VIOLATED = 1
EXIT_UNABLE = 2

ENDED, BACKFILLED, REANNOUNCED = "calls.ended.v1", "calls.backfilled.v1", "calls.reannounced.v1"
LANES = (ENDED, BACKFILLED, REANNOUNCED)
"""An event of a call stands in one of them, or in several."""
TRANSCRIBED, ANALYZED = "calls.transcribed.v1", "calls.analyzed.v1"
RAISED, DELIVERED, LETTERS = "alerts.raised.v1", "alerts.delivered.v1", "calls.dead_letters.v1"
TOPICS = (*LANES, TRANSCRIBED, ANALYZED, RAISED, DELIVERED, LETTERS)

OUTCOMES: Mapping[str, str] = {
    "harmless": "analyzed",
    "violating": "analyzed",
    "repaired": "analyzed",
    "too_short": "too_short",
    "broken": "bad_audio",
    "unsupported": "unsupported",
}
"""Kind of call → how it must end."""

WITH_ALERTS = ("violating",)
"""Kinds of calls that must raise alerts; all others must raise none."""

GROUPS: Mapping[str, Sequence[str]] = {
    "callstream.listen": [*LANES],
    "callstream.judge": [TRANSCRIBED],
    "callstream.keep": [*LANES, ANALYZED],
    "callstream.store": [*LANES, TRANSCRIBED, ANALYZED, RAISED, DELIVERED, LETTERS],
    "callstream.notify.desk": [RAISED],
}
"""Who must have read everything."""

REFUSED_BY: Mapping[str, frozenset[str]] = {
    ENDED: frozenset({"listen"}),
    BACKFILLED: frozenset({"listen"}),
    TRANSCRIBED: frozenset({"judge"}),
    ANALYZED: frozenset({"store"}),
    RAISED: frozenset({"store"}),
    DELIVERED: frozenset({"store"}),
}
"""Topic → the steps that write a dead letter for a record that nobody can read."""

REFUSED = "refused"
ACCOUNTED_POISON = frozenset({ENDED, BACKFILLED, TRANSCRIBED, ANALYZED, RAISED, DELIVERED})
"""Topics in which a record that cannot be read is accounted for by the call that its key names."""

CHANGES_BETWEEN_RUNS = frozenset(
    {
        *(
            "tenant_id",
            "call_id",
            "finding_id",
            "alert_id",
            "customer_key",
            "customer_pseudonym",
            "call_url",
            "order_id",
        ),
        *("started_at", "ended_at", "ended_local", "day", "since", "happened_at", "raised_at", "raised_local"),
        *("audio_uri", "audio_encryption_key_id", "real_time_factor", "transcribed_at", "analyzed_at"),
    }
)
"""Columns that say which call it is, and when it was done."""

Row = Mapping[str, Any]


@dataclass
class Evidence:
    """All that is seen from outside of one tenant, after everything has come to rest."""

    events: list[dict[str, Any]] = field(default_factory=list)
    """Lines of the log of whoever published and broke things."""
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Topic → records of the tenant: partition, offset, key, value (JSON, or null where it is none)."""
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """View of ClickHouse → rows of the tenant."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """What arrived at the subscriber: alert, call, rule, status that was answered."""
    objects: list[str] = field(default_factory=list)
    """Names of files in the object store, as they lie below its bucket."""
    lag: dict[str, int] = field(default_factory=dict)
    """Consumer group → records that it has not finished, where there are any."""

    @property
    def calls(self) -> dict[str, str]:
        """Call id → kind, of the calls that were published and acknowledged."""
        return {event["call"]: event["kind"] for event in self.events if event["what"] == "call"}

    @property
    def poison(self) -> list[dict[str, Any]]:
        """Records that nobody can read: topic, partition, offset, call of their key."""
        return [event for event in self.events if event["what"] == "poison"]

    @property
    def disturbed(self) -> bool:
        """Whether anything was broken, or written twice."""
        return any(event["what"] == "fault" for event in self.events)


Picture = Mapping[str, Any]
"""What became of one call, without what differs between two runs."""


def violations(evidence: Evidence, truth: Mapping[str, Picture] | None) -> list[str]:
    """Everything that is not as it must be, one sentence each; `truth` is kind of call → picture, None where this very
    run is to become it."""
    return [
        *(f"not committed: {group} has not finished {count} record(s)" for group, count in evidence.lag.items()),
        *_of_outcomes(evidence),
        *_of_topics(evidence),
        *_of_store(evidence),
        *_of_alerts(evidence),
        *_of_deliveries(evidence),
        *_of_dead_letters(evidence),
        *(_of_pictures(evidence, truth) if truth is not None else ()),
    ]


def _of_outcomes(evidence: Evidence) -> Iterable[str]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in evidence.rows["outcomes"]:
        found[row["call_id"]].append(row["outcome"])
    wanted = {call: OUTCOMES[kind] for call, kind in evidence.calls.items()}
    wanted |= {one["call"]: REFUSED for one in evidence.poison if one["topic"] in ACCOUNTED_POISON}
    for call, outcome in wanted.items():
        outcomes = found.pop(call, [])
        if not outcomes:
            yield f"lost: {call} has no outcome"
        elif len(outcomes) > 1:
            yield f"doubled: {call} has {len(outcomes)} outcomes"
        elif outcomes[0] == "pending":
            yield f"lost: {call} is pending for ever"
        elif outcomes[0] != outcome:
            yield f"changed: {call} ended as {outcomes[0]}, not as {outcome}"
    for call in found:
        yield f"invented: nobody published {call}"


def _of_topics(evidence: Evidence) -> Iterable[str]:
    for topics in (LANES, (TRANSCRIBED,), (ANALYZED,)):
        there = {_call_of(record) for topic in topics for record in evidence.records[topic]}
        for call in evidence.calls:
            if call not in there:
                yield f"lost: {call} is not in {topics[0]}"
    heard: dict[str, set[str]] = defaultdict(set)
    for record in evidence.records[TRANSCRIBED]:
        if record["value"] and record["value"].get("outcome") is None:
            said = [(one.get("start_ms"), one.get("text")) for one in record["value"].get("segments", ())]
            heard[_call_of(record)].add(_digest(said))
    for call, versions in heard.items():
        if len(versions) > 1:
            yield f"changed: {call} was heard in {len(versions)} ways"


def _of_store(evidence: Evidence) -> Iterable[str]:
    for call, kind in evidence.calls.items():
        if not any("recordings/" in one and f"/{call}." in one for one in evidence.objects):
            yield f"lost: the recording of {call} is not in the object store"
        if OUTCOMES[kind] == "analyzed" and not any("transcripts/" in one and call in one for one in evidence.objects):
            yield f"lost: the transcript of {call} is not in the object store"


def _of_alerts(evidence: Evidence) -> Iterable[str]:
    ids: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for alert in _raised(evidence).values():
        ids[alert["call_id"], alert["rule_id"], alert["rule_version"]].add(alert["alert_id"])
    for (call, rule, _version), alerts in ids.items():
        if len(alerts) > 1:
            yield f"doubled: {call} raised {rule} under {len(alerts)} ids"
    calls = evidence.calls
    rules: dict[str, set[str]] = defaultdict(set)
    for alert in _told(evidence).values():
        rules[alert["call_id"]].add(alert["rule_id"])
    for call, kind in calls.items():
        if kind in WITH_ALERTS and call not in rules:
            yield f"alert lost: {call} raised none"
        if kind not in WITH_ALERTS and call in rules:
            yield f"invented: {call} raised {', '.join(sorted(rules[call]))}"
    shown = Counter(row["alert_id"] for row in evidence.rows["alerts"])
    told = set(_told(evidence))
    for alert_id in told - set(shown):
        yield f"alert lost: {alert_id} is not in ClickHouse"
    for alert_id, count in shown.items():
        if count > 1:
            yield f"doubled: {alert_id} is in ClickHouse {count} times"
        if alert_id not in told:
            yield f"invented: nobody raised {alert_id}"


def _of_deliveries(evidence: Evidence) -> Iterable[str]:
    wanted = _told(evidence)
    taken = Counter(one["alert"] for one in evidence.requests if one["status"] == 200)
    recorded = {row["alert_id"] for row in evidence.rows["alert_deliveries"] if row["outcome"] == "delivered"}
    for alert_id, alert in wanted.items():
        if not taken[alert_id]:
            yield f"alert lost: {alert['rule_id']} of {alert['call_id']} never reached its subscriber"
        elif alert_id not in recorded:
            yield f"lost: that {alert_id} was delivered is not in ClickHouse"
    for alert_id, count in taken.items():
        if alert_id not in wanted:
            yield f"invented: a subscriber was told of {alert_id}, which nobody raised"
        if count > 1 and not evidence.disturbed:
            yield f"doubled: {alert_id} was delivered {count} times, though nothing was wrong"
    by_cause = {(one["call"], one["rule"], one["alert"]) for one in evidence.requests if one["status"] == 200}
    for (call, rule), count in Counter((call, rule) for call, rule, _alert in by_cause).items():
        if count > 1:
            yield f"doubled: of {call} the subscriber got {rule} under {count} ids"


def _of_dead_letters(evidence: Evidence) -> Iterable[str]:
    wanted = {
        (step, one["topic"], one["partition"], one["offset"])
        for one in evidence.poison
        for step in REFUSED_BY[one["topic"]]
    }
    for name, letters in (
        ("ClickHouse", evidence.rows["dead_letters"]),
        (LETTERS, [one["value"] for one in evidence.records[LETTERS] if one["value"]]),
    ):
        places = Counter(
            (one["step"], one["source_topic"], int(one["source_partition"]), int(one["source_offset"]))
            for one in letters
        )
        for place in wanted - set(places):
            yield f"lost: {name} has no dead letter of {place[0]} for {place[1]}/{place[2]}/{place[3]}"
        for place in set(places) - wanted:
            yield f"invented: {name} has a dead letter of {place[0]} for {place[1]}/{place[2]}/{place[3]}"
        if name == "ClickHouse":
            for place, count in places.items():
                if count > 1:
                    yield f"doubled: ClickHouse has {count} dead letters of {place[0]} for {place[1]}"


def _of_pictures(evidence: Evidence, truth: Mapping[str, Picture]) -> Iterable[str]:
    for call, kind in evidence.calls.items():
        picture = picture_of(evidence, call)
        for part, right in truth[kind].items():
            if picture[part] != right:
                yield f"changed: {part} of {call} ({kind}): {_difference(right, picture[part])}"


UNFIT = "unfit:"
_NOT_TOLD = frozenset({"baseline_unknown", "history_unknown"})


def unfit(evidence: Evidence) -> Iterable[str]:
    """Why an undisturbed run must not become the truth: on a busy machine ClickHouse may have answered too late, and
    what says so of a call is put right by `heal` alone, which is not among the workers of a schedule."""
    for row in evidence.rows["whole_calls"]:
        if not _NOT_TOLD.isdisjoint(row.get("skipped_reasons", ())):
            yield f"{UNFIT} {row['call_id']} was judged while ClickHouse told nothing of other calls"


def picture_of(evidence: Evidence, call: str) -> Picture:
    """What became of a call, in an order that does not depend on when which row was written."""
    parts: dict[str, Any] = {
        view: sorted((_same_in_every_run(row) for row in evidence.rows[view] if row["call_id"] == call), key=_digest)
        for view in ("outcomes", "whole_calls", "findings", "suspicions", "segments", "alerts")
    }
    raised = [alert for alert in _raised(evidence).values() if alert["call_id"] == call]
    parts["raised"] = sorted([one["rule_id"], one["rule_version"], one["severity"]] for one in raised)
    return parts


def _same_in_every_run(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in CHANGES_BETWEEN_RUNS}


def _difference(right: Any, found: Any) -> str:
    """Names of columns, and never what stands in them: that may be what somebody said."""
    if not isinstance(right, list) or not isinstance(found, list) or len(right) != len(found):
        return f"{len(found)} row(s) in place of {len(right)}" if isinstance(right, list) else "is another"
    names = set()
    for one, other in zip(right, found, strict=True):
        if isinstance(one, dict) and isinstance(other, dict):
            names |= {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    return f"differs in {', '.join(sorted(names)) or 'its rows'}"


def _raised(evidence: Evidence) -> dict[str, Row]:
    """Alert id → alert, of those about calls."""
    values = [record["value"] for record in evidence.records[RAISED] if record["value"]]
    return {value["alert_id"]: value for value in values if value.get("call_id")}


def _told(evidence: Evidence) -> dict[str, Row]:
    """Those that subscribers are told of; that a call was selected for review is another matter."""
    return {alert_id: alert for alert_id, alert in _raised(evidence).items() if not alert.get("triggers")}


def _call_of(record: Row) -> str:
    return str(record["key"]).partition("/")[2]


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


VIEWS: Mapping[str, str] = {
    "outcomes": "* EXCEPT (reason), reason",
    "whole_calls": "*",
    "findings": "*",
    "suspicions": "*",
    "segments": "*",
    "alerts": "*",
    "alert_deliveries": "alert_id, subscriber, attempt, outcome, reason",
    "dead_letters": "step, source_topic, source_partition, source_offset, exception_class, call_id",
}
ASK_EVERY_S = 0.6
ASK_WITHIN_S = 15.0


class Outside:
    """Where everything is seen: addresses and folders as the runner wrote them down."""

    def __init__(self, description: Mapping[str, Any], tenant: str) -> None:
        self._description = description
        self._tenant = tenant
        self._config = {**description["kafka"], "log_level": 0, "enable.auto.commit": False}
        self._members = {group: Consumer({**self._config, "group.id": group}) for group in GROUPS}
        """They only ask, and join nothing."""
        metadata = self._asking.list_topics(timeout=ASK_WITHIN_S).topics
        self._places = [(topic, part) for topic in TOPICS for part in metadata[topic].partitions]

    @property
    def _asking(self) -> Consumer:
        return next(iter(self._members.values()))

    def wait_for_rest(self, within_s: float) -> dict[str, int]:
        """Return what is left to do, which is nothing unless it took too long: twice in a row every group must have
        committed everything, and nothing have been added in between."""
        deadline_s = time.monotonic() + within_s
        before: Mapping[tuple[str, int], tuple[int, int]] = {}
        left: dict[str, int] = {"everybody": 1}
        while time.monotonic() < deadline_s:
            try:
                # Offsets first: what is added after they were asked counts as not done.
                committed = self._committed()
                bounds = self._bounds()
            except KafkaException:
                time.sleep(ASK_EVERY_S)
                continue
            left = {}
            for group, topics in GROUPS.items():
                behind = sum(
                    max(0, end - committed.get((group, *place), begin))
                    for place, (begin, end) in bounds.items()
                    if place[0] in topics
                )
                if behind:
                    left[group] = behind
            if not left and bounds == before:
                return {}
            before = bounds
            time.sleep(ASK_EVERY_S)
        return left

    def _committed(self) -> dict[tuple[str, str, int], int]:
        found = {}
        for group, topics in GROUPS.items():
            places = [TopicPartition(topic, part) for topic, part in self._places if topic in topics]
            for place in self._members[group].committed(places, timeout=ASK_WITHIN_S):
                if place.error is not None:
                    raise KafkaException(place.error)
                if place.offset >= 0:
                    found[group, place.topic, place.partition] = place.offset
        return found

    def _bounds(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Topic and partition → its first offset, and the one behind its last record."""
        found = {}
        for topic, part in self._places:
            low, high = self._asking.get_watermark_offsets(TopicPartition(topic, part), timeout=ASK_WITHIN_S)
            found[topic, part] = (low, high)
        return found

    def evidence(self, events: Sequence[dict[str, Any]], lag: Mapping[str, int]) -> Evidence:
        """Everything of the tenant, as it is now."""
        requests = [one for one in _lines(Path(self._description["requests"])) if one["tenant"] == self._tenant]
        root = Path(self._description["objects"])
        objects = [
            str(path.relative_to(root))
            for path in root.rglob("*")
            if f"/{self._tenant}/" in str(path) and path.is_file()
        ]
        rows = {view: self._rows(view, columns) for view, columns in VIEWS.items()}
        return Evidence(list(events), self._records(), rows, requests, sorted(objects), dict(lag))

    def _records(self) -> dict[str, list[dict[str, Any]]]:
        consumer = Consumer({**self._config, "group.id": "chaos-checker"})
        found: dict[str, list[dict[str, Any]]] = {topic: [] for topic in TOPICS}
        try:
            bounds = self._bounds()
            wanted = {place: end for place, (begin, end) in bounds.items() if end > begin}
            consumer.assign([TopicPartition(*place, bounds[place][0]) for place in wanted])
            deadline_s = time.monotonic() + 60
            while wanted:
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"the broker did not give all records of {len(wanted)} partition(s)")
                for message in consumer.consume(500, 1.0):
                    if message.error() is not None:
                        continue
                    topic, part, offset = (
                        str(message.topic()),
                        int(message.partition() or 0),
                        int(message.offset() or 0),
                    )
                    if offset + 1 >= wanted.get((topic, part), 0):
                        wanted.pop((topic, part), None)
                    key, value = (message.key() or b"").decode(errors="replace"), _json(message.value())
                    tenant = value.get("tenant_id") if topic == LETTERS and isinstance(value, dict) else None
                    if key.startswith(self._tenant + "/") or tenant == self._tenant:
                        found[topic].append({"partition": part, "offset": offset, "key": key, "value": value})
        finally:
            consumer.close()
        return found

    def _rows(self, view: str, columns: str) -> list[dict[str, Any]]:
        about = self._description["clickhouse"]
        sql = f"SELECT {columns} FROM {about['database']}.{view} WHERE tenant_id = '{self._tenant}' FORMAT JSON"  # noqa: S608
        login = base64.b64encode(f"{about['user']}:{about['password']}".encode()).decode()
        request = urllib.request.Request(about["url"], sql.encode(), {"Authorization": f"Basic {login}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            rows: list[dict[str, Any]] = json.load(answer)["data"]
            return rows


def _json(value: bytes | None) -> Any:
    try:
        return json.loads(value or b"")
    except ValueError:
        return None


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def main() -> int:
    """0: all is well; 1: it is not, and each line says how; 2: something could not be looked at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", type=Path, required=True, help="JSON file with addresses and folders")
    parser.add_argument("--tenant", required=True)
    parser.add_argument("--within", type=float, default=120, help="seconds until everything must be at rest")
    parser.add_argument("--truth", type=Path, required=True, help="what an undisturbed run came to")
    parser.add_argument("--make-truth", action="store_true", help="write that file: this run was undisturbed")
    parser.add_argument("--evidence", type=Path, help="keep what was seen in this file")
    arguments = parser.parse_args()
    description = json.loads(arguments.stack.read_text(encoding="utf-8"))
    try:
        outside = Outside(description, arguments.tenant)
        lag = outside.wait_for_rest(arguments.within)
        events = [one for one in _lines(Path(description["events"])) if one["tenant"] == arguments.tenant]
        evidence = outside.evidence(events, lag)
    except (KafkaException, OSError, TimeoutError) as error:
        sys.stdout.write(f"cannot look: {type(error).__name__}\n")
        return EXIT_UNABLE
    if arguments.evidence:
        arguments.evidence.write_text(json.dumps(vars(evidence), ensure_ascii=False), encoding="utf-8")
    truth = None if arguments.make_truth else json.loads(arguments.truth.read_text(encoding="utf-8"))
    found = [*violations(evidence, truth), *(unfit(evidence) if arguments.make_truth else ())]
    for sentence in found:
        sys.stdout.write(sentence + "\n")
    if arguments.make_truth and not found:
        pictures = {kind: picture_of(evidence, call) for call, kind in evidence.calls.items()}
        arguments.truth.write_text(json.dumps(pictures, ensure_ascii=False), encoding="utf-8")
    return EXIT_VIOLATED if found else 0


if __name__ == "__main__":
    sys.exit(main())
