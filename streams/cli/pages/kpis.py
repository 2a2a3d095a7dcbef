"""`docs/kpis.md`, made from the registry: `callstream kpi --markdown` writes it, a test keeps it."""

from processors.kpi.sql import VIEW_OF_DIMENSION, WIDE
from processors.kpi.statistics import bounds
from schemas.config.kpis.kpi import DIMENSIONS, Dimension, Kpi, KpiRegistry, read_kpis

KPIS_FILE = "docs/kpis.md"
"""Where the page stands in the repository."""

_INTRODUCTION = """\
# KPIs

Every KPI is defined once, in `schemas/config/kpis/kpis.yaml`; the views, `callstream kpi` and this page are
made from it.

* **What counts.** A KPI is Σ numerator ÷ Σ denominator over the calls that count. A call of which something was not
  measured does not count: null is never 0. `n` is the number of calls that count.
* **Interval.** Each value has a 95 % interval. Shares of calls: Wilson. Events: the limits of a Poisson count,
  widened where several events of one call come together; 0 sensitive words in 100 calls may still be 3.7 in a hundred,
  and 1 may be 5.6. Everything else: the delta method with the call as the unit. Sources stand in
  `processors/kpi/statistics.py`.
* **Agents are clusters.** The calls of one agent are alike: 2,000 calls of ten agents say less about a team than
  2,000 calls of two hundred. So the interval of a tenant, team or inquiry type is as wide as its agents differ
  (typically two to three times as wide as by calls alone): it answers how the value might be had other agents like
  these taken the calls. From fewer than three agents (few with most of the calls count as fewer) nobody can tell;
  then there is no interval and no trend, and the table says so. Of industries, queues, course types, order states,
  value tiers, topics and rated calls, and of KPIs that are made by a query, it is not known which agent counts; their
  intervals, and those of a single agent, say how far chance among calls goes and no more.
* **Target.** `reached` and `missed` go by the value. Below the minimum n the verdict is `too_few`, and nothing is
  said.
* **Pending.** Whether a matter was settled is known after a week, and of customers who answer at once, who are not like
  the others. While more than a tenth of the calls of a period are pending, its value, interval, verdict and trend are
  withheld: the verdict is `pending`, and the column `pending` says how many calls are to come. So the last 30 days have
  no first-contact resolution yet; ask with `--to` a day that is eight days past.
* **Trend.** Against the stretch of the same length before. Agents are compared with themselves: what is the same of
  an agent before and after falls out.
* **Many comparisons.** Of twenty KPIs that stay the same one looks changed. So every command that compares says how
  many comparisons it made, and gives each a **q-value**: if you take for real everything with a q-value up to 0.05,
  at most about one in twenty of what you take is chance (Benjamini and Hochberg 1995). A trend, a clear difference
  and a problem have one of at most 0.05. Comparisons count for each tenant and command: who asks for fewer KPIs,
  because only those are of interest, finds more. Choosing them after a look at all would be cheating.
* **Later knowledge.** Ratings and order states come after days, and a call may be judged again. The worker `rollup`
  makes the days anew that this concerns; values of past days may change.
* **Yours.** KPIs and targets of your own stand in a file ([kpis-of-your-own.md](kpis-of-your-own.md)).
* **One number, one name.** The metrics of the dashboards for Superset are made from the registry (`callstream kpi
  superset`), and a test compares them with this command. What looks alike has names of its own: `order_status`,
  `customer_value_tier` and `customer_tags` are those of the call, `newest_order_status` and so on what is known now;
  `score` of a call is that of its analysis, `settled_score` has what was settled later, and the KPI `score` is the
  mean of that one.
* **Not there:** the share of calls that people review, and how well reviewers agree, need reviews by people, which
  callstream does not have yet.

## Command line

```console
$ callstream kpi --by team --last 30d                 # the headline KPIs of each team, with targets and trends
$ callstream kpi --kpi sensitive_words --by agent --from 2026-03-01 --to 2026-03-31 --tenant acme --json
$ callstream kpi problems --last 30d                  # what is bad for everybody, for a team, for an agent (R64)
$ callstream kpi demands --last 7d --by-inquiry-type  # what customers call for, with quotes (R61, R62)
$ callstream kpi customers --last 30d                 # what customers of a value tier or tag call for (R63)
$ callstream kpi why-changed --kpi score --by topic --from 2026-03-01..2026-03-07 --to 2026-03-08..2026-03-14
$ callstream kpi rated --last 30d                     # how rated calls differ from unrated ones (R45)
$ callstream kpi training --on 2026-03-15 --agent A1 --agent A2 --agent A3 --agent A4   # before and after (R67)
$ callstream kpi hours --kpi non_talk --by-weekday     # by hour of the day, or as a map of the hours of the week
```

`--lang zh` prints Chinese; without it the language of the terminal decides. `--last 30d` is the last 30 days with
today, `--last 24h` hours. A day is the tenant's: in the time zone of the setting `timezone`, or in the tenant's own
([operations.md](operations.md#tenants)); `--from` and `--to` are days of each tenant.

`--by` takes {dimensions}. By `topic` and `team_topic` a call counts once for each of its topics, and for “–” where it
has none: these groups do not add up to the tenant. `tenure` is whole months since the agent's first day of work;
`rated` tells rated calls from unrated ones; misdials that nobody rated are neither.

## Views

| view | one row per |
|---|---|
{views}
| `kpi_hourly` | day, hour of that day, tenant, KPI; `hour_start` is when it began, in UTC |
{wide}
| `kpi_weekly`, `kpi_monthly` | week or month, tenant, KPI; `week` and `month` are its first day, a Monday or the 1st |
| `kpi_weekly_by`, `kpi_monthly_by` | week or month, tenant, `dimension`, group, KPI; ask for one dimension |
| `kpi_between(dimension = 'agent', first = '2026-03-01', last = '2026-03-31')` | group and KPI, all days together |
{queries}
| `why_changed(kpi = …, by = …, first_before = …, last_before = …, first = …, last = …)` | part of a change, and item |
| `rated_and_unrated(first = …, last = …)` | KPI, or topic: rated and unrated calls, and the difference |
| `kpis` | KPI: names, definition, formula, kind, unit, dimensions, target, minimum n |
| `demands(first = …, last = …)` | tenant, inquiry type, topic: calls, agitated, unresolved, examples |
| `customer_demands(first = …, last = …)` | tenant, value tier or tag, topic: calls, and those of all others |

Columns of the first ones: day, tenant, the group, `kpi`, `n`, `value`, `low`, `high`, `target`, `verdict`,
`numerator`, `denominator`. To take days together add up numerators and denominators, never values; or use
`kpi_between`. Views with `first` and `last` take days, both included, each tenant's own. A KPI without any
call that counts has no row. What is made by a query is only in its own view:
{query_ids}. `callstream migrate` makes all of these anew.

```sql
SELECT day, agent_team, value, low, high, verdict FROM kpi_team
WHERE tenant_id = 'acme' AND kpi = 'sensitive_words' AND day >= '2026-03-24' ORDER BY day, agent_team
```

## Common and individual problems

`callstream kpi problems` holds each agent against the team, each team against the tenant, and the tenant against the
target (R64). **Common** is what the tenant clearly misses, and half of the agents, too: a matter for scripts,
products, processes. **Of a team** or **individual** is what is worse than all others would be with the same calls:

* **The mix counts.** Some inquiry types are harder. The column *benchmark* is what the calls of this group would come
  to at the rates that all others have in each inquiry type, and *observed / expected* is what is left (0.9 of a share
  that should be high: a tenth less than others get out of such calls), with its 95 % interval. So a team with hard
  calls that does better than they predict is not shown. Inquiry types with fewer than 30 calls are taken together;
  calls of a type that hardly anybody else takes cannot be compared, and are left out. Within an inquiry type calls
  may still differ.
* **Nobody is in their own benchmark.** An agent is held against the others of the team, a team against all other teams;
  an agent without mates who have enough calls against the whole tenant.
* **A call counts for the team of its time.** Who changed teams appears in both, with the calls of each; the calls for
  the other team are not in the benchmark. `kpi --by agent` shows one line for each team; a tenant's interval and `kpi
  training` take them as one agent.
* **What chance is.** An agent is held against chance among calls: shown is who truly differs from the others. Where ten
  or more agents of a team are compared and most of them differ, differing is usual, and only who lies farther off than
  that is shown. A team is judged by its agents, not by its calls: that some of them are good or bad does not make a
  bad team, and with two or three agents hardly anything can be told.
* **q** is the share of chance findings among all that are at least as unlikely; shown is what has at most 0.05. Agents
  and teams are counted apart; the line below the table says how many comparisons both took. A team counts without its
  individual problems.

## Before and after a training

`callstream kpi training` compares the trained agents in the days from the date on with as many days before (R67), and
with all other agents of the tenant in the same time. *Effect* is told of *beyond others* alone: by how much more the
trained have changed than all others. Agents are the units, because each has good and bad months for reasons of their
own; without that, in simulation 42 to 60 % of trainings that did nothing had an effect. So name everybody who was
trained: of fewer than three agents, or with fewer than three others, nobody can tell (agents with few calls count for
less than one, so four are better). Agents who are chosen because of a bad month are mostly better in the next one
without any training; the others do not show that. Sensitive words are to reach 0: see the upper limit for how sure 0
is.

## Hours

`callstream kpi hours` takes the same hour of all days of the period together, by the tenant's clock; with
`--by-weekday` the same hour of all Mondays, and so on. A call belongs to the hour in which it ended. A value in
brackets is of fewer calls than the KPI needs (`minimum_n`): of 168 hours of a week some look bad by chance, and those
are mostly in brackets. KPIs that are made by a query are not kept by hour.

## Why a KPI changed

`callstream kpi why-changed` and the view `why_changed` split the change of a KPI between two stretches of days into
parts that add up to it ([why so](adr/0071-why-changed.md)): `late` (calls stored more than two days after they ended),
`industry`, `mix` (more or fewer calls of some groups of `--by`), `models`, `forms` and `rules` (calls judged by other
versions), `within` (the groups themselves, judged alike), and `volume`, which moves amounts and no ratio. `value` is in
the unit of the KPI, `amount` in that of its numerator. Where the versions changed with the first day of the second
stretch nobody can tell them from a real change: then `is_separable` is false, and the rest is `unexplained`. A part is
a sum, without an interval: look at n before you believe a small one.

```sql
SELECT part, item, value, n_before, n_after FROM why_changed(kpi = 'score', by = 'topic', first_before = '2026-03-01',
    last_before = '2026-03-07', first = '2026-03-08', last = '2026-03-14') WHERE tenant_id = 'acme'
```

## Rated calls, and people's judgement

Who answers a survey is not like who does not. `survey_response_rate` is how many were rated of the calls that could
have been; `callstream kpi rated` and the view `rated_and_unrated` hold every KPI, and the share of each topic, of rated
calls against unrated ones, with the interval of the difference; `--by rated` shows both with their values. `lift` takes
the customers' word for what is a problem, `lift_by_people` that of people who judged calls (`callstream verdicts`);
`selection_lift_by_people` says how much more often these confirm something in calls that a trigger selected.
Where people score calls, too, `satisfaction_match_by_people` and `satisfaction_within_10_by_people` hold their scores
against the ratings; of several people's the mean of what each said last counts.

## Demands and customers

`callstream kpi demands` compares the share of calls about each topic with the time before, `kpi customers` with that of
all other customers, and `callstream surges` with the same hour of past weeks. All topics of a tenant are compared
together: *clear* is a q-value of at most 0.05. `--customers` and `--most` choose what is shown, not what was compared.
Calls of the same customer count as independent, so topics of a few customers who call often look surer than they are.

"""


