"""`callstream rules`: for the people who write rules — check them, run their examples, see what they find in a text."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from processors.judging.pipeline import Judge, JudgeSettings
from processors.rules.examples import imagine_transcript, lines_of
from processors.text.phonetic import Sounds
from schemas.config.rule_pack import SECTIONS, RulePack, RulePackError, read_rule_pack
from schemas.messages.call_ended import Role
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import RULES_PUBLISHED
from streams.cli.command_settings import command_settings
from streams.ports import SystemClock
from streams.runtime.rules_feed import (
    PackRegistry,
    RulesInForce,
    check_rulebooks,
    decode_published,
    packs_at_hand,
    rules_in_force,
)
from streams.settings import Settings, load_settings

EXIT_PROBLEM = 1

rules_app = typer.Typer(help="Write, check, try and publish rule packs (docs/rules.md).", no_args_is_help=True)

FilesArgument = Annotated[
    list[Path] | None, typer.Argument(help="Rule packs, or folders of them; without any, those that are in use.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The YAML files that are named, and those in the folders. Raises `RulePackError` for an empty folder."""
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not found:
            raise RulePackError([f"{path}: holds no rule pack (*.yaml)"])
        files.extend(found)
    return files


def in_company(given: Sequence[RulePack], settings: Settings) -> tuple[RulePack, ...]:
    """The packs that are given in the company of all others at hand, of which they replace those of the same name."""
    return PackRegistry(packs_at_hand(settings.rules_folder)).in_force(given)


def _read(paths: list[Path] | None, settings: Settings) -> tuple[RulePack, ...]:
    """The packs of these files. Raises `RulePackError` with the problems of all of them."""
    if not paths:
        return packs_at_hand(settings.rules_folder)
    packs: list[RulePack] = []
    problems: list[str] = []
    for file in files_of(paths):
        try:
            packs.append(read_rule_pack(file))
        except RulePackError as error:
            problems.extend(error.problems)
    if problems:
        raise RulePackError(problems)
    return tuple(packs)


@rules_app.command()
def lint(files: FilesArgument = None) -> None:
    """Read packs and compile their conditions: unknown fields, bad expressions, circles. Runs no example."""
    settings = load_settings().settings
    try:
        packs = _read(files, settings)
        check_rulebooks(in_company(packs, settings), Sounds(settings.merged_sounds), ())
    except RulePackError as error:
        _fail(error.problems)
    for pack in packs:
        sys.stdout.write(f"{pack.label}: {sum(1 for _ in pack.entries())} rules\n")


@rules_app.command(name="test")
def run_examples(files: FilesArgument = None) -> None:
    """Run the examples of every rule, in the company of all rules of the industry. Ends with 1 when one fails.

    Also of the rules that are there already: a new pack may take their words from them.
    """
    settings = load_settings().settings
    try:
        packs = _read(files, settings)
        company = in_company(packs, settings)
        check_rulebooks(company, Sounds(settings.merged_sounds), company)
    except RulePackError as error:
        _fail(error.problems)
    for pack in packs:
        examples = sum(len(getattr(e, "match", ())) + len(getattr(e, "no_match", ())) for _, e in pack.entries())
        sys.stdout.write(f"{pack.label}: {examples} examples hold\n")


@rules_app.command()
def show(files: FilesArgument = None, as_json: JsonOption = False) -> None:
    """What packs hold: every rule with section, id, name, category, severity and measure."""
    try:
        packs = _read(files, load_settings().settings)
    except RulePackError as error:
        _fail(error.problems)
    rows = [row for pack in packs for row in _rows(pack)]
    if as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
        return
    columns = ("pack", "section", "id", "name", "category", "severity", "measure")
    table = Table(*columns)
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    (Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)).print(table)


PLAIN_WIDTH = 160


def _rows(pack: RulePack) -> list[dict[str, str]]:
    return [
        {
            "pack": pack.label,
            "section": section,
            "id": entry.id,
            "name": getattr(entry, "name", None) or "",
            "category": getattr(entry, "category", ""),
            "severity": getattr(entry, "severity", ""),
            "measure": getattr(entry, "measure", None) or "",
        }
        for section, entry in pack.entries()
    ]


