"""The whole pipeline on one screen.

    telephony ──► ingest ──► calls.ended.v1 ──► listen ──► calls.transcribed.v1 ──► judge ──► calls.analyzed.v1
                               │                             │         │          ▲   │           │
                               │                             │      replay        │   └► alerts.raised.v1 ──► notify ──►
                               │                             │         │          │             │             │
                               │                             │         │  rules.published.v1    │    alerts.delivered.v1
                               │                             │         └► calls.reanalyzed.v1   │             │
                               └─────────────────────────────┴──────────► store ◄──┴────────────┴─────────────┘
                                                                            │
                calls.dead_letters.v1 (whatever can never be processed) ────┘──► ClickHouse
                                                                                     │
                judge, for what it is told of other calls ◄──────────────────────────┼──► watch ──► alerts.raised.v1
                                                                                     └──► rollup ──► kpi_rollup

Each stage is the file of its name in `streams/stages/`. Rules are published by `callstream rules publish` and followed
by `streams/runtime/rules_feed.py`. What becomes known of a call after it (satisfaction, orders) comes in
calls.rated.v1, and who looked for or heard what in recordings.accessed.v1; `store` reads both, too.
"""

from collections.abc import Iterable, Mapping

from schemas.messages.topics import (
    ALERTS_RAISED,
    CALLS_ENDED,
    CALLS_REANALYZED,
    CALLS_TRANSCRIBED,
    RULES_PUBLISHED,
    TOPICS,
)

STAGE_TOPICS: Mapping[str, tuple[str, ...]] = {
    "listen": (CALLS_ENDED.name,),
    "judge": (CALLS_TRANSCRIBED.name, RULES_PUBLISHED.name),
    "store": tuple(topic.name for topic in TOPICS),
    "notify": (ALERTS_RAISED.name,),
    "watch": (),
    "rollup": (),
}
"""Stage → the topics that it reads. `watch` and `rollup` ask ClickHouse instead."""

NOTIFY_GROUP = "notify."
"""`notify` reads with one consumer group for each subscription: this and its name."""


HISTORY_GROUP = "store.history"
"""`store` reads history that was judged again with a group of its own, after live messages."""


def consumer_groups(subscribers: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Consumer group → the topics that it reads; `subscribers` are the names of the subscriptions."""
    groups = {stage: topics for stage, topics in STAGE_TOPICS.items() if topics and stage != "notify"}
    groups["judge"] = (CALLS_TRANSCRIBED.name,)  # every judge reads all rules, without a group
    groups["store"] = tuple(topic for topic in STAGE_TOPICS["store"] if topic != CALLS_REANALYZED.name)
    groups[HISTORY_GROUP] = (CALLS_REANALYZED.name,)
    return groups | {NOTIFY_GROUP + name: STAGE_TOPICS["notify"] for name in subscribers}