def kpi_markdown(registry: KpiRegistry | None = None) -> str:
    """The whole page."""
    registry = registry or read_kpis()
    views = "\n".join(
        f"| `{view}` | day, tenant{_group(dimension)}, KPI |" for dimension, view in VIEW_OF_DIMENSION.items()
    )
    wide = "\n".join(
        f"| `{view}` | day, tenant{'' if dimension == 'tenant' else ', ' + dimension}; one column per KPI |"
        for view, dimension in WIDE.items()
    )
    queries = "\n".join(f"| `kpi_{kpi.id}(first = …, last = …)` | tenant |" for kpi in registry.queries)
    text = _INTRODUCTION.format(
        dimensions=", ".join(f"`{dimension}`" for dimension in DIMENSIONS),
        views=views,
        wide=wide,
        queries=queries,
        query_ids=", ".join(f"`{kpi.id}`" for kpi in registry.queries),
    )
    rows = [("KPI", "name", "in Chinese", "better", "target", "source"), ("---",) * 6]
    rows += [
        (
            f"[`{kpi.id}`](#{kpi.id})",
            f"**{kpi.name.en}**" if kpi.headline else kpi.name.en,
            kpi.name.zh,
            kpi.direction,
            target_in_words(kpi),
            ", ".join(kpi.requirements) or "–",
        )
        for kpi in registry.kpis
    ]
    text += "## All KPIs\n\nThose in bold are shown where nobody says which.\n\n"
    text += "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return text + "\n## Definitions\n" + "".join(_entry(kpi) for kpi in registry.kpis)


