"""`callstream rules try`."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from schemas.config.tenants import read_tenants
from schemas.config.yaml_files import YamlFileError
from schemas.messages.call_ended import Role
from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import end_with_problems, print_json
from streams.cli.console.without_rules import note_industry_without_rules
from streams.cli.rules.packs import bad_options, in_company, read_packs


def try_text(
    text: Annotated[
        list[str],
        typer.Option(
            "--text", help="What is said; a line may begin with 坐席：(agent) or 客户：(customer). Can be repeated."
        ),
    ],
    industry: Annotated[str, typer.Option(help="Industry of the invented call.")] = "general",
    role: Annotated[str, typer.Option(help="Who says lines that do not name a speaker: agent or customer.")] = "agent",
    tenant: Annotated[str, typer.Option(help="Tenant of the invented call.")] = "example",
    course_type: Annotated[str | None, typer.Option(help="Course type of the invented call.")] = None,
    direction: Annotated[str, typer.Option(help="Direction of the invented call: inbound or outbound.")] = "inbound",
    files: Annotated[
        list[Path] | None, typer.Option("--file", help="Pack to try out, together with those in use; can be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the rules find in a text that you make up."""
    from processors.judging.pipeline import Judge, JudgeSettings
    from processors.rules.examples import imagine_transcript
    from processors.text.phonetic import Sounds
    from streams.runtime.rules_feed import check_rulebooks

    if role not in ("agent", "customer"):
        raise typer.BadParameter(f"{role} is not a role: agent or customer", param_hint="--role")
    if direction not in ("inbound", "outbound"):
        raise typer.BadParameter(f"{direction} is not a direction: inbound or outbound", param_hint="--direction")
    settings = command_settings()
    try:
        packs = in_company(read_packs(files, settings) if files else (), settings)
        judge = Judge(
            JudgeSettings(tenants=read_tenants(settings.tenants_file)),
            rulebooks=check_rulebooks(packs, Sounds(settings.merged_sounds), (), settings.days),
        )
    except YamlFileError as error:
        end_with_problems(error.problems)
    speaker: Role = "agent" if role == "agent" else "customer"
    lines = [line for one in text for line in _lines(one, speaker)]
    try:
        transcript = imagine_transcript(lines, industry, tenant_id=tenant, course_type=course_type, direction=direction)
    except ValidationError as error:
        options = {"industry": "--industry", "tenant_id": "--tenant", "course_type": "--course-type"}
        raise bad_options(error, options, "--text") from None
    note_industry_without_rules(judge.rulebooks, transcript.call)
    analysis = judge.judge(transcript, transcript.transcribed_at)
    if as_json:
        print_json(analysis.model_dump(mode="json"))
        return
    for finding in analysis.findings:
        name = finding.attributes.get("name") or finding.rule_id
        words = f" 「{finding.matched}」" if finding.matched else ""
        example = finding.attributes.get("example")
        like = f" like 「{example}」" if example else ""
        typer.echo(f"{finding.severity}: {finding.rule_id} {name}{words}{like} ({finding.confidence:.2f})")
    for topic in analysis.topics:
        typer.echo(f"topic: {topic.topic_id} {topic.name} 「{topic.quote}」")
    for name, value in analysis.measures.items():
        if value is not None:
            typer.echo(f"{name} = {value}")


def _lines(text: str, speaker: Role) -> list[tuple[Role, str]]:
    from processors.rules.examples import lines_of

    named = text.replace(":", "：", 1).partition("：")[0].strip() in ("坐席", "客户", "未知")
    return lines_of((text,), speaker) if named else [(speaker, text)]