@rules_app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="A pack.")], new: Annotated[Path, typer.Argument(help="Another one.")]
) -> None:
    """Which rules two packs do not have in common, and which differ. Ends with 1 when any do."""
    try:
        before, after = read_rule_pack(old), read_rule_pack(new)
    except RulePackError as error:
        _fail(error.problems)
    lines = list(_differences(before, after))
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"{before.label} → {after.label}: {len(lines)} difference(s)\n")
    raise typer.Exit(EXIT_PROBLEM if lines else 0)


def _differences(before: RulePack, after: RulePack) -> Iterable[str]:
    for name in sorted({*before.conditions, *after.conditions}):
        if before.conditions.get(name) != after.conditions.get(name):
            yield f"{_sign(name in before.conditions, name in after.conditions)} condition {name}"
    for section in SECTIONS:
        old: dict[str, Any] = {entry.id: entry for entry in getattr(before, section)}
        new: dict[str, Any] = {entry.id: entry for entry in getattr(after, section)}
        for entry_id in sorted({*old, *new}):
            if old.get(entry_id) == new.get(entry_id):
                continue
            fields = ""
            if entry_id in old and entry_id in new:
                names = type(new[entry_id]).model_fields
                changed = [n for n in names if getattr(old[entry_id], n) != getattr(new[entry_id], n)]
                fields = f": {', '.join(changed)}"
            yield f"{_sign(entry_id in old, entry_id in new)} {section} {entry_id}{fields}"


def _sign(was: bool, is_: bool) -> str:
    return "~" if was and is_ else "+" if is_ else "-"


