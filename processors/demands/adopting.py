"""A group of calls made a topic of a tenant's own rule pack: as text of the file, so that comments stay."""

import re
from collections.abc import Callable, Iterable, Sequence

import yaml

from processors.demands.unknown import UnknownDemand
from processors.text.syllables import syllables
from schemas.config.rule_pack import RulePack, parse_rule_pack

NOT_IT = "好的谢谢，再见"
"""What is none of any demand, where no other call gave an example."""

MOST_EXAMPLES = 5
_SECTION = re.compile(r"^topics:[ \t]*(#.*)?$", re.MULTILINE)
_FIRST_ENTRY = re.compile(r"^( *)- ", re.MULTILINE)
_VERSION = re.compile(r"^version:[ \t]*(\d+)", re.MULTILINE)


def suggested_name(demand: UnknownDemand) -> str:
    """The phrase that tells it best, for people."""
    return (demand.phrases or demand.words or (demand.cluster,))[0]


def suggested_id(name: str) -> str:
    """The name in syllables of the Latin alphabet: 积分清零 → ji_fen_qing_ling."""
    readings = syllables()
    parts = [readings[letter][0] if letter in readings else letter if letter.isascii() else "" for letter in name]
    slug = re.sub(r"[^a-z0-9]+", "_", "_".join(filter(None, parts)).lower()).strip("_")
    return slug[:60] if slug[:1].isalpha() else f"demand_{slug}"[:60].rstrip("_")


def topic_entry(
    topic_id: str,
    name: str,
    phrases: Sequence[str],
    match: Sequence[str],
    no_match: Sequence[str],
) -> dict[str, object]:
    """The topic as an entry of the section `topics`."""
    return {
        "id": topic_id,
        "name": name,
        "phrases": list(phrases),
        "match": list(match),
        "no_match": list(no_match),
    }


def new_pack(pack: str, tenant: str, industry: str, owner: str) -> str:
    """The head of a pack of a tenant's own that holds nothing yet."""
    head = {"pack": pack, "version": 0, "industry": industry, "tenant": tenant, "owner": owner}
    return yaml.safe_dump(head, allow_unicode=True, sort_keys=False)


def with_topic(text: str, entry: dict[str, object]) -> str:
    """The text of a pack with that topic as the first of its topics, and the next version; all else stays as it is."""
    lines = yaml.safe_dump([entry], allow_unicode=True, sort_keys=False, width=1_000, default_flow_style=None)
    raised = _VERSION.sub(lambda found: f"version: {int(found[1]) + 1}", text, count=1)
    section = _SECTION.search(raised)
    if section is None:
        return f"{raised.rstrip()}\ntopics:\n{_indented(lines, '  ')}"
    following = _FIRST_ENTRY.search(raised, section.end())
    indent = following[1] if following else "  "
    end = section.end() + 1
    return f"{raised[: section.end()]}\n{_indented(lines, indent)}{raised[end:]}"


def _indented(lines: str, indent: str) -> str:
    return "".join(f"{indent}{line}\n" for line in lines.rstrip().splitlines())


def examples_that_hold(
    demand: UnknownDemand, others: Iterable[str], phrases: Sequence[str], holds: Callable[[RulePack], bool]
) -> tuple[list[str], list[str]]:
    """Sentences in which the phrases are found, and sentences in which they are not, tried one by one."""

    def try_out(match: str, no_match: str) -> bool:
        entry = topic_entry("tried", "tried", phrases, [match], [no_match])
        return holds(parse_rule_pack("tried", with_topic(new_pack("tried", "tried", "general", "tried"), entry)))

    match = [quote.text[:300] for quote in demand.quotes if try_out(quote.text[:300], NOT_IT)]
    shown = match[0] if match else phrases[0]
    no_match = [text[:300] for text in others if try_out(shown, text[:300])]
    return (match or [shown])[:MOST_EXAMPLES], (no_match or [NOT_IT])[:MOST_EXAMPLES]