def _group(dimension: Dimension) -> str:
    return "".join(f", `{column}`" for column in DIMENSIONS[dimension])


def target_in_words(kpi: Kpi) -> str:
    """`≥ 70 %`, and what differs by industry; – where no number is set."""
    targets = [] if kpi.target is None else [as_target(kpi, kpi.target)]
    targets += [f"{industry} {as_target(kpi, value)}" for industry, value in kpi.targets_by_industry.items()]
    return ", ".join(targets) or "–"


def as_target(kpi: Kpi, target: float) -> str:
    """`≥ 70 %`; the end of the scale without a sign."""
    shown = f"{100 * target:g} %" if kpi.unit == "share" else f"{target:g}"
    if target in (bound * kpi.scale for bound in bounds(kpi.unit)):
        return shown
    return f"{'≥' if kpi.direction == 'higher' else '≤'} {shown}"


def in_unit(kpi: Kpi, value: float) -> str:
    """A value as people read it."""
    match kpi.unit:
        case "share":
            return f"{100 * value:.1f} %"
        case "ms":
            return f"{value / 1000:.1f} s"
        case "per_minute":
            return f"{value:.0f}"
        case "score":
            return f"{value:.1f}"
        case _:
            return f"{value:.2f}"


def _entry(kpi: Kpi) -> str:
    scale = "" if kpi.scale == 1 else f", times {kpi.scale:g}"
    if kpi.ratio is not None:
        above, below = (" ".join(part.split()) for part in (kpi.ratio.numerator, kpi.ratio.denominator))
        formula = f"* formula: Σ `{above}` ÷ {'n' if below == '1' else f'Σ `{below}`'}{scale}\n"
    else:
        rows = kpi.query.rows.strip() if kpi.query else ""
        what = (
            "correlation of numerator and denominator" if kpi.kind == "correlation" else "Σ numerator ÷ Σ denominator"
        )
        formula = f"* formula: {what}{scale}, over the rows of\n\n```sql\n{rows}\n```\n\n"
        if len(kpi.dimensions) == 1:
            formula += f"* by: {kpi.dimensions[0]} only\n"
    return (
        f"\n### {kpi.id}\n\n{kpi.definition.en}\n\n{kpi.name.zh}：{kpi.definition.zh}\n\n"
        f"{formula}* unit: {kpi.unit}; better: {kpi.direction}; target: {target_in_words(kpi)}; "
        f"minimum n: {kpi.minimum_n}\n* does not count: {kpi.null_rule}\n* does not tell: {kpi.does_not_tell}\n"
        f"* needs: {kpi.source}\n"
    )
