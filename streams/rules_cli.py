"""`callstream rules`: for the people who write rules — check them, run their examples, see what they find in a text."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from processors.judging import Judge, JudgeSettings
from processors.rule_examples import check_examples, imagined_transcript, lines_of
from processors.rulebook import Rulebooks
from processors.sounds import Sounds
from schemas.call_ended import Role
from schemas.rule_pack import (
    RULE_PACK_FOLDER,
    SECTIONS,
    RulePack,
    RulePackError,
    load_rule_packs,
    read_rule_pack,
)
from streams.settings import Settings, load_settings

EXIT_PROBLEM = 1

rules_app = typer.Typer(help="Write, check, try and publish rule packs (docs/rules.md).", no_args_is_help=True)

FilesArgument = Annotated[
    list[Path] | None, typer.Argument(help="Rule packs, or folders of them; without any, those that are in use.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The YAML files that are named, and those in the folders that are. Raises `RulePackError` for what is not there."""
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not found:
            raise RulePackError([f"{path}: holds no rule pack (*.yaml)"])
        files.extend(found)
    return files


def in_company(given: Sequence[RulePack], settings: Settings) -> tuple[RulePack, ...]:
    """The packs that are given in the company of all others in use, of which they replace those of the same name."""
    folders = (RULE_PACK_FOLDER, *([settings.rules_folder] if settings.rules_folder else []))
    mine = {(pack.tenant, pack.pack) for pack in given}
    others = [pack for pack in load_rule_packs(folders) if (pack.tenant, pack.pack) not in mine]
    return (*given, *others)


def _read(paths: list[Path] | None, settings: Settings) -> tuple[RulePack, ...]:
    """The packs of these files. Raises `RulePackError` with the problems of all of them."""
    if not paths:
        return load_rule_packs((RULE_PACK_FOLDER, *([settings.rules_folder] if settings.rules_folder else [])))
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
    """Read packs and compile their conditions: unknown fields, bad expressions, circles, doubled ids. Runs no example."""
    settings = load_settings().settings
    try:
        packs = _read(files, settings)
        Rulebooks(in_company(packs, settings), Sounds(settings.merged_sounds))
    except RulePackError as error:
        _fail(error.problems)
    for pack in packs:
        sys.stdout.write(f"{pack.label}: {sum(1 for _ in pack.entries())} rules\n")


@rules_app.command()
def test(files: FilesArgument = None) -> None:
    """Run the examples of every rule, in the company of all rules of the industry. Ends with 1 when one does not hold."""
    settings = load_settings().settings
    try:
        packs = _read(files, settings)
        rulebooks = Rulebooks(in_company(packs, settings), Sounds(settings.merged_sounds))
    except RulePackError as error:
        _fail(error.problems)
    problems = check_examples(rulebooks, packs)
    if problems:
        _fail(problems)
    for pack in packs:
        examples = sum(len(getattr(e, "match", ())) + len(getattr(e, "no_match", ())) for _, e in pack.entries())
        sys.stdout.write(f"{pack.label}: {examples} examples hold\n")


@rules_app.command()
def show(files: FilesArgument = None, as_json: JsonOption = False) -> None:
    """What packs hold: every rule with section, id, name, category, severity and measure."""
    packs = _read(files, load_settings().settings)
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
    before, after = read_rule_pack(old), read_rule_pack(new)
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
    packs = in_company(_read(files, settings) if files else (), settings)
    judge = Judge(JudgeSettings(), rulebooks=Rulebooks(packs, Sounds(settings.merged_sounds)))
    speaker: Role = "agent" if role == "agent" else "customer"
    lines = [line for one in text for line in _lines(one, speaker)]
    transcript = imagined_transcript(lines, industry, tenant_id=tenant, course_type=course_type, direction=direction)
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


def _lines(text: str, speaker: Role) -> list[tuple[Role, str]]:
    named = text.replace(":", "：", 1).partition("：")[0].strip() in ("坐席", "客户", "未知")
    return lines_of((text,), speaker) if named else [(speaker, text)]


def _fail(problems: Iterable[str]) -> None:
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    raise typer.Exit(EXIT_PROBLEM)
