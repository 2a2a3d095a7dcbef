"""How long a recording must be kept by the rules of the packs (R16–R18, R81, R82)."""

from collections.abc import Iterable

from processors.case import Case
from processors.retention import Kept
from processors.rule_detector import applies
from processors.rulebook import Rulebook
from schemas.messages.call_analysis import TopicMention


def kept_by_rules(book: Rulebook | None, case: Case, topics: Iterable[TopicMention]) -> Kept | None:
    """The longest class that applies; None where there is none.

    A class with neither `when` nor `when_topics` is for every call of its industry, with both for calls of which one
    holds. Nothing was said in a call that was not heard, so there only what stands in the event can hold.
    """
    if book is None:
        return None
    hearing = book.hearing(case)
    found_topics = {topic.topic_id.partition(".")[2] for topic in topics}
    kept: Kept | None = None
    for rule in book.retention:
        entry = rule.entry
        fits = applies(rule, hearing) if entry.when is not None or not entry.when_topics else False
        if not fits and rule.applies_to(case.transcript.call):
            fits = not found_topics.isdisjoint(entry.when_topics)
        if fits and (kept is None or entry.days > kept.days):
            kept = Kept(entry.id, entry.days)
    return kept
