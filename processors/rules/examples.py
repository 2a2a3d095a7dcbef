"""The examples of rules, run as tests together with all rules of the industry (`callstream rules test`)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from processors.detectors.checklists import missing_items
from processors.detectors.claims import check_claim
from processors.detectors.procedures import walk
from processors.detectors.topics import topics_by_phrase
from processors.rules.conditions import Hearing
from processors.rules.rulebook import Compiled, Rulebook, Rulebooks, scope_of
from processors.rules.word_matcher import keep_claimed
from processors.text.passages import SpokenText
from schemas.config.rule_pack import RuleExample, RulePack, TopicRule
from schemas.messages.call_ended import Agent, Audio, CallEnded, Role
from schemas.messages.transcript import EngineIdentity, Interval, Segment, Transcript

MS_PER_LETTER = 200
PAUSE_MS = 1_500
"""How fast the speakers of an example speak, and how long they pause: longer than within a turn."""

_ROLES: dict[str, Role] = {"坐席": "agent", "客户": "customer", "未知": "unknown"}
_DAY = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class ExampleError(ValueError):
    """A line of a dialogue does not say who speaks; the text shows what it must look like."""


def lines_of(example: RuleExample, speaker: Role) -> list[tuple[Role, str]]:
    """Who says what in an example: a sentence is said by `speaker`. Raises `ExampleError`."""
    if isinstance(example, str):
        return [(speaker, example)]
    lines: list[tuple[Role, str]] = []
    for line in example:
        name, colon, text = line.replace(":", "：", 1).partition("：")
        if not colon or name.strip() not in _ROLES:
            raise ExampleError(f"a line of a dialogue begins with {'：, '.join(_ROLES)}：")
        lines.append((_ROLES[name.strip()], text.strip()))
    return lines


def segments_of_lines(lines: Iterable[tuple[Role, str]]) -> tuple[Segment, ...]:
    """The lines as segments, one after the other."""
    segments: list[Segment] = []
    at_ms = 300
    for number, (role, text) in enumerate(lines):
        end_ms = at_ms + MS_PER_LETTER * len(text)
        segments.append(
            Segment(
                segment_id=number,
                channel=1 if role == "customer" else 0,
                role=role,
                start_ms=at_ms,
                end_ms=end_ms,
                text=text,
                confidence=1,
            )
        )
        at_ms = end_ms + PAUSE_MS
    return tuple(segments)


def imagine_call(industry: str, segments: Iterable[Segment] = (), **facts: Any) -> CallEnded:
    """An event for text that was never spoken; `facts` are further fields of it."""
    last_ms = max((segment.end_ms for segment in segments), default=0)
    return CallEnded(
        **{
            "tenant_id": "example",
            "call_id": "example",
            "direction": "inbound",
            "started_at": _DAY,
            "ended_at": _DAY + timedelta(milliseconds=last_ms),
            "agent": Agent(id="example"),
            "industry": industry,
            "audio": Audio(uri="s3://callstream/example", sha256="0" * 64, bytes=0),
            **facts,
        }
    )


def imagine_transcript(lines: Iterable[tuple[Role, str]], industry: str, **facts: Any) -> Transcript:
    """A Chinese call in which these lines are said."""
    segments = segments_of_lines(lines)
    speech: dict[Role, tuple[Interval, ...]] = {}
    for segment in segments:
        interval = Interval(start_ms=segment.start_ms, end_ms=segment.end_ms)
        speech[segment.role] = (*speech.get(segment.role, ()), interval)
    call = imagine_call(industry, segments, **facts)
    return Transcript(
        tenant_id=call.tenant_id,
        call_id=call.call_id,
        call=call,
        language="zh",
        engine=EngineIdentity(name="imagined", version="1", model="none"),
        segments=segments,
        speech=speech,
        transcribed_at=_DAY,
    )


def check_examples(rulebooks: Rulebooks, only: Iterable[RulePack] | None = None) -> tuple[str, ...]:
    """A sentence for each example that does not hold, of all packs or of some; empty if all hold."""
    packs = tuple(rulebooks.packs if only is None else only)
    return tuple(problem for pack in packs for problem in _problems_of(rulebooks, pack))


def _problems_of(rulebooks: Rulebooks, pack: RulePack) -> Iterator[str]:
    book = rulebooks.book(pack.tenant or "", pack.language, pack.industry)
    assert book is not None, "a pack applies to its own industry"  # noqa: S101
    for rule in pack.sensitive_words:
        for field, examples, expected in (("match", rule.match, True), ("no_match", rule.no_match, False)):
            for example in examples:
                course_type = rule.course_types[0] if rule.course_types else None
                # Of two rules with the same word one is told of: that is no fault of the other.
                words = rule.words if expected else ()
                if _is_claimed(book, pack.rule_id(rule), words, example, course_type) is not expected:
                    yield _problem(pack, "sensitive_words", rule.id, field, example, expected)
    for section, rules in book.compiled_sections():
        for compiled in rules:
            if compiled.pack is pack:
                yield from _wrong(book, section, compiled)


def _is_claimed(book: Rulebook, rule_id: str, words: Sequence[str], text: str, course_type: str | None) -> bool:
    """Whether an agent who says it claims a word of the rule, or one of these words, whichever rule tells of it."""
    text_spoken = SpokenText.of(segments_of_lines([("agent", text)]), None)
    return any(
        hit.term.rule_id == rule_id or hit.term.phrase.text in words
        for passage, places in zip(text_spoken.passages, text_spoken.places(book.index), strict=True)
        for hit in keep_claimed(book.words.find(passage.utterance.normalized, places, course_type))
    )


def _wrong(book: Rulebook, section: str, compiled: Compiled[Any]) -> Iterator[str]:
    entry = compiled.entry
    for field, expected in (("match", True), ("no_match", False)):
        for example in getattr(entry, field, ()):
            try:
                lines = lines_of(example, _speaker(section, entry))
            except ExampleError as error:
                yield f"{compiled.pack.place(section, entry.id)}, field {field}: {error}"
                continue
            heard = _holds(book, section, compiled, lines)
            if heard.holds is not expected or not heard.applies:
                text = example if isinstance(example, str) else " / ".join(example)
                yield _problem(compiled.pack, section, entry.id, field, text, expected, heard.why)


@dataclass(frozen=True)
class _Heard:
    """Whether an example shows what the rule is about, and a hint for whoever has to fix it."""

    holds: bool
    applies: bool = True
    why: str = ""


def _speaker(section: str, entry: Any) -> Role:
    by = entry.by if isinstance(entry, TopicRule) else scope_of(section).by
    find = getattr(entry, "find", None)
    by = (find.by if find is not None else None) or by
    return by if by in ("agent", "customer") else "customer"


def _holds(book: Rulebook, section: str, compiled: Compiled[Any], lines: list[tuple[Role, str]]) -> _Heard:
    segments = segments_of_lines(lines)
    hearing = book.hearing_of(SpokenText.of(segments, None), imagine_call(compiled.pack.industry, segments))
    if section == "topics":
        return _Heard(bool(topics_by_phrase([_for_any_call(compiled)], hearing)))
    if section == "claims":
        return _Heard(any(verdict != "true" for _, _, verdict in check_claim(compiled, hearing)))
    if section in ("procedures", "checklists"):
        return _hear_rule(section, compiled, hearing)
    return _Heard(hearing.look(compiled.nodes["find"]).holds)


def _hear_rule(section: str, compiled: Compiled[Any], hearing: Hearing) -> _Heard:
    when = compiled.nodes.get("when")
    applies = when is None or hearing.look(when).holds
    if section == "procedures":
        walked = walk(compiled, hearing)
        if walked.broken_at is None:
            return _Heard(True, applies, "" if applies else "`when` does not hold")
        step = compiled.entry.steps[walked.broken_at]
        return _Heard(False, applies, f"step {step.id} is {walked.reason}" if applies else "`when` does not hold")
    missing = missing_items(compiled, hearing)
    told = f"missing: {', '.join(item.id for item in missing)}" if missing else ""
    return _Heard(not missing, applies, told if applies else "`when` does not hold")


def _for_any_call(compiled: Compiled[TopicRule]) -> Compiled[TopicRule]:
    """Examples say nothing of the call, so a topic of some calls only is looked for in them, too."""
    entry = compiled.entry
    return Compiled(
        compiled.pack,
        entry.model_copy(update={"applies": type(entry.applies)(), "valid_from": None, "valid_to": None}),
        compiled.nodes,
    )


def _problem(
    pack: RulePack, section: str, entry_id: str, field: str, example: str, expected: bool, why: str = ""
) -> str:
    wanted = "must be found, and is not" if expected else "must not be found, but is"
    if section in ("procedures", "checklists"):
        wanted = "must be kept, and is not" if expected else "must be broken, but is not"
    return f"{pack.place(section, entry_id)}, field {field}: {example!r} {wanted}{f' ({why})' if why else ''}"
