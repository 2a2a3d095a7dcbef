"""`callstream demands adopt`."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.config.rule_pack import RulePack, RulePackError, parse_rule_pack
from schemas.config.yaml_files import YamlFileError
from schemas.errors import OperatorError
from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.output import end_with_problems
from streams.cli.demands.week import UNLIKELY, DemandTenantOption, UnlikelyOption, WeekOption, find_demands, name_of
from streams.cli.rules.packs import in_company
from streams.cli.rules.publish import publish_packs
from streams.settings import Settings


class NoSuchClusterError(OperatorError):
    """There is no group of that name in the week."""

    exit_code = EXIT_PROBLEM


def adopt(
    cluster: Annotated[str, typer.Argument(help="Name of a group that `callstream demands unknown` shows.")],
    topic_id: Annotated[str | None, typer.Option("--id", help="Id of the topic: a-z, 0-9 and _.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the topic, for people.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Rule pack of the tenant to write into; by default own_topics_TENANT.yaml here."),
    ] = None,
    phrase: Annotated[
        list[str] | None, typer.Option(help="Phrase that shows the topic, instead of those suggested; can be repeated.")
    ] = None,
    industry: Annotated[
        str, typer.Option(help="Of a pack that does not exist yet; general is for all calls.")
    ] = "general",
    owner: Annotated[str, typer.Option(help="Of a pack that does not exist yet: who answers for it.")] = "analysts",
    tenant: DemandTenantOption = None,
    week: WeekOption = None,
    unlikely: UnlikelyOption = UNLIKELY,
    publish: Annotated[bool, typer.Option("--publish", help="Put the pack into force at once.")] = False,
    by: Annotated[str, typer.Option(help="With --publish: who publishes it, for the record.")] = "unknown",
) -> None:
    """Make a topic of a group of calls that no topic covers.

    It is written into a rule pack of the tenant, with phrases, and quotes as examples, as the first of its topics. The
    version of the pack is raised; nothing else in the file changes. The pack is checked as by `callstream rules test`
    before it is written. Read the quotes first: names and numbers are masked in them, but they are words of callers.
    """
    from processors.demands.adopting import (
        examples_that_hold,
        new_pack,
        suggested_id,
        suggested_name,
        topic_entry,
        with_topic,
    )
    from processors.rules.examples import check_examples
    from processors.rules.rulebook import Rulebooks

    settings = command_settings()
    tenant_id, found = find_demands(settings, tenant, week, unlikely)
    demand = next((one for one in found.demands if one.cluster == cluster), None)
    if demand is None:
        raise NoSuchClusterError(
            f"{tenant_id} has no group of that name in {name_of(found.first_day)}: see `callstream demands unknown`"
        )
    phrases = tuple(phrase or demand.phrases)
    if not phrases:
        raise NoSuchClusterError("no words are said in this group alone: name some with --phrase")
    others = [quote.text for other in found.demands if other is not demand for quote in other.quotes[:1]]
    target = file or Path(f"own_topics_{tenant_id}.yaml")
    try:
        match, no_match = examples_that_hold(
            demand, others, phrases, lambda pack: not check_examples(Rulebooks([pack]))
        )
        chosen = name or suggested_name(demand)
        entry = topic_entry(topic_id or suggested_id(chosen), chosen, phrases, match, no_match)
        text = (
            target.read_text(encoding="utf-8")
            if target.exists()
            else new_pack(target.stem.lower().replace("-", "_"), tenant_id, industry, owner)
        )
        changed = with_topic(text, entry)
        pack = parse_rule_pack(str(target), changed)
        _check(pack, tenant_id, settings)
    except YamlFileError as error:
        end_with_problems(error.problems)
    target.write_text(changed, encoding="utf-8")
    typer.echo(f"{pack.label}: topic {pack.pack}.{entry['id']} written to {target}")
    if publish:
        publish_packs([target], by=by, note=f"{entry['id']} of {name_of(found.first_day)}")
        return
    typer.echo(f"to put it into force: callstream rules publish {target}")


def _check(pack: RulePack, tenant_id: str, settings: Settings) -> None:
    """Raises `RulePackError`."""
    from processors.text.phonetic import Sounds
    from streams.runtime.rules_feed import check_rulebooks

    if pack.tenant != tenant_id:
        raise RulePackError([f"{pack.label} is no pack of {tenant_id}: write into one with `tenant: {tenant_id}`"])
    check_rulebooks(in_company([pack], settings), Sounds(settings.merged_sounds), [pack])
