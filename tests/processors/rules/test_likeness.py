"""`like:` in rules: sentences that are like the examples of a rule, as suspicions."""

import pytest

from processors.judging.pipeline import Judge, JudgeSettings
from processors.rules.examples import check_examples, imagine_transcript
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import RULE_PACK_FOLDER, RulePackError, load_rule_packs, parse_rule_pack
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import Role

PACK = """\
pack: own
version: 3
industry: finance
tenant: acme
owner: us
categories: {forbidden_promise: 违规承诺}
rules:
  - id: sure_thing
    name: 稳赚
    category: forbidden_promise
    find: {by: agent, like: [我们这个稳赚不赔的, 闭着眼睛买都能赚钱]%s}
    match: [我们这个稳赚不赔的，您放心, 这个闭着眼睛买都能赚钱]
    no_match: [您的资料我帮您登记好了, 好的请您稍等一下]
"""


def judged(*lines: tuple[Role, str], pack: str = PACK % "", tenant: str = "acme") -> CallAnalysis:
    packs = [*load_rule_packs((RULE_PACK_FOLDER,)), parse_rule_pack("own.yaml", pack)]
    judge = Judge(JudgeSettings(), rulebooks=Rulebooks(packs))
    transcript = imagine_transcript(lines, "finance", tenant_id=tenant)
    return judge.judge(transcript, transcript.transcribed_at)


SOLD: tuple[tuple[Role, str], ...] = (
    ("agent", "您好这里是理财中心"),
    ("customer", "有风险吗"),
    ("agent", "我们这个稳赚不赔的，您放心买"),
)


def test_what_is_found_is_a_suspicion_with_its_example_and_how_alike() -> None:
    analysis = judged(*SOLD)
    (finding,) = [one for one in analysis.findings if one.detector == "like"]
    assert (finding.category, finding.rule_id, finding.rule_version) == (
        "suspected_forbidden_promise",
        "own.sure_thing",
        "3",
    )
    assert (finding.severity, finding.score_delta, finding.role) == ("info", 0, "agent")
    assert finding.attributes["example"] == "我们这个稳赚不赔的"
    assert finding.attributes["similarity"] == finding.confidence
    assert 0.45 <= finding.confidence <= 1
    assert "稳赚不赔" in finding.matched


def test_it_selects_by_itself_and_costs_nothing() -> None:
    analysis, other = judged(*SOLD), judged(*SOLD, tenant="other")
    assert analysis.measures["like_suspicions"] == 1
    assert analysis.selection is not None
    assert "like" in [one.name for one in analysis.selection.triggers]
    assert "like" not in [one.name for one in analysis.selection.certain]
    assert other.measures["like_suspicions"] is None
    assert analysis.risk == other.risk
    assert analysis.scorecard is not None
    assert other.scorecard is not None
    assert analysis.scorecard.score == other.scorecard.score


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        pytest.param([("customer", "我们这个稳赚不赔的，您放心买")], "the customer says it", id="by the customer"),
        pytest.param([("agent", "您的资料我帮您登记好了")], "it is not alike", id="another sentence"),
        pytest.param([("agent", "嗯")], "there is nothing to compare", id="a word"),
    ],
)
def test_what_is_not_meant_is_not_found(lines: list[tuple[Role, str]], why: str) -> None:
    assert [one for one in judged(*lines).findings if one.detector == "like"] == [], why


def test_a_higher_similarity_finds_less() -> None:
    line: tuple[Role, str] = ("agent", "我们这个是稳赚不赔的呀，您放心")
    found = [
        len([one for one in judged(line, pack=PACK % more).findings if one.detector == "like"])
        for more in ("", ", min_similarity: 0.99")
    ]
    assert found == [1, 0]


def test_its_examples_run_as_those_of_other_rules() -> None:
    own = parse_rule_pack("own.yaml", PACK % "")
    assert check_examples(Rulebooks([own])) == ()
    wrong = parse_rule_pack("own.yaml", (PACK % "").replace("好的请您稍等一下", "我们这个稳赚不赔的"))
    (problem,) = check_examples(Rulebooks([wrong]))
    assert "must not be found, but is" in problem


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        pytest.param(("    find:", "    severity: high\n    find:"), "severity info", id="a severity"),
        pytest.param(("    find:", "    score_delta: -5\n    find:"), "cost no points", id="points"),
        pytest.param(("    find:", "    measure: sold_sure\n    find:"), "take no measure", id="a measure"),
        pytest.param(("    find:", "    finding: missing\n    find:"), "finding must be found", id="missing"),
        pytest.param(("rules:", "threats:"), "only be used in rules of the section rules", id="a threat"),
        pytest.param(
            ("    find:", "    when: {none_of: [{like: [我已经说过有风险了]}]}\n    severity: high\n    find:"),
            "severity info",
            id="in a condition inside when",
        ),
    ],
)
def test_a_rule_may_not_make_more_of_it(changed: tuple[str, str], problem: str) -> None:
    pack = parse_rule_pack("own.yaml", (PACK % "").replace(*changed))
    with pytest.raises(RulePackError, match=problem):
        Rulebooks([pack])


@pytest.mark.parametrize(
    "find",
    [
        pytest.param("{say: [稳赚], min_similarity: 0.5}", id="a similarity of words"),
        pytest.param("{like: [稳赚]}", id="too short to tell"),
        pytest.param("{like: [我们这个稳赚不赔], say: [稳赚]}", id="two kinds in one"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused(find: str) -> None:
    text = (PACK % "").replace("{by: agent, like: [我们这个稳赚不赔的, 闭着眼睛买都能赚钱]}", find)
    with pytest.raises(RulePackError):
        parse_rule_pack("own.yaml", text)


def test_packs_without_it_have_the_digest_that_they_had() -> None:
    pack = parse_rule_pack(
        "own.yaml", (PACK % "").replace("like: [我们这个稳赚不赔的, 闭着眼睛买都能赚钱]", "say: [稳赚]")
    )
    assert "like" not in pack.model_dump_json()
    assert "min_similarity" not in pack.model_dump_json()
