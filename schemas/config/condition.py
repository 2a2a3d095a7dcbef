"""Conditions: the part of a rule that says what must be found in a call, and where.

A condition holds exactly one of `say`, `regex`, `like`, `event`, `measure`, `ref`, `any_of`, `all_of`, `n_of`,
`none_of`. Short forms: a text alone is `say` with that one phrase, a list alone is `any_of`.

What is written on a group (`by`, `first_s`, `stance` …) holds for everything inside that does not say otherwise.
"""

from typing import Annotated, Any, Literal, Self

import re2
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, field_validator, model_validator

from schemas.messages.message import Record, Slug

GAP = "…"
"""Between two parts of a phrase: at most `MAX_GAP_LETTERS` letters of the same clause."""
MAX_GAP_LETTERS = 8
MAX_DEPTH = 12
MAX_REGEX_LETTERS = 500
MAX_LIKE_EXAMPLES = 40
MAX_REGEX_BYTES = 4 * 1024 * 1024

RuleSpeaker = Literal["agent", "customer", "anyone", "not_customer"]
"""`not_customer`: the agent, or a voice of which nobody knows whose it is, for words that only our side says."""

WantedStance = Literal["claimed", "not_negated", "any"]
"""`claimed`: neither negated nor asked nor quoted; `not_negated`: only negation excludes; `any`: as it stands."""

SoundTolerance = Literal["off", "strict", "loose"]
"""How far a phrase may be written with other characters of the same sound. `strict`: phrases of four letters or more,
half of which stand as written; `loose`: phrases of three letters or more, however they are written."""


def _parts_hold_letters(phrase: str) -> str:
    if not all(any(map(str.isalnum, part)) for part in phrase.split(GAP)):
        raise ValueError(f"a phrase, and each part of it around {GAP}, needs at least one letter or digit")
    return phrase


Phrase = Annotated[
    str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True), AfterValidator(_parts_hold_letters)
]
PlainPhrase = Annotated[Phrase, StringConstraints(pattern=f"^[^{GAP}]+$")]


def _tells_enough(example: str) -> str:
    if len(example) < LEAST_EXAMPLE_LETTERS:
        raise ValueError(
            f"an example of like has at least {LEAST_EXAMPLE_LETTERS} letters, not {len(example)}: a sentence"
        )
    return example


LEAST_EXAMPLE_LETTERS = 4
LikeExample = Annotated[
    Phrase, AfterValidator(_tells_enough), Field(json_schema_extra={"minLength": LEAST_EXAMPLE_LETTERS})
]
"""A sentence that shows what is meant. Of fewer letters nothing can be told."""


def _condition(value: Any) -> Any:
    if isinstance(value, str):
        return {"say": (value,)}
    if isinstance(value, list | tuple):
        return {"any_of": tuple(value)}
    return _with_tuples(value)


