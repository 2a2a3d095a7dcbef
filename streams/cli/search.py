"""`callstream search`: calls by any combination of conditions, newest first."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, get_args

import typer
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from processors.clickhouse.search_sql import DEFAULT_LIMIT, MOST_HITS, FoundCall, Page, Quote, SearchQuery
from processors.custody.audit_entry import AuditEntry
from processors.custody.authorization import Actor, Decision, Reach, Target, reach_of
from processors.rules.acts import Act, act_named
from schemas.config.console_url import ConsoleUrl
from schemas.config.tenants import TenantDays
from schemas.messages.call_analysis import SUSPECTING, TRIGGER_NAMES
from schemas.messages.call_ended import Role
from streams.cli.command_settings import command_settings
from streams.cli.console.access import PermittedCommand, refuse, require_reach
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.console.phone_number import read_phone_number
from streams.cli.console.saved_search import (
    criteria_to_keep,
    forget_saved,
    keep_search,
    list_saved,
    recall_search,
)
from streams.cli.console.search_words import parse_step, parse_within, parse_words
from streams.cli.console.table_file import CsvOption, FileTable, TableFiles, XlsxOption
from streams.cli.console.times import parse_moment, parse_span
from streams.cli.kpi.options import LangOption, choose_language
from streams.cli.kpi.words import Language
from streams.settings import Settings

CONTEXT = 18
"""Characters of a quote that the table shows on each side of what was found."""


def search(
    context: typer.Context,
    phrase: Annotated[
        list[str] | None,
        typer.Argument(help="Keywords or phrases, exactly as they appear within one segment of the transcript."),
    ] = None,
    tenant: Annotated[
        list[str] | None,
        typer.Option(help="Tenant whose calls are searched; can be repeated. Not needed where there is only one."),
    ] = None,
    role: Annotated[str | None, typer.Option(help="Who said every PHRASE and --as-heard: agent or customer.")] = None,
    said_by_customer: Annotated[
        list[str] | None, typer.Option("--customer-said", help="Phrase said by the customer; can be repeated.")
    ] = None,
    said_by_agent: Annotated[
        list[str] | None, typer.Option("--agent-said", help="Phrase said by the agent; can be repeated.")
    ] = None,
    as_heard: Annotated[
        list[str] | None,
        typer.Option(
            "--as-heard",
            metavar="TEXT",
            help="Phrase by its sound, however it was written: 保本保息 also finds 保本保溪. --role says by whom.",
        ),
    ] = None,
    not_said: Annotated[
        list[str] | None, typer.Option("--not-said", help="Phrase that nobody said; can be repeated.")
    ] = None,
    not_said_by_customer: Annotated[
        list[str] | None, typer.Option("--customer-did-not-say", help="Phrase that the customer did not say.")
    ] = None,
    not_said_by_agent: Annotated[
        list[str] | None, typer.Option("--agent-did-not-say", help="Phrase that the agent did not say.")
    ] = None,
    did: Annotated[
        list[str] | None,
        typer.Option("--did", metavar="ACT", help="Act of the rule packs that was done in words: apologizes."),
    ] = None,
    did_not: Annotated[
        list[str] | None, typer.Option("--did-not", metavar="ACT", help="Act that was not done in these words.")
    ] = None,
    followed_by: Annotated[
        list[str] | None,
        typer.Option(
            "--followed-by",
            metavar="WHAT",
            help="What comes after the phrase or finding that is searched for: agent:抱歉|对不起, customer:…, "
            "anybody:…, @ACT or rule:ID. See --within.",
        ),
    ] = None,
    not_followed_by: Annotated[
        list[str] | None, typer.Option("--not-followed-by", metavar="WHAT", help="What does not come after it.")
    ] = None,
    preceded_by: Annotated[
        list[str] | None, typer.Option("--preceded-by", metavar="WHAT", help="What comes before it.")
    ] = None,
    not_preceded_by: Annotated[
        list[str] | None, typer.Option("--not-preceded-by", metavar="WHAT", help="What does not come before it.")
    ] = None,
    within: Annotated[
        str | None,
        typer.Option(help="How long before or after, from the end of one to the beginning of the other: 30s, 2m."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", help="Calls that ended at this time or later: 2026-01-01, 2026-01-01T08:00+08:00."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Calls that ended before this time.")] = None,
    last: Annotated[
        str | None, typer.Option(help="Calls that ended in the last 12h, 30d, 8w; instead of --from.")
    ] = None,
    call: Annotated[list[str] | None, typer.Option(help="Call id; can be repeated, like most options here.")] = None,
    agent: Annotated[list[str] | None, typer.Option(help="Agent id.")] = None,
    team: Annotated[list[str] | None, typer.Option(help="Team.")] = None,
    phone: Annotated[
        str | None,
        typer.Option(help="The customer's number, or - to read it from standard input; only its keyed hash is sent."),
    ] = None,
    queue: Annotated[list[str] | None, typer.Option(help="Queue.")] = None,
    inquiry_type: Annotated[list[str] | None, typer.Option(help="Inquiry type.")] = None,
    order: Annotated[list[str] | None, typer.Option(help="Order id.")] = None,
    order_status: Annotated[list[str] | None, typer.Option(help="Status of the order at the time of the call.")] = None,
    newest_order_status: Annotated[
        list[str] | None, typer.Option(help="Status of the order as it became known since.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag of the customer at the time of the call.")] = None,
    tier: Annotated[list[str] | None, typer.Option(help="Value tier of the customer at the time of the call.")] = None,
    direction: Annotated[list[str] | None, typer.Option(help="Direction: inbound or outbound.")] = None,
    topic: Annotated[list[str] | None, typer.Option(help="Topic id.")] = None,
    risk: Annotated[list[str] | None, typer.Option(help="Risk level: low, medium or high.")] = None,
    selected: Annotated[
        bool, typer.Option("--selected", help="Only calls that a trigger selected for review, whatever their risk.")
    ] = False,
    trigger: Annotated[
        list[str] | None, typer.Option(help=f"What selected the call for review: {', '.join(TRIGGER_NAMES)}.")
    ] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Id of a rule, of any detector, that found something.")] = None,
    not_rule: Annotated[list[str] | None, typer.Option("--not-rule", help="Id of a rule that found nothing.")] = None,
    word: Annotated[list[str] | None, typer.Option(help="Sensitive word that was found, as it was heard.")] = None,
    sensitive: Annotated[bool, typer.Option("--sensitive", help="Only calls with sensitive words.")] = False,
    score: Annotated[str | None, typer.Option(help="Range of the score: 80..100, 80.., ..59.5.")] = None,
    agitation: Annotated[
        str | None, typer.Option(help="Range of the customer's highest agitation, 0 to 1: 0.8.. for the most agitated.")
    ] = None,
    duration: Annotated[str | None, typer.Option(help="Range of the recording's length in seconds: 180..480.")] = None,
    silence: Annotated[
        str | None, typer.Option(help="Range of the longest silence in seconds, as 10.. for 10 s or longer.")
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option("--measure", metavar="NAME=RANGE", help="Range of a measure: interruptions_agent=3.."),
    ] = None,
    outcome: Annotated[list[str] | None, typer.Option(help="Outcome: analyzed, too_short, no_audio …")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_HITS, help="Calls on a page.")] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None, typer.Option(help="Continue after the page that printed this cursor (next_cursor in JSON).")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Reason for the audit log, in one word: complaint, sampling, training, audit …")
    ] = None,
    ticket: Annotated[
        str | None, typer.Option(help="Id of the case that the search is for, for the audit log.")
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Keep the criteria of this search under a name, for this account alone."),
    ] = None,
    _saved: Annotated[
        str | None,
        typer.Option(
            "--saved",
            metavar="NAME",
            is_eager=True,
            callback=recall_search,
            help="Search by the criteria that were kept; what is given besides replaces what was kept of it.",
        ),
    ] = None,
    _list_saved: Annotated[
        bool,
        typer.Option("--list-saved", is_eager=True, callback=list_saved, help="Show the searches that were kept."),
    ] = False,
    _forget: Annotated[
        str | None,
        typer.Option(
            "--forget", metavar="NAME", is_eager=True, callback=forget_saved, help="Remove a search that was kept."
        ),
    ] = None,
    csv: CsvOption = None,
    xlsx: XlsxOption = None,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find calls by any combination of criteria, newest first.

    Criteria are who, when, what about, how the call went, and what was said. A call must fit every option that is
    given; an option that is repeated fits with any of its values. A phrase matches character by character within one
    segment; for 客户说过“退款” write --customer-said 退款. --as-heard finds what the recogniser wrote otherwise.

    --followed-by, --preceded-by and their opposites are told of the one phrase that is searched for or, without a
    phrase, of the findings of --rule, --word and --sensitive: for 客户说12315后坐席30秒内未道歉 write
    --customer-said 12315 --not-followed-by @apologizes --within 30s.

    --phone and --order need a role that sees who the customer is; to other roles, calls are shown without the order.
    Roles that see no suspicions, such as agent, find no call by them: not by --rule, --selected or --trigger.

    --save keeps criteria, never results, and none that tells a customer apart (--phone, --order).
    --csv and --xlsx write the page to a file, with headings in the language of --lang.

    Every search is recorded in the audit log before anything is shown: who searched, when, by which criteria and how
    many calls were found; never the words.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.cli.console.audit import enter
    from streams.ports import SystemClock
    from streams.queries.search import SearchError, unknown_values
    from streams.queries.search import search as find

    settings = command_settings()
    _check_purpose(reason, ticket)
    files, language = TableFiles.asked_for(csv, xlsx, as_json=as_json), choose_language(lang)
    to_keep = None if save is None else criteria_to_keep(context, save)
    if role is not None and role not in get_args(Role):
        raise SearchError(f"--role: {' or '.join(get_args(Role))}")
    if since and last:
        raise SearchError("give either --from or --last, not both")
    days = settings.days
    zone = days.zone_of(tenant[0] if tenant and len(tenant) == 1 else None)
    sounds = tuple(sorted(settings.merged_sounds))
    phrases: list[dict[str, Any]] = [
        *({"text": text, "role": role} for text in phrase or ()),
        *({"text": text, "role": "customer"} for text in said_by_customer or ()),
        *({"text": text, "role": "agent"} for text in said_by_agent or ()),
        *({"text": text, "role": role, "as_heard": True, "merged_sounds": sounds} for text in as_heard or ()),
    ]
    tenants = tenant or [_only_tenant(settings)]

    def act(name: str) -> Act:
        from streams.runtime.rules_feed import packs_at_hand

        return act_named(name, packs_at_hand(settings.rules_folder), tenants[0] if len(tenants) == 1 else None)

    phrases += [parse_words(f"@{name}", "--did", act) for name in did or ()]
    not_phrases = [
        *({"text": text} for text in not_said or ()),
        *({"text": text, "role": "customer"} for text in not_said_by_customer or ()),
        *({"text": text, "role": "agent"} for text in not_said_by_agent or ()),
        *(parse_words(f"@{name}", "--did-not", act) for name in did_not or ()),
    ]
    sides = (
        ("--followed-by", followed_by, {"side": "after"}),
        ("--not-followed-by", not_followed_by, {"side": "after", "absent": True}),
        ("--preceded-by", preceded_by, {"side": "before"}),
        ("--not-preceded-by", not_preceded_by, {"side": "before", "absent": True}),
    )
    steps = [
        {**parse_step(text, option, act), **told, "within_ms": within and parse_within(within)}
        for option, texts, told in sides
        for text in texts or ()
    ]
    if within and not steps:
        raise SearchError(
            "--within says how long before or after: give --followed-by, --preceded-by or their opposites"
        )
    keys: set[str] = set()
    if phone is not None:
        number = read_phone_number("--phone", phone)
        keys.update(*(settings.customer_keys.every(each, number) for each in tenants))
    wanted: dict[str, Any] = {
        "tenants": tenants,
        "since": SystemClock().now() - parse_span(last, "--last")
        if last
        else since and parse_moment(since, "--from", zone),
        "until": until and parse_moment(until, "--to", zone),
        "call_ids": call,
        "agents": agent,
        "teams": team,
        "customer_keys": sorted(keys),
        "queues": queue,
        "inquiry_types": inquiry_type,
        "order_ids": order,
        "order_statuses": order_status,
        "newest_order_statuses": newest_order_status,
        "tags": tag,
        "value_tiers": tier,
        "directions": direction,
        "topics": topic,
        "risks": risk,
        "selected": selected,
        "triggers": trigger,
        "rules": rule,
        "not_rules": not_rule,
        "words": word,
        "sensitive": sensitive,
        "outcomes": outcome,
        "phrases": phrases,
        "not_phrases": not_phrases,
        "steps": steps,
        "measures": _measures(measure, silence),
        **_range("score", score),
        **_range("agitation", agitation),
        **{f"{name}_ms": round(value * 1000) for name, value in _range("duration", duration).items()},
    }
    query = _query({name: value for name, value in wanted.items() if value not in (None, [], ())})
    allowed, query = _narrowed(settings, query)
    query = _without_what_is_hidden(settings, allowed, query)
    client = connect(settings.clickhouse_url.get_secret_value())
    try:
        page = find(client, query, limit=limit, cursor=cursor)
        unknown = [] if page.hits or cursor else unknown_values(client, query)
    finally:
        client.close()
    enter(settings, *_accesses(query, page, allowed, reason, ticket))
    page = _shown(page, allowed.actor)
    console_url = ConsoleUrl(settings.console_url)
    if save is not None and to_keep is not None:
        keep_search(settings, save, to_keep)
    for sentence in unknown:
        typer.echo(sentence, err=True)
    if as_json:
        print_json({"calls": [_with_links(hit, console_url) for hit in page.hits], "next_cursor": page.next_cursor})
        return
    if files:
        files.write(_file_table(page, days, console_url, language))
        if page.next_cursor is not None:
            typer.echo(f"for more, run the same command with --cursor {page.next_cursor} and another file", err=True)
        return
    _print(page, days, console_url)


def _only_tenant(settings: Settings) -> str:
    """The tenant where there is one alone. Raises `SearchError` where there are several."""
    from streams.adapters.clickhouse.connection import connect
    from streams.queries.search import only_tenant

    client = connect(settings.clickhouse_url.get_secret_value())
    try:
        return only_tenant(client)
    finally:
        client.close()


def _narrowed(settings: Settings, query: SearchQuery) -> tuple[PermittedCommand, SearchQuery]:
    """Who searches, and the search within the teams or the agents of whoever has a role for these alone.

    Raises `NotAllowedError` where it asks for others, and `SearchError` where it has to say more.
    """
    from streams.queries.search import SearchError

    tells_customers = bool(query.customer_keys or query.order_ids)
    allowed, reaches = require_reach(
        settings, "see_text", query.tenants, entered_as="searched", field="customer" if tells_customers else None
    )
    narrowed = {tenant: reach for tenant, reach in reaches.items() if not reach.whole_tenant}
    if not narrowed:
        return allowed, query
    if len(reaches) > 1:
        raise SearchError("your roles reach single teams or agents: search one --tenant at a time")
    ((tenant, reach),) = narrowed.items()
    teams, agents = set(query.teams), set(query.agents)
    if _is_within(query, reach):
        return allowed, query
    if (teams or not reach.teams) and (agents or not reach.agents):
        decision = Decision(allowed=False, reason="other_team" if teams else "other_agent", role=allowed.role)
        refuse(settings, allowed.actor, decision, Target(tenant), "searched")
    if reach.teams and reach.agents:
        raise SearchError("your roles reach a team and an agent: say --team or --agent")
    if reach.teams:
        return allowed, query.model_copy(update={"teams": tuple(sorted(reach.teams))})
    return allowed, query.model_copy(update={"agents": tuple(sorted(reach.agents))})


def _without_what_is_hidden(settings: Settings, who: PermittedCommand, query: SearchQuery) -> SearchQuery:
    """The search without suspicions, unless each call that it may find is one of which they are shown.

    Raises `NotAllowedError` where it asks for a trigger that rests on one.
    """
    hidden_in = [
        tenant
        for tenant in query.tenants
        if not _is_within(query, reach_of(who.actor, "see_text", tenant, "suspicion"))
    ]
    if not hidden_in:
        return query
    if set(query.triggers) & set(SUSPECTING):
        decision = Decision(allowed=False, reason="no_suspicion", role=who.role)
        refuse(settings, who.actor, decision, Target(hidden_in[0]), "searched")
    return query.model_copy(update={"with_suspicions": False})


def _is_within(query: SearchQuery, reach: Reach) -> bool:
    """Whether the search asks for calls of the reach alone."""
    teams, agents = set(query.teams), set(query.agents)
    of_teams, of_agents = bool(teams) and teams <= reach.teams, bool(agents) and agents <= reach.agents
    return reach.whole_tenant or of_teams or of_agents


def _shown(page: Page, who: Actor) -> Page:
    """Without what leads to a customer, where no role shows it of that call."""
    reaches = {hit.tenant_id: reach_of(who, "see_text", hit.tenant_id, "customer") for hit in page.hits}
    hits = (
        hit if reaches[hit.tenant_id].has(hit.agent_id, hit.agent_team) else hit.model_copy(update={"order_id": None})
        for hit in page.hits
    )
    return replace(page, hits=tuple(hits))


def _accesses(
    query: SearchQuery, page: Page, who: PermittedCommand, reason: str | None, ticket: str | None
) -> list[AuditEntry]:
    """An entry for each tenant that was asked for."""
    from streams.cli.console.audit import access_entry

    asked = query.model_dump(exclude_defaults=True, exclude={"tenants", "with_suspicions"})
    return [
        access_entry(
            "searched",
            tenant,
            tuple(asked),
            sum(hit.tenant_id == tenant for hit in page.hits),
            who=who,
            reason=reason,
            ticket=ticket,
        )
        for tenant in query.tenants
    ]


def _check_purpose(reason: str | None, ticket: str | None) -> None:
    """They are told in the log of access, too, which takes no sentence. Raises `SearchError`."""
    from streams.queries.search import SearchError

    if (reason is not None and not _REASON.fullmatch(reason)) or (ticket is not None and not _TICKET.fullmatch(ticket)):
        raise SearchError("--reason must be one word of a to z and _, and --ticket an id without spaces")


_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TICKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")


_OPTIONS = {
    "tenants": "--tenant",
    "call_ids": "--call",
    "agents": "--agent",
    "teams": "--team",
    "queues": "--queue",
    "inquiry_types": "--inquiry-type",
    "order_ids": "--order",
    "topics": "--topic",
    "risks": "--risk",
    "triggers": "--trigger",
    "order_statuses": "--order-status",
    "newest_order_statuses": "--newest-order-status",
    "tags": "--tag",
    "value_tiers": "--tier",
    "directions": "--direction",
    "measures": "--measure",
    "not_phrases": "a phrase that was not said",
    "steps": "what comes before or after",
    "not_rules": "--not-rule",
    "rules": "--rule",
    "words": "--word",
    "outcomes": "--outcome",
    "phrases": "a phrase",
    "score_min": "--score",
    "score_max": "--score",
    "agitation_min": "--agitation",
    "agitation_max": "--agitation",
    "duration_min_ms": "--duration",
    "duration_max_ms": "--duration",
    "since": "--from",
    "until": "--to",
}


def _query(wanted: dict[str, Any]) -> SearchQuery:
    """Raises `SearchError`, by the names of the options and without their values."""
    from streams.queries.search import SearchError

    problems = []
    try:
        return SearchQuery.model_validate(wanted)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            name = str(problem["loc"][0]) if problem["loc"] else ""
            problems.append(f"{_OPTIONS.get(name, name)}: {problem['msg']}".removeprefix(": "))
    raise SearchError("; ".join(dict.fromkeys(problems)))


def _range(name: str, text: str | None) -> dict[str, float]:
    """`80..100`, `80..`, `..100` or `80` as lower and upper bound."""
    from streams.queries.search import SearchError

    if text is None:
        return {}
    least, dots, most = text.partition("..")
    bounds = {f"{name}_min": least, f"{name}_max": most if dots else least}
    try:
        found = {bound: float(value) for bound, value in bounds.items() if value.strip()}
    except ValueError:
        found = {}
    if not found or any(not abs(value) <= 1e15 for value in found.values()):
        raise SearchError(f"--{name} is not a range: write 10..20, 10.. or ..20")
    return found


def _measures(measures: list[str] | None, silence: str | None) -> list[dict[str, Any]]:
    """Raises `SearchError`."""
    from streams.queries.search import SearchError

    wanted = []
    for text in measures or ():
        name, equals, range_ = text.partition("=")
        if not equals:
            raise SearchError("--measure is no name and range: write NAME=10..20; docs/measures.md has the names")
        bounds = _range(f"measure {name}", range_)
        wanted.append({"name": name, **_bounds(bounds)})
    if silence is not None:
        bounds = {name: 1000 * value for name, value in _range("silence", silence).items()}
        wanted.append({"name": "longest_silence_ms", **_bounds(bounds)})
    return wanted


def _bounds(found: dict[str, float]) -> dict[str, float]:
    return {"least" if name.endswith("_min") else "most": value for name, value in found.items()}


def _with_links(hit: FoundCall, console_url: ConsoleUrl) -> dict[str, Any]:
    """The call as JSON, with the link to it and to the moment of each quote; empty without a console."""
    found = hit.model_dump(mode="json")
    found["call_url"] = console_url.link(hit.tenant_id, hit.call_id, _moment(hit))
    for quote in found["quotes"]:
        quote["call_url"] = console_url.link(hit.tenant_id, hit.call_id, quote["start_ms"])
    return found


def _moment(hit: FoundCall) -> int | None:
    """Of the first quote that has one."""
    return next((quote.start_ms for quote in hit.quotes if quote.start_ms is not None), None)


def _print(page: Page, days: TenantDays, console_url: ConsoleUrl) -> None:
    if not page.hits:
        typer.echo("no calls found" if page.next_cursor is None else "no calls on this page")
        return
    table = Table("ended", "call", "agent", "seconds", "risk", "selected by", "score", "found")
    for hit in page.hits:
        link = console_url.link(hit.tenant_id, hit.call_id, _moment(hit))
        table.add_row(
            f"{hit.ended_at.astimezone(days.zone_of(hit.tenant_id)):%Y-%m-%d %H:%M:%S}",
            "\n".join(part for part in (f"{hit.tenant_id}/{hit.call_id}", link) if part),
            hit.agent_id if hit.agent_team is None else f"{hit.agent_id} ({hit.agent_team})",
            "" if hit.duration_ms is None else f"{hit.duration_ms / 1000:.0f}",
            hit.risk_level or "",
            ", ".join(hit.triggers),
            "" if hit.score is None else f"{hit.score:.0f}",
            _found(hit),
        )
    console().print(table)
    if page.next_cursor is not None:
        typer.echo(f"for more, run the same command with --cursor {page.next_cursor}")


_HEADINGS: Mapping[Language, tuple[str, ...]] = {
    "zh": (
        *("租户", "通话编号", "结束时间", "开始时间", "方向", "坐席", "班组", "队列", "咨询类型", "订单号", "结果"),
        *("录音时长（秒）", "风险等级", "入选原因", "评分", "客户激动程度", "诉求", "命中内容", "链接"),
    ),
    "en": (
        *("tenant", "call", "ended", "started", "direction", "agent", "team", "queue", "inquiry type", "order"),
        *("outcome", "recording in s", "risk level", "selected by", "score", "agitation", "topics", "found", "link"),
    ),
}


def _file_table(page: Page, days: TenantDays, console_url: ConsoleUrl, language: Language) -> FileTable:
    """A row for each call, in the order of the page; times by the clock of the tenant."""
    rows = []
    for hit in page.hits:
        zone = days.zone_of(hit.tenant_id)
        rows.append(
            (
                *(hit.tenant_id, hit.call_id, hit.ended_at.astimezone(zone), hit.started_at.astimezone(zone)),
                *(hit.direction, hit.agent_id, hit.agent_team, hit.queue, hit.inquiry_type, hit.order_id, hit.outcome),
                None if hit.duration_ms is None else hit.duration_ms / 1000,
                *(hit.risk_level, ", ".join(hit.triggers), hit.score, hit.agitation, ", ".join(hit.topics)),
                "\n".join(_quoted(quote).plain for quote in hit.quotes),
                console_url.link(hit.tenant_id, hit.call_id, _moment(hit)),
            )
        )
    return FileTable("search", _HEADINGS[language], rows)


def _found(hit: FoundCall) -> Text:
    """The first two quotes, or what the call was about."""
    if not hit.quotes:
        return Text(hit.outcome if hit.outcome != "analyzed" else ", ".join(hit.topics))
    return Text("\n").join(_quoted(quote) for quote in hit.quotes[:2])


def _quoted(quote: Quote) -> Text:
    at = "" if quote.start_ms is None else f"{quote.start_ms // 60_000}:{quote.start_ms // 1000 % 60:02d} "
    shown = Text(f"{at}{quote.role}: ")
    start = max(0, quote.spans[0].start - CONTEXT) if quote.spans else 0
    end = min(len(quote.text), quote.spans[-1].end + CONTEXT) if quote.spans else len(quote.text)
    words = Text(quote.text)
    for span in quote.spans:
        words.stylize("bold reverse", span.start, span.end)
    return shown + Text("…" if start else "") + words[start:end] + Text("…" if end < len(quote.text) else "")
