"""Rule packs: everything that is looked for in the calls of an industry, as YAML. No code is needed to change it.

One file is one pack: `finance.yaml` applies to calls of the industry `finance`, those of `general` to every call. A
pack with `tenant` applies to that tenant alone and takes the place of the shipped one of the same name. `docs/rules.md`
is the guide.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, StringConstraints, model_validator

from schemas.config.condition import AnyCondition, Phrase, PlainPhrase
from schemas.config.yaml_files import (
    Document,
    Location,
    YamlFileError,
    entry_named_by_id,
    find_repeated,
    read_yaml,
    read_yaml_file,
)
from schemas.messages.finding import Severity
from schemas.messages.message import Record, Slug, TenantId

RULE_PACK_FOLDER = Path(__file__).parent / "rule_packs"
"""The packs that are shipped."""

GENERAL = "general"
"""Packs of this industry apply to every call."""

MAX_VERSION = 1_000_000_000

MAX_EXPRESSIONS = 200
"""Regular expressions of a pack that is published, each counted once."""

Sentence = Annotated[str, StringConstraints(min_length=1, max_length=300, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
RuleExample = Sentence | tuple[Sentence, ...]
"""A sentence of the speaker that the rule is about, or a dialogue of lines `坐席：…` and `客户：…`."""


class RulePackError(YamlFileError):
    """Rule packs cannot be used; `problems` are sentences that name file, line, rule and field."""


class Applies(Record):
    """The calls that a rule is for. Empty fields are not checked; all others must match."""

    directions: tuple[Literal["inbound", "outbound"], ...] = ()
    handled_by: tuple[Literal["human", "bot"], ...] = ()
    queues: tuple[str, ...] = ()
    inquiry_types: tuple[str, ...] = ()
    course_types: tuple[Slug, ...] = ()
    order_statuses: tuple[str, ...] = ()
    customer_tags: tuple[str, ...] = Field(default=(), description="the customer has one of these")


class Entry(Record):
    """The fields that rules of all sections share."""

    id: Slug
    name: Name = Field(description="as people read it")
    owner: Name | None = Field(default=None, description="who answers for it; else the owner of the pack")
    applies: Applies = Applies()
    valid_from: date | None = Field(default=None, description="for calls that end on this day of the tenant or later")
    valid_to: date | None = Field(default=None, description="for calls that end on this day of the tenant or earlier")

    @model_validator(mode="after")
    def _is_valid_for_some_day(self) -> Self:
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError("valid_to is before valid_from")
        return self


class WordRule(Record):
    """One thing that an agent must not say, in all its wordings.

    A hit that lies inside one of the phrases of `unless` is none (保本 in 担保本人). Where `negatable` is false, the
    word counts also when it is negated, asked or quoted: an insult stays one. `match` and `no_match` are sentences
    that must and must not be found; they run as tests.
    """

    id: Slug
    name: Name | None = None
    category: Slug
    severity: Severity
    score_delta: float = Field(le=0, ge=-100, description="points that a hit costs")
    words: tuple[Phrase, ...] = Field(min_length=1)
    unless: tuple[PlainPhrase, ...] = ()
    negatable: bool = True
    sound: Literal["off", "strict", "short"] = Field(
        default="strict",
        description="by sound: words of four letters or more; short: of two or more; half of the letters as written",
    )
    course_types: tuple[Slug, ...] = Field(default=(), description="only for calls of these; empty: for all")
    advice: Sentence = Field(description="what the agent says instead")
    match: tuple[Sentence, ...] = Field(min_length=1)
    no_match: tuple[Sentence, ...] = Field(min_length=1)


class ConversationRule(Entry):
    """Something that is looked for in a call.

    `when` says which calls it is asked of; of the others `measure` is not taken (`not_applicable`). `finding` says
    whether it is remarkable that it is found (a threat), or that it is missing (a mandatory script): with `found` each
    call has one finding of this rule with its first place and the number of `hits`, or one for `each_hit`.
    `measure` is true where it is found, false where it is not.
    """

    category: Slug
    severity: Severity = "info"
    score_delta: float = Field(default=0, ge=-100, le=100)
    advice: Sentence | Literal[""] = Field(default="", description="what the agent does about it")
    when: AnyCondition | None = None
    find: AnyCondition
    finding: Literal["found", "missing", "both", "none"] = "found"
    each_hit: bool = False
    measure: Slug | None = None
    match: tuple[RuleExample, ...] = Field(min_length=1)
    no_match: tuple[RuleExample, ...] = Field(min_length=1)


class MandatoryScript(ConversationRule):
    """What must be said (R15, R40, R70): a finding where it is missing, an `info` one that shows where it was said.

    What the law asks for is counted apart from what the house asks for.
    """

    category: Slug = "missing_script"
    severity: Severity = "medium"
    finding: Literal["found", "missing", "both", "none"] = "both"
    required_by: Sentence | None = Field(
        default=None,
        exclude_if=lambda value: value is None,  # the digest of packs from before it stays what it was
        description="the law or regulation that asks for it; without one it is a rule of the house",
    )


class Threat(ConversationRule):
    """What a customer threatens with: a complaint, a regulator, the press, a court."""

    category: Slug = "complaint_threat"
    severity: Severity = "high"
    finding: Literal["found", "missing", "both", "none"] = "found"
    doubtable: bool = Field(
        default=False,
        exclude_if=lambda value: not value,  # the digest of packs from before it stays what it was
        description="where reading finds no threat at all in the call, a hit is only noted: info, and no measure",
    )


class Step(Record):
    """One step of a procedure."""

    id: Slug
    name: Name
    find: AnyCondition
    optional: bool = False


class Procedure(Entry):
    """Steps that must be taken in this order (R71), all before the first hit of `before`, if that is ever hit.

    `measure` is true when they were, false when not, and not taken where `when` does not hold.
    """

    category: Slug = "procedure_broken"
    severity: Severity = "high"
    score_delta: float = Field(default=0, ge=-100, le=0)
    advice: Sentence
    when: AnyCondition | None = None
    steps: tuple[Step, ...] = Field(min_length=1)
    before: AnyCondition | None = None
    measure: Slug | None = None
    match: tuple[RuleExample, ...] = Field(min_length=1, description="dialogues in which it is kept")
    no_match: tuple[RuleExample, ...] = Field(min_length=1, description="dialogues in which it applies and is broken")

    @model_validator(mode="after")
    def _steps_have_names_of_their_own(self) -> Self:
        if twice := find_repeated(step.id for step in self.steps):
            raise ValueError(f"step {', '.join(twice)} occurs twice")
        return self


class ChecklistItem(Record):
    """One thing that the agent must mention."""

    id: Slug
    name: Name
    find: AnyCondition
    optional: bool = False


class Checklist(Entry):
    """Things that must all be mentioned if `when` holds, in any order (R84)."""

    category: Slug = "checklist_incomplete"
    severity: Severity = "medium"
    score_delta: float = Field(default=0, ge=-100, le=0)
    advice: Sentence
    when: AnyCondition
    items: tuple[ChecklistItem, ...] = Field(min_length=1)
    measure: Slug | None = None
    match: tuple[RuleExample, ...] = Field(min_length=1, description="dialogues in which it is complete")
    no_match: tuple[RuleExample, ...] = Field(
        min_length=1, description="dialogues in which it applies and is not complete"
    )

    @model_validator(mode="after")
    def _items_have_names_of_their_own(self) -> Self:
        if twice := find_repeated(item.id for item in self.items):
            raise ValueError(f"item {', '.join(twice)} occurs twice")
        return self


ClaimUnit = Literal["percent", "yuan", "day", "hour", "month", "year", "times", "fold", "plain"]
"""`plain`: a number without unit; `fold`: 折, as 8.5 in 8.5折."""


class Allowed(Record):
    """An entry of the claims catalogue: which values are true, for which product."""

    about: tuple[Phrase, ...] = Field(
        default=(), description="the turn, or the call so far, names one of these; empty: any"
    )
    min: float | None = None
    max: float | None = None
    one_of: tuple[float, ...] = ()
    requires: AnyCondition | None = Field(default=None, description="must be said as well, anywhere in the call")

    @model_validator(mode="after")
    def _allows_something(self) -> Self:
        if self.min is None and self.max is None and not self.one_of and self.requires is None:
            raise ValueError("an entry needs min, max, one_of or requires")
        if self.min is not None and self.max is not None and self.max < self.min:
            raise ValueError("max is less than min")
        return self


class Claim(Entry):
    """What an agent may say of a product (R76, R83): a subject, the number said with it, and the values that are true.

    What contradicts every entry that applies is a finding `claim_contradicted`; a claim with no entry that applies is
    `claim_without_entry`, unless `unlisted` is `ignore`.
    """

    severity: Severity = "high"
    score_delta: float = Field(default=0, ge=-100, le=0)
    advice: Sentence
    subject: tuple[Phrase, ...] = Field(min_length=1, description="年化收益, 退款…到账")
    unit: ClaimUnit | None = Field(
        default=None, description="of the number that follows; null: the claim has no number"
    )
    within_letters: int = Field(default=12, ge=1, le=60, description="between subject and number")
    allowed: tuple[Allowed, ...] = ()
    unlisted: Literal["report", "ignore"] = "report"
    match: tuple[RuleExample, ...] = Field(min_length=1, description="what becomes a finding")
    no_match: tuple[RuleExample, ...] = Field(min_length=1)


class TopicRule(Entry):
    """A demand of the taxonomy (R61): the phrases that show it, and whole sentences for the comparison by meaning.

    Where a topic of `instead_of` is found as well, it gives way: 退款流程复杂 says more than 退款.
    """

    by: Literal["agent", "customer", "anyone"] = "customer"
    phrases: tuple[Phrase, ...] = ()
    unless: tuple[PlainPhrase, ...] = ()
    find: AnyCondition | None = Field(default=None, description="where phrases alone do not say it")
    instead_of: tuple[Slug, ...] = ()
    sentences: tuple[Sentence, ...] = Field(
        default=(), max_length=40, description="how customers put it; compared by meaning where a sentence model is set"
    )
    match: tuple[RuleExample, ...] = Field(min_length=1)
    no_match: tuple[RuleExample, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        if not self.phrases and self.find is None:
            raise ValueError("a topic needs phrases or find")
        return self


class RetentionRule(Entry):
    """How long recordings must be kept (R16–R18, R81, R82). Where several apply, the longest wins."""

    days: int = Field(ge=1, le=36_500)
    when: AnyCondition | None = Field(default=None, description="null: every call of the industry")
    when_topics: tuple[Slug, ...] = Field(default=(), description="or one of these topics was found")


SECTIONS = (
    "sensitive_words",
    "mandatory_scripts",
    "procedures",
    "checklists",
    "threats",
    "claims",
    "topics",
    "retention",
    "rules",
)


class RulePack(Record):
    """One YAML file: all rules of an industry in one language."""

    pack: Slug
    version: int = Field(ge=1, le=MAX_VERSION)
    industry: Slug
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")] = "zh"
    tenant: TenantId | None = Field(default=None, description="only for this tenant, in place of the shipped pack")
    owner: Name
    categories: dict[Slug, Name] = Field(
        default_factory=dict, description="category of findings → its name, for people; those of other packs stay"
    )
    conditions: dict[Slug, AnyCondition] = Field(default_factory=dict, description="named, for `ref`")
    example_claims: bool = Field(
        default=False,
        exclude_if=lambda value: value is False,  # the digest of packs from before it stays what it was
        description="its claims are examples, and in force only for tenants that adopt them in the file of tenants",
    )
    sensitive_words: tuple[WordRule, ...] = ()
    mandatory_scripts: tuple[MandatoryScript, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    checklists: tuple[Checklist, ...] = ()
    threats: tuple[Threat, ...] = ()
    claims: tuple[Claim, ...] = ()
    topics: tuple[TopicRule, ...] = ()
    retention: tuple[RetentionRule, ...] = ()
    rules: tuple[ConversationRule, ...] = Field(default=(), description="whatever fits none of the other sections")

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        problems = [
            *(f"the id {one} stands twice" for one in find_repeated(entry.id for _, entry in self.entries())),
            *(
                f"word {word} stands in more than one place"
                for word in find_repeated(word for rule in self.sensitive_words for word in rule.words)
            ),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    _file: str = PrivateAttr(default="")
    _lines: Mapping[str, int] = PrivateAttr(default_factory=dict)

    def entries(self) -> Iterator[tuple[str, Entry | WordRule]]:
        """Every rule with the name of its section."""
        for section in SECTIONS:
            for entry in getattr(self, section):
                yield section, entry

    def rule_id(self, entry: Entry | WordRule) -> str:
        """The id of a rule in findings: `finance.guaranteed_principal`."""
        return f"{self.pack}.{entry.id}"

    def digest(self) -> str:
        """SHA-256 of the content: changes with every edit, even if `version` was not raised."""
        return sha256(self.model_dump_json().encode()).hexdigest()

    def place(self, section: str, entry_id: str) -> str:
        """What a problem with a rule begins with: `finance.yaml:120: topics lost_card`; without a file, the pack."""
        line = self._lines.get(entry_id)
        return f"{f'{self._file}:{line}' if line else self.label}: {section} {entry_id}"

    def read_from(self, file: str, lines: Mapping[str, int]) -> Self:
        """This pack, which knows where its rules and conditions stand."""
        self._file, self._lines = file, lines
        return self

    @property
    def label(self) -> str:
        """`finance@12`, with the tenant before it where the pack is a tenant's: `acme/finance@12`."""
        tenant = f"{self.tenant}/" if self.tenant else ""
        return f"{tenant}{self.pack}@{self.version}"


