"""Lexicons: what an agent must not say, as YAML. One file per industry is shipped; users add their own folder (R54).

A word is matched wherever its letters stand, whatever punctuation, spaces, width or script lies between them.
A word with `…` matches its parts in this order within one clause, with at most `MAX_GAP_LETTERS` letters between
two parts: `保证…通过` matches 保证您一次通过.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from schemas.errors import OperatorError
from schemas.finding import Severity
from schemas.message import Record, Slug

LEXICON_FOLDER = Path(__file__).parent / "lexicons"
"""The lexicons that are shipped."""

GENERAL_INDUSTRY = "general"
"""Lexicons of this industry apply to every call."""

GAP = "…"
MAX_GAP_LETTERS = 8


def _parts_hold_letters(word: str) -> str:
    if not all(any(map(str.isalnum, part)) for part in word.split(GAP)):
        raise ValueError(f"a word, and each part of it around {GAP}, needs at least one letter or digit")
    return word


Word = Annotated[
    str, StringConstraints(min_length=1, max_length=40, strip_whitespace=True), AfterValidator(_parts_hold_letters)
]
Phrase = Annotated[Word, StringConstraints(pattern=f"^[^{GAP}]+$")]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


class Rule(Record):
    """One thing that must not be said, in all its wordings.

    A hit that lies inside one of the phrases of `unless` is none (保本 in 担保本人). Where `negatable` is false, the
    word counts also when it is negated, asked or quoted: an insult stays one. `match` and `no_match` are sentences
    that must and must not be found; they run as tests.
    """

    id: Slug
    category: Slug
    severity: Severity
    score_delta: float = Field(le=0, ge=-100, description="points that a hit costs")
    words: tuple[Word, ...] = Field(min_length=1)
    unless: tuple[Phrase, ...] = ()
    negatable: bool = True
    advice: Sentence = Field(description="what the agent says instead")
    match: tuple[Sentence, ...] = Field(min_length=1)
    no_match: tuple[Sentence, ...] = Field(min_length=1)


class Lexicon(Record):
    """One YAML file: the rules of an industry in one language."""

    lexicon: Slug
    industry: Slug
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
    version: int = Field(ge=1)
    owner: Sentence
    rules: tuple[Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        problems = [
            *(f"rule {rule_id} occurs twice" for rule_id in _repeated(rule.id for rule in self.rules)),
            *(
                f"word {word} stands in more than one place"
                for word in _repeated(word for rule in self.rules for word in rule.words)
            ),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def rule_id(self, rule: Rule) -> str:
        """The id of a rule in findings: `finance.guaranteed_principal`."""
        return f"{self.lexicon}.{rule.id}"

    def digest(self) -> str:
        """SHA-256 of the content: changes with every edit, also where `version` was forgotten."""
        return sha256(self.model_dump_json().encode()).hexdigest()


class LexiconError(OperatorError):
    """Lexicons cannot be used; `problems` are sentences that name file, rule and field."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load_lexicons(folders: Iterable[Path] = (LEXICON_FOLDER,)) -> tuple[Lexicon, ...]:
    """Every `*.yaml` of the folders, by lexicon id. Raises `LexiconError` with all that is wrong."""
    lexicons: dict[str, Lexicon] = {}
    files: dict[str, Path] = {}
    problems: list[str] = []
    for folder in folders:
        found = sorted(folder.glob("*.yaml"))
        if not found:
            problems.append(f"{folder}: holds no lexicon (*.yaml)")
        for file in found:
            try:
                lexicon = read_lexicon(file)
            except LexiconError as error:
                problems.extend(error.problems)
                continue
            if lexicon.lexicon in files:
                problems.append(f"{file}: lexicon {lexicon.lexicon} is also in {files[lexicon.lexicon]}")
            lexicons[lexicon.lexicon], files[lexicon.lexicon] = lexicon, file
    if problems:
        raise LexiconError(problems)
    return tuple(lexicons[name] for name in sorted(lexicons))


def read_lexicon(file: Path) -> Lexicon:
    """One lexicon. Raises `LexiconError`."""
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  a SafeLoader, see below
    except (OSError, UnicodeDecodeError) as error:
        raise LexiconError([f"{file}: cannot be read: {type(error).__name__}"]) from None
    except yaml.YAMLError as error:
        raise LexiconError([f"{file}: {_yaml_problem(error)}"]) from None
    if not isinstance(content, dict):
        raise LexiconError([f"{file}: must hold a mapping with lexicon, industry, version and rules"])
    try:
        return Lexicon.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise LexiconError(
            f"{file}: {_place(content, detail['loc'])}{detail['msg'][:1].lower()}{detail['msg'][1:]}"
            for detail in details
            if not any(_lies_within(other["loc"], detail["loc"]) for other in details)
        ) from None


def _lies_within(inner: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    """A list whose items are all wrong is also reported as too short: the items say it better."""
    return len(outer) > 0 and len(inner) > len(outer) and inner[: len(outer)] == outer


@cache
def syllables() -> Mapping[str, frozenset[str]]:
    """Character → the Mandarin syllables, without tone, that it can be read as (`薄` → bao, bo)."""
    readings: dict[str, set[str]] = {}
    for line in (LEXICON_FOLDER / "syllables.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        syllable, characters = line.split()
        for character in characters:
            readings.setdefault(character, set()).add(syllable)
    return {character: frozenset(found) for character, found in readings.items()}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml where it is built in
    """A safe loader that refuses a key that stands twice, which YAML readers otherwise drop in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in _repeated(keys):
            raise yaml.constructor.ConstructorError(None, None, f"{key} stands twice", node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _repeated(values: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return sorted({value for value in values if value in seen or seen.add(value)})  # type: ignore[func-returns-value]


def _yaml_problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return "is not YAML"


def _place(content: dict[Any, Any], location: tuple[int | str, ...]) -> str:
    """`rule 3 (guaranteed_principal), field words.2: ` out of the place that pydantic names."""
    if not location:
        return ""
    if location[0] != "rules" or len(location) < 2 or not isinstance(location[1], int):
        return f"field {'.'.join(map(str, location))}: "
    rule = content["rules"][location[1]]
    name = f" ({rule['id']})" if isinstance(rule, dict) and "id" in rule else ""
    field = f", field {'.'.join(map(str, location[2:]))}" if location[2:] else ""
    return f"rule {location[1] + 1}{name}{field}: "