def _with_tuples(value: Any) -> Any:
    """Lists as tuples: behind a validator of our own, strict pydantic takes no list where a tuple is declared."""
    if isinstance(value, dict):
        return {key: _with_tuples(part) for key, part in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


class MeasureTest(Record):
    """A measure of the call. A measure that is null makes the test fail: what was not measured shows nothing."""

    name: Slug
    above: float | None = None
    below: float | None = None
    equals: bool | None = None

    @model_validator(mode="after")
    def _tests_something(self) -> Self:
        if self.above is None and self.below is None and self.equals is None:
            raise ValueError("a measure needs above, below or equals")
        return self


class EventTest(Record):
    """A field of the call-ended event: true, or one of some texts (`order_status`, a key of `crm`)."""

    field: Literal[
        "recording_notice_played",
        "legal_hold",
        "inquiry_type",
        "queue",
        "order_status",
        "course_type",
        "direction",
        "handled_by",
        "customer_value_tier",
    ]
    equals: bool | None = None
    one_of: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _tests_something(self) -> Self:
        if (self.equals is None) == (not self.one_of):
            raise ValueError("an event field needs either equals or one_of")
        return self


class Anchor(Record):
    """Another condition whose hits say where to look.

    `nth` counts its hits from 1, from the end with −1; without it any of its hits will do.
    """

    of: "AnyCondition"
    nth: int | None = Field(default=None, ge=-20, le=20)
    within_s: float | None = Field(default=None, gt=0, description="between the two, seconds")
    within_turns: int | None = Field(default=None, ge=0, description="turns between the two; 0: the same turn")
    within_letters: int | None = Field(default=None, ge=0, description="letters between the two, in one turn")
    if_absent: Literal["fails", "holds"] = Field(
        default="fails", description="what comes of it when the other condition has no such hit"
    )

    @model_validator(mode="after")
    def _nth_is_a_hit(self) -> Self:
        if self.nth == 0:
            raise ValueError("hits are counted from 1, or from -1 from the end")
        return self


class Condition(Record):
    """Something that holds in a call or not, with the places that show it."""

    say: tuple[Phrase, ...] = Field(default=(), description="one of these phrases")
    regex: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_REGEX_LETTERS,
        description="RE2 syntax, over the turn as it reads with numbers in digits; no back-references, no look-around",
    )
    like: tuple[LikeExample, ...] = Field(
        default=(),
        max_length=MAX_LIKE_EXAMPLES,
        exclude_if=lambda value: value == (),  # the digest of packs from before it stays what it was
        description="sentences that mean the same as one of these: only in the section `rules`, and only a suspicion",
    )
    min_similarity: float | None = Field(
        default=None,
        gt=0,
        le=1,
        exclude_if=lambda value: value is None,
        description="with like: how alike they must be; by default as measured in docs/accuracy.md",
    )
    event: EventTest | None = None
    measure: MeasureTest | None = None
    ref: Slug | None = Field(default=None, description="a condition of the pack (or of general) by its name")
    any_of: "tuple[AnyCondition, ...]" = ()
    all_of: "tuple[AnyCondition, ...]" = ()
    none_of: "tuple[AnyCondition, ...]" = ()
    n_of: "tuple[AnyCondition, ...]" = ()
    n: int | None = Field(default=None, ge=1, description="with n_of: as many of them must hold")

    by: RuleSpeaker | None = None
    stance: WantedStance | None = None
    sound: SoundTolerance | None = None
    unless: tuple[PlainPhrase, ...] = Field(
        default=(), description="longer phrases in which a hit is none (保本 in 担保本人)"
    )
    first_s: float | None = Field(default=None, gt=0, description="in the first seconds of the call")
    last_s: float | None = Field(default=None, gt=0, description="in the last seconds of the call")
    first_percent: float | None = Field(default=None, gt=0, le=100)
    last_percent: float | None = Field(default=None, gt=0, le=100)
    before: Anchor | None = None
    after: Anchor | None = None
    near: Anchor | None = Field(default=None, description="before or after")
    at_least: int = Field(default=1, ge=1, le=1000, description="hits, or it does not hold")

    @field_validator("regex")
    @classmethod
    def _regex_is_linear(cls, pattern: str | None) -> str | None:
        """RE2 takes time in proportion to the text whatever the pattern, so no pattern can stop a worker."""
        if pattern is not None:
            compile_regex(pattern)
        return pattern

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        kinds = [name for name in KINDS if getattr(self, name) not in (None, ())]
        if len(kinds) != 1:
            told = f"this one has {', '.join(kinds)}" if kinds else "this one has none"
            raise ValueError(f"a condition needs exactly one of {', '.join(KINDS)}: {told}")
        if (self.n is None) != (not self.n_of):
            raise ValueError("n and n_of belong together")
        if self.n is not None and self.n > len(self.n_of):
            raise ValueError(f"n is {self.n}, but n_of has only {len(self.n_of)}")
        if self.min_similarity is not None and not self.like:
            raise ValueError("min_similarity belongs to like")
        if self.unless and not self.say:
            raise ValueError("unless belongs to say")
        depth = _depth(self)
        if depth > MAX_DEPTH:
            raise ValueError(f"conditions are nested deeper than {MAX_DEPTH}")
        return self

    def parts(self) -> "tuple[Condition, ...]":
        """The conditions directly inside a group; none of any other."""
        return self.any_of or self.all_of or self.none_of or self.n_of

    def anchors(self) -> tuple[Anchor, ...]:
        """The anchors that are set."""
        return tuple(anchor for anchor in (self.before, self.after, self.near) if anchor is not None)


KINDS = ("say", "regex", "like", "event", "measure", "ref", "any_of", "all_of", "n_of", "none_of")

AnyCondition = Annotated[Condition, BeforeValidator(_condition)]
"""A condition, or one of its short forms."""


def compile_regex(pattern: str) -> "re2._Regexp":
    """A pattern as RE2 reads it, with bounded memory. Raises `ValueError` that says what RE2 does not take."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_REGEX_BYTES
    try:
        # Each passage stands on a line of its own.
        compiled: re2._Regexp = re2.compile(f"(?m){pattern}", options=options)  # type: ignore[no-untyped-call]
    except re2.error as error:
        told = error.args[0] if error.args else ""
        reason = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
        raise ValueError(f"RE2 cannot read the regular expression ({reason or 'too large'})") from None
    if compiled.search("") is not None:  # type: ignore[no-untyped-call]
        raise ValueError("the regular expression matches the empty text, so it would be found everywhere")
    return compiled


def _depth(condition: Condition) -> int:
    inside = [*condition.parts(), *(anchor.of for anchor in condition.anchors())]
    return 1 + max(map(_depth, inside), default=0)


Anchor.model_rebuild()
Condition.model_rebuild()