def _entry_of(content: Any, location: Location) -> str:
    if location[:1] == ("conditions",) and len(location) > 1:
        return f"condition {location[1]}"
    return entry_named_by_id(content, location, SECTIONS)


def read_rule_pack(file: Path) -> RulePack:
    """One pack. Raises `RulePackError`; that its rules hold together is seen when a rulebook is made of it."""
    try:
        return _with_lines(str(file), read_yaml_file(file, RulePack, _entry_of))
    except YamlFileError as error:
        raise RulePackError(error.problems) from None


def parse_rule_pack(name: str, text: str) -> RulePack:
    """The same of a text; `name` is what problems begin with. Raises `RulePackError`."""
    try:
        return _with_lines(name, read_yaml(name, text, RulePack, _entry_of))
    except YamlFileError as error:
        raise RulePackError(error.problems) from None


def _with_lines(name: str, document: Document[RulePack]) -> RulePack:
    pack = document.content
    lines = {condition: document.line(("conditions", condition)) for condition in pack.conditions}
    for section in SECTIONS:
        for number, entry in enumerate(getattr(pack, section)):
            lines[entry.id] = document.line((section, number, "id"))
    return pack.read_from(name, lines)


def load_rule_packs(folders: Iterable[Path] = (RULE_PACK_FOLDER,)) -> tuple[RulePack, ...]:
    """Every `*.yaml` of the folders, by tenant and name. Raises `RulePackError` with all problems."""
    packs: dict[tuple[str, str], RulePack] = {}
    files: dict[tuple[str, str], Path] = {}
    problems: list[str] = []
    for folder in folders:
        found = sorted(folder.glob("*.yaml"))
        if not found:
            problems.append(f"{folder}: holds no rule pack (*.yaml)")
        for file in found:
            try:
                pack = read_rule_pack(file)
            except RulePackError as error:
                problems.extend(error.problems)
                continue
            key = (pack.tenant or "", pack.pack)
            if key in files:
                problems.append(f"{file}: pack {pack.pack} is also in {files[key]}")
            packs[key], files[key] = pack, file
    if problems:
        raise RulePackError(problems)
    return tuple(packs[key] for key in sorted(packs))