@rules_app.command(name="try")
def try_(
    text: Annotated[
        list[str], typer.Option("--text", help="What is said; a line 坐席：… or 客户：… says by whom. May be repeated.")
    ],
    industry: Annotated[str, typer.Option(help="Industry of the imagined call.")] = "general",
    role: Annotated[str, typer.Option(help="Who says a text that does not say so: agent or customer.")] = "agent",
    tenant: Annotated[str, typer.Option(help="Tenant of the imagined call.")] = "example",
    course_type: Annotated[str | None, typer.Option(help="Course type of the imagined call.")] = None,
    direction: Annotated[str, typer.Option(help="inbound or outbound.")] = "inbound",
    files: Annotated[
        list[Path] | None, typer.Option("--file", help="A pack to try, in the company of the others.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What all rules find in a text that was never spoken: findings, topics, measures."""
    if role not in ("agent", "customer"):
        raise typer.BadParameter(f"{role} is not a role: agent or customer", param_hint="--role")
    if direction not in ("inbound", "outbound"):
        raise typer.BadParameter(f"{direction} is no direction: inbound or outbound", param_hint="--direction")
    settings = load_settings().settings
    try:
        packs = in_company(_read(files, settings) if files else (), settings)
        judge = Judge(JudgeSettings(), rulebooks=check_rulebooks(packs, Sounds(settings.merged_sounds), ()))
    except RulePackError as error:
        _fail(error.problems)
    speaker: Role = "agent" if role == "agent" else "customer"
    lines = [line for one in text for line in _lines(one, speaker)]
    try:
        transcript = imagine_transcript(lines, industry, tenant_id=tenant, course_type=course_type, direction=direction)
    except ValidationError as error:
        options = {"industry": "--industry", "tenant_id": "--tenant", "course_type": "--course-type"}
        raise _bad_options(error, options) from None
    analysis = judge.judge(transcript, transcript.transcribed_at)
    if as_json:
        sys.stdout.write(json.dumps(analysis.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n")
        return
    for finding in analysis.findings:
        name = finding.attributes.get("name") or finding.rule_id
        words = f" 「{finding.matched}」" if finding.matched else ""
        sys.stdout.write(f"{finding.severity}: {finding.rule_id} {name}{words} ({finding.confidence:.2f})\n")
    for topic in analysis.topics:
        sys.stdout.write(f"topic: {topic.topic_id} {topic.name} 「{topic.quote}」\n")
    for name, value in analysis.measures.items():
        if value is not None:
            sys.stdout.write(f"{name} = {value}\n")


@rules_app.command()
def publish(
    files: Annotated[list[Path], typer.Argument(help="Rule packs, or folders of them.")],
    by: Annotated[str, typer.Option(help="Who publishes.")] = "unknown",
    note: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Put packs into force, for all workers that run: checked with their examples first, in the company of the others.

    A version is published once; to change a pack, and also to go back to an older one, give it a higher version.
    """
    from streams.adapters.kafka.client import Publisher

    settings = command_settings()
    try:
        packs = _read(files, settings)
        before = _published(settings)
        rules = rules_in_force(settings, before)
        new = [pack for pack in packs if _is_news(pack, rules, before)]
        rules.add(new)
    except RulePackError as error:
        _fail(error.problems)
    now = SystemClock().now()
    try:
        messages = [RulesPublished(pack=pack, published_at=now, published_by=by, note=note) for pack in new]
    except ValidationError as error:
        raise _bad_options(error, {"published_by": "--by", "note": "--note"}) from None
    if large := [message.pack.label for message in messages if len(message.encode()) > RulesPublished.max_bytes]:
        _fail([f"{label} is larger than a message may be: make several packs of it" for label in large])
    publisher = Publisher(settings)
    publisher.publish(RULES_PUBLISHED.record(message) for message in messages)
    publisher.close()
    for pack in packs:
        is_new = any(pack is one for one in new)
        sys.stdout.write(f"{pack.label}: {'published' if is_new else 'was published before'}\n")


def _published(settings: Settings) -> tuple[RulesPublished, ...]:
    """Everything that was published so far. Raises `RetryableError`."""
    from streams.adapters.kafka.client import TopicReader

    reader = TopicReader(settings, RULES_PUBLISHED.name)
    try:
        return decode_published(reader.read_to_end())
    finally:
        reader.close()


def _is_news(pack: RulePack, rules: RulesInForce, before: Sequence[RulesPublished]) -> bool:
    """Whether a pack is to be published. Raises `RulePackError` for a version that cannot come into force."""
    latest = rules.registry.latest(pack.tenant, pack.pack)
    if latest is not None and pack.version < latest.version:
        raise RulePackError([f"{pack.label} is older than {latest.label}, which is in force: give it a higher version"])
    rules.registry.put(pack)
    if rules.registry.is_refused(pack):
        raise RulePackError([f"{pack.label} was published before and is refused: give it a higher version, mended"])
    return pack.label not in {message.pack.label for message in before}


@rules_app.command(name="list")
def list_published(as_json: JsonOption = False) -> None:
    """Every version that was published, when, by whom and why, and whether it is in force, superseded or refused."""
    settings = command_settings()
    messages = _published(settings)
    rules = rules_in_force(settings, messages)
    rows = [
        {
            "pack": message.pack.label,
            "state": _state(message.pack, rules.registry),
            "published_at": message.published_at.isoformat(timespec="seconds"),
            "published_by": message.published_by,
            "note": message.note,
        }
        for message in messages
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2) + "\n")
        return
    for row in rows:
        sys.stdout.write("  ".join(row.values()) + "\n")
    sys.stdout.write(f"{len(rows)} published; shipped packs are in force where nothing else is\n")


def _state(pack: RulePack, registry: PackRegistry) -> str:
    known = registry.version(pack.tenant, pack.pack, pack.version)
    if registry.is_refused(pack) or known is None or known.digest() != pack.digest():
        return "refused"
    return "in force" if registry.latest(pack.tenant, pack.pack) is known else "superseded"


def _lines(text: str, speaker: Role) -> list[tuple[Role, str]]:
    named = text.replace(":", "：", 1).partition("：")[0].strip() in ("坐席", "客户", "未知")
    return lines_of((text,), speaker) if named else [(speaker, text)]


def _bad_options(error: ValidationError, options: Mapping[str, str]) -> typer.BadParameter:
    """Which options do not fit, by the fields that they fill; what is said where it is none of them."""
    wrong = {options.get(str(detail["loc"][0]), "--text"): detail["type"] for detail in error.errors()}
    return typer.BadParameter("; ".join(f"{option}: {kind}" for option, kind in sorted(wrong.items())))


def _fail(problems: Iterable[str]) -> None:
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    raise typer.Exit(EXIT_PROBLEM)
