"""How long a recording must be kept: by the event, and again by what was said, never shorter (R16–R18, R81, R82). Pure.

A legal hold is no class: it stops every deletion by itself (`processors.custody.holds`). What becomes of what is said
here, over time: `processors.custody.retention`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from processors.detectors.base.rule_detector import applies
from processors.judging.call_context import CallContext
from processors.rules.rulebook import Rulebook
from schemas.config.retention import RetentionAbout, RetentionClass, RetentionPolicy, RetentionWhen
from schemas.messages.call_analysis import TopicMention
from schemas.messages.call_ended import CallFacts


@dataclass(frozen=True)
class RetentionPeriod:
    """The class of a recording, and for how many days it is kept at least."""

    retention_class: str
    days: int


@dataclass(frozen=True)
class JudgedCall:
    """What says how long a judged call is kept: facts of its event, and what its analysis has found. `class_ids` are
    the classes that it fits; `retention_class` with its days is the longest of them, also where it is that of a rule
    pack; None in analyses from before there were classes."""

    call: CallFacts
    outcome: str
    duration_ms: int | None
    """Of the recording."""
    retention_class: str | None = None
    retention_days: int | None = None
    class_ids: tuple[str, ...] = ()


def retention_by_event(policy: RetentionPolicy, call: CallFacts) -> RetentionPeriod:
    """The longest class that fits by the event alone."""
    return _longest(
        one
        for one in policy.classes
        if _fits(one.when, call) and (one.about is None or _names_one(one.about.inquiry_types, (call.inquiry_type,)))
    )


def retention_by_content(
    policy: RetentionPolicy,
    known: RetentionPeriod,
    call: CallFacts,
    topics: Sequence[TopicMention],
    texts: Sequence[str],
) -> RetentionPeriod:
    """The class after the call was heard: the longest that fits, or `known` where none is longer (R82).

    `texts` are what was said, one for each segment.
    """
    longer = [
        one
        for one in policy.classes
        if one.days > known.days
        and _fits(one.when, call)
        and (one.about is None or _is_about(one.about, call, topics, texts))
    ]
    return _longest(longer) if longer else known


def fitting_classes(
    policy: RetentionPolicy, call: CallFacts, topics: Sequence[TopicMention] = (), texts: Sequence[str] = ()
) -> tuple[RetentionClass, ...]:
    """Every class that fits, in the order of the file, by the event and, where those are given, by what was said."""
    return tuple(
        one
        for one in policy.classes
        if _fits(one.when, call) and (one.about is None or _is_about(one.about, call, topics, texts))
    )


def retention_by_rules(
    book: Rulebook | None, context: CallContext, topics: Iterable[TopicMention]
) -> RetentionPeriod | None:
    """The longest class that applies; None where there is none.

    A class with neither `when` nor `when_topics` is for every call of its industry, with both for calls of which one
    holds. Nothing was said in a call that was not heard, so there only what stands in the event can hold.
    """
    if book is None:
        return None
    hearing = book.hearing(context)
    found_topics = {topic.topic_id.partition(".")[2] for topic in topics}
    kept: RetentionPeriod | None = None
    for rule in book.retention:
        entry = rule.entry
        fits = applies(rule, hearing) if entry.when is not None or not entry.when_topics else False
        if not fits and rule.applies_to(context.transcript.call):
            fits = not found_topics.isdisjoint(entry.when_topics)
        if fits and (kept is None or entry.days > kept.days):
            kept = RetentionPeriod(entry.id, entry.days)
    return kept


def _longest(classes: Iterable[RetentionClass]) -> RetentionPeriod:
    """The class with the most days; the first of several."""
    found = max(classes, key=lambda one: one.days)
    return RetentionPeriod(found.id, found.days)


def _fits(when: RetentionWhen, call: CallFacts) -> bool:
    return (
        (not when.tenants or call.tenant_id in when.tenants)
        and (not when.industries or call.industry in when.industries)
        and (not when.course_types or call.course_type in when.course_types)
        and (not when.order_statuses or call.order_status in when.order_statuses)
    )


def _is_about(about: RetentionAbout, call: CallFacts, topics: Iterable[TopicMention], texts: Sequence[str]) -> bool:
    return (
        _names_one(about.inquiry_types, (call.inquiry_type,))
        or _names_one(about.topics, (text for topic in topics for text in (topic.topic_id, topic.name)))
        or _names_one(about.phrases, ("\n".join(texts),))
    )


def _names_one(wanted: tuple[str, ...], texts: Iterable[str | None]) -> bool:
    return bool(wanted) and any(text is not None and _any_of(wanted).search(text) for text in texts)


@cache
def _any_of(texts: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern for all phrases, so that a long call is read once and not once per phrase."""
    return re.compile("|".join(map(re.escape, texts)))
