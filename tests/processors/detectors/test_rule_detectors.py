"""Detectors that read rules: scripts, threats, other rules, procedures, checklists, claims, topics."""

from datetime import UTC, date, datetime
from typing import Any, ClassVar

import pytest

from processors.detectors import find_detectors
from processors.detectors.base.contract import Detector, DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.rule_detector import COUNTS, DISCLOSURES
from processors.judging.call_context import CallContext
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import RulePack
from schemas.config.tenants import TenantDays, TenantEntry, Tenants
from schemas.messages.call_analysis import TopicMention
from schemas.messages.finding import Finding
from schemas.messages.transcript import Transcript
from tests.processors.rules.rule_packs import Line, called, pack_of, rule
from tests.processors.transcripts import heard

ADVICE = {"advice": "请说明", "match": ["甲"], "no_match": ["乙"]}


def detector_of(name: str, *packs: RulePack) -> Detector:
    """The detector of that name with these packs."""
    context = DetectorContext(Rulebooks(packs))
    (found,) = (detector for detector in find_detectors(context) if detector.name == name)
    return found


def results(name: str, pack: RulePack, transcript: Transcript, **measures: Any) -> list[Result]:
    return list(detector_of(name, pack).process(CallContext(transcript, measures=measures)))


def findings(found: list[Result]) -> list[Finding]:
    return [result for result in found if isinstance(result, Finding)]


def every_measure(found: list[Result]) -> dict[str, Any]:
    """Name → value, or the reason why there is none."""
    values: dict[str, Any] = {result.name: result.value for result in found if isinstance(result, Measure)}
    return values | {result.measure: result.reason for result in found if isinstance(result, NotMeasured)}


def measures(found: list[Result]) -> dict[str, Any]:
    """The same of the measures of rules; how many rules were asked and kept has tests of its own."""
    of_sections = {name for names in (*COUNTS.values(), DISCLOSURES) for name in names}
    return {name: value for name, value in every_measure(found).items() if name not in of_sections}


NOTICE = pack_of(
    mandatory_scripts=[
        {
            "id": "recording_notice",
            "name": "录音告知",
            "measure": "recording_notice",
            "advice": "请先告知录音",
            "find": [
                {"event": {"field": "recording_notice_played", "equals": True}},
                {"say": ["通话…录音"], "first_s": 60},
            ],
            "match": ["本次通话将录音"],
            "no_match": ["您好"],
        }
    ]
)


class TestMandatoryScripts:
    def test_what_was_said_is_shown_with_its_words(self) -> None:
        found = results(
            "mandatory_scripts", NOTICE, called(("agent", "您好，本次通话将录音。请讲"), ("customer", "好"))
        )
        (finding,) = findings(found)
        assert measures(found) == {"recording_notice": True}
        assert (finding.category, finding.severity, finding.score_delta) == ("script_found", "info", 0)
        assert (finding.attributes["source"], finding.matched) == ("speech", "通话将录音")
        assert finding.quote == "您好，本次通话将录音。"

    def test_what_telephony_played_needs_no_words_and_the_finding_says_so(self) -> None:
        found = results("mandatory_scripts", NOTICE, called(("agent", "您好"), recording_notice_played=True))
        (finding,) = findings(found)
        assert measures(found) == {"recording_notice": True}
        assert (finding.attributes["source"], finding.matched) == ("telephony", "")

    @pytest.mark.parametrize(
        "lines",
        [
            pytest.param([("agent", "您好，请讲")], id="nobody said it"),
            pytest.param([("customer", "本次通话将录音吗")], id="only the customer said it"),
            pytest.param([("agent", "您好，本次通话不会录音")], id="it was denied"),
            pytest.param([("agent", "啊" * 350), ("agent", "本次通话将录音")], id="too late"),
        ],
    )
    def test_what_is_missing_is_a_finding(self, lines: list[Line]) -> None:
        found = results("mandatory_scripts", NOTICE, called(*lines))
        (finding,) = findings(found)
        assert measures(found) == {"recording_notice": False}
        assert (finding.category, finding.severity, finding.quote) == ("missing_script", "medium", "")
        assert finding.attributes["advice"] == "请先告知录音"

    def test_a_recogniser_that_writes_another_character_hides_no_script(self) -> None:
        assert measures(results("mandatory_scripts", NOTICE, called(("agent", "本次通话讲录印")))) == {
            "recording_notice": True
        }

    def test_on_a_recording_of_unknown_speakers_it_may_have_been_anybody(self) -> None:
        found = results("mandatory_scripts", NOTICE, called(("unknown", "本次通话将录音"), ("unknown", "我要退款")))
        assert measures(found) == {"recording_notice": "speaker_unknown"}
        assert findings(found) == []

    def test_it_is_not_asked_of_a_call_that_it_is_not_for(self) -> None:
        script = NOTICE.mandatory_scripts[0].model_dump(exclude_unset=True)
        outbound = pack_of(mandatory_scripts=[script | {"applies": {"directions": ["outbound"]}}])
        assert measures(results("mandatory_scripts", outbound, called(("agent", "您好")))) == {
            "recording_notice": "not_applicable"
        }

    def test_it_is_asked_only_where_the_occasion_arose(self) -> None:
        script = {
            "id": "risk_warning",
            "name": "风险提示",
            "measure": "risk_warning",
            "when": {"say": ["理财"]},
            "find": "投资需谨慎",
            **ADVICE,
        }
        pack = pack_of(mandatory_scripts=[script])
        assert measures(results("mandatory_scripts", pack, called(("customer", "我要挂失")))) == {
            "risk_warning": "not_applicable"
        }
        assert measures(results("mandatory_scripts", pack, called(("customer", "我想买理财")))) == {
            "risk_warning": False
        }

    def test_of_two_rules_with_one_measure_one_that_holds_is_enough(self) -> None:
        scripts = [
            {"id": name, "name": name, "measure": "told", "find": name, **ADVICE} for name in ("first", "second")
        ]
        assert measures(
            results("mandatory_scripts", pack_of(mandatory_scripts=scripts), called(("agent", "second")))
        ) == {"told": True}

    @pytest.mark.parametrize(
        ("transcript", "reason"),
        [
            pytest.param(heard([]), "no_speech", id="nobody speaks"),
            pytest.param(heard([("agent", 0, 900, "hello")], language="en"), "language_not_supported", id="English"),
            pytest.param(heard([("agent", 0, 900, "你好")], language=None), "language_not_supported", id="unknown"),
        ],
    )
    def test_what_cannot_be_measured_says_why(self, transcript: Transcript, reason: str) -> None:
        assert measures(results("mandatory_scripts", NOTICE, transcript)) == {"recording_notice": reason}


class TestRulesAskedAndKept:
    """What KPIs count of the rules that are in force, whoever wrote them."""

    @staticmethod
    def counts(section: str, rules: list[dict[str, Any]], transcript: Transcript) -> tuple[Any, ...]:
        found = every_measure(results(section, pack_of(**{section: rules}), transcript))
        return tuple(found[name] for name in COUNTS[section])

    SCRIPTS: ClassVar[list[dict[str, Any]]] = [
        {"id": "hello", "name": "问候", "measure": "hello", "find": "您好", **ADVICE},
        {"id": "farewell", "name": "道别", "find": "再见", **ADVICE},
        {"id": "cards", "name": "办卡提示", "measure": "cards", "when": {"say": ["办卡"]}, "find": "年费", **ADVICE},
    ]

    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            pytest.param([("agent", "您好")], (2, 1), id="one of two; nobody speaks of cards"),
            pytest.param([("agent", "您好，再见")], (2, 2), id="one without a measure counts, too"),
            pytest.param([("agent", "您好，再见"), ("customer", "我要办卡")], (3, 2), id="the occasion arose"),
        ],
    )
    def test_every_script_that_applies_counts(self, lines: list[Line], expected: tuple[int, int]) -> None:
        assert self.counts("mandatory_scripts", self.SCRIPTS, called(*lines)) == expected

    def test_what_a_law_asks_for_is_counted_apart(self) -> None:
        law = {"required_by": "《广告法》第二十五条"}
        scripts = [script | (law if script["id"] == "cards" else {}) for script in self.SCRIPTS]
        pack = pack_of(mandatory_scripts=scripts)
        found = every_measure(
            results("mandatory_scripts", pack, called(("agent", "您好"), ("customer", "我要办卡"), ("agent", "有年费")))
        )
        assert tuple(found[name] for name in (*COUNTS["mandatory_scripts"], *DISCLOSURES)) == (3, 2, 1, 1)
        found = every_measure(results("mandatory_scripts", pack, called(("agent", "您好，再见"))))
        assert tuple(found[name] for name in (*COUNTS["mandatory_scripts"], *DISCLOSURES)) == (2, 2, 0, 0)

    def test_rules_that_share_a_measure_count_once(self) -> None:
        scripts = [{"id": name, "name": name, "measure": "told", "find": name, **ADVICE} for name in ("one", "two")]
        assert self.counts("mandatory_scripts", scripts, called(("agent", "two"))) == (1, 1)
        assert self.counts("mandatory_scripts", scripts, called(("agent", "three"))) == (1, 0)

    def test_where_no_rule_applies_none_was_asked(self) -> None:
        scripts = [script for script in self.SCRIPTS if "when" in script]
        assert self.counts("mandatory_scripts", scripts, called(("agent", "您好"))) == (0, 0)

    def test_a_call_that_cannot_be_asked_has_no_count(self) -> None:
        silent = self.counts("mandatory_scripts", self.SCRIPTS, heard([]))
        assert silent == ("no_speech", "no_speech")

    def test_procedures_and_checklists_are_counted_apart(self) -> None:
        found = every_measure(results("procedures", IDENTITY, called(("customer", "查一下余额"))))
        assert (found["procedures_asked"], found["procedures_kept"]) == (1, 0)
        found = every_measure(
            results("checklists", TestChecklists.PACK, called(("customer", "我要退费"), ("agent", "七天之内，到账")))
        )
        assert (found["checklists_asked"], found["checklists_kept"]) == (1, 1)


class TestThreats:
    PACK = pack_of(
        threats=[
            {
                "id": "complaint",
                "name": "投诉",
                "measure": "complaint_threat",
                "find": ["我要投诉", "打…12315", "打…一二三一五"],
                "match": ["我要投诉"],
                "no_match": ["我不投诉"],
            }
        ]
    )

    @pytest.mark.parametrize(
        ("line", "threat"),
        [
            pytest.param(("customer", "我要投诉，我要打一二三一五"), True, id="threatens"),
            pytest.param(("customer", "我不是说我要投诉"), False, id="denies it"),
            pytest.param(("agent", "我要投诉"), False, id="said by the agent"),
        ],
    )
    def test_only_what_the_customer_threatens_counts(self, line: Line, threat: bool) -> None:
        found = results("threats", self.PACK, called(("agent", "您好"), line))
        assert measures(found) == {"complaint_threat": threat}
        assert [finding.severity for finding in findings(found)] == ["high"] * threat

    def test_one_finding_tells_how_often(self) -> None:
        (finding,) = findings(results("threats", self.PACK, called(("customer", "我要投诉，我要打一二三一五"))))
        assert (finding.attributes["hits"], finding.matched) == (2, "我要投诉")


class TestRules:
    def test_each_hit_is_a_finding_where_the_rule_says_so(self) -> None:
        pack = pack_of(rules=[rule(["抱歉"], each_hit=True, severity="low")])
        found = findings(results("rules", pack, called(("agent", "抱歉"), ("agent", "非常抱歉"))))
        assert [finding.start_ms for finding in found] == [300, 2_600]
        assert len({finding.finding_id for finding in found}) == 2

    def test_a_rule_may_read_measures(self) -> None:
        pack = pack_of(rules=[rule({"measure": {"name": "longest_silence_ms", "above": 9_000}}, measure="long_wait")])
        found = results("rules", pack, called(("agent", "您好")), longest_silence_ms=12_000)
        assert measures(found) == {"long_wait": True}
        assert [finding.quote for finding in findings(found)] == [""]

    @pytest.mark.parametrize(
        ("fields", "asked"),
        [
            pytest.param({"valid_from": date(2026, 1, 5)}, True, id="from that day on"),
            pytest.param({"valid_from": date(2026, 1, 6)}, False, id="from the next day on"),
            pytest.param({"valid_to": date(2026, 1, 5)}, True, id="to that day"),
            pytest.param({"valid_to": date(2026, 1, 4)}, False, id="to the day before"),
            pytest.param({"applies": {"customer_tags": ["高客单"]}}, True, id="a tag of the customer"),
            pytest.param({"applies": {"customer_tags": ["新客"]}}, False, id="another tag"),
            pytest.param({"applies": {"queues": ["vip"], "course_types": ["k12"]}}, True, id="queue and course type"),
            pytest.param({"applies": {"queues": ["vip"], "course_types": ["adult"]}}, False, id="only one of two"),
            pytest.param({"applies": {"inquiry_types": ["退款"]}}, False, id="no inquiry type"),
            pytest.param({"applies": {"handled_by": ["bot"]}}, False, id="a person, not a bot"),
        ],
    )
    def test_a_rule_is_for_some_calls_only(self, fields: dict[str, Any], asked: bool) -> None:
        pack = pack_of(rules=[rule("您好", measure="greeted", **fields)])
        call = called(
            ("agent", "您好"),
            queue="vip",
            course_type="k12",
            customer={"tags": ["高客单"]},
            ended_at=datetime(2026, 1, 5, 15, 59, tzinfo=UTC),  # 23:59 in Shanghai
        )
        assert measures(results("rules", pack, call)) == {"greeted": True if asked else "not_applicable"}

    @pytest.mark.parametrize(
        ("ended_at", "zone", "asked"),
        [
            ("2026-01-05T15:59:59.999+00:00", "Asia/Shanghai", False),
            ("2026-01-05T16:00:00+00:00", "Asia/Shanghai", True),
            ("2026-01-06T04:59:59.999+00:00", "America/New_York", False),
            ("2026-01-06T05:00:00+00:00", "America/New_York", True),
        ],
    )
    def test_a_rule_is_valid_from_the_day_of_the_tenant(self, ended_at: str, zone: str, asked: bool) -> None:
        pack = pack_of(rules=[rule("您好", measure="greeted", valid_from=date(2026, 1, 6))])
        call = called(("agent", "您好"), ended_at=datetime.fromisoformat(ended_at))
        books = Rulebooks((pack,), days=TenantDays("UTC", {call.call.tenant_id: zone}))
        (detector,) = (each for each in find_detectors(DetectorContext(books)) if each.name == "rules")
        found = measures(list(detector.process(CallContext(call))))
        assert found == {"greeted": True if asked else "not_applicable"}


IDENTITY = pack_of(
    procedures=[
        {
            "id": "identity",
            "name": "身份核验",
            "measure": "identity_verified_before_disclosure",
            "when": {"say": ["余额", "起购金额"]},
            "steps": [
                {"id": "ask", "name": "询问", "find": ["您的姓名"]},
                {"id": "document", "name": "证件", "find": ["身份证"]},
                {"id": "thanks", "name": "致谢", "find": ["谢谢配合"], "optional": True},
            ],
            "before": {"say": ["余额是", "起购金额是"], "by": "agent"},
            **ADVICE,
        }
    ]
)


class TestProcedures:
    NAME: Line = ("agent", "请问您的姓名")
    DOCUMENT: Line = ("agent", "请报身份证后四位")
    TELLS: Line = ("agent", "您的余额是一千元")

    @pytest.mark.parametrize(
        ("lines", "kept", "step", "reason"),
        [
            pytest.param([NAME, DOCUMENT, TELLS], True, None, None, id="in order"),
            pytest.param([NAME, DOCUMENT, ("customer", "我的余额呢")], True, None, None, id="nothing was told"),
            pytest.param([DOCUMENT, NAME, TELLS], False, "document", "out_of_order", id="in another order"),
            pytest.param([NAME, TELLS], False, "document", "missing", id="a step is missing"),
            pytest.param([TELLS, NAME, DOCUMENT], False, "ask", "too_late", id="told before"),
            pytest.param([NAME, TELLS, DOCUMENT], False, "document", "too_late", id="told in between"),
        ],
    )
    def test_steps_come_in_order_before_anything_is_told(
        self, lines: list[Line], kept: bool, step: str | None, reason: str | None
    ) -> None:
        found = results("procedures", IDENTITY, called(*lines))
        assert measures(found) == {"identity_verified_before_disclosure": kept}
        told = [(finding.attributes["step"], finding.attributes["reason"]) for finding in findings(found)]
        assert told == ([] if kept else [(step, reason)])

    def test_the_finding_stands_where_it_was_told_too_early(self) -> None:
        (finding,) = findings(results("procedures", IDENTITY, called(self.TELLS)))
        assert (finding.matched, finding.severity) == ("余额是", "high")

    def test_where_nothing_was_told_it_is_of_the_call(self) -> None:
        (finding,) = findings(results("procedures", IDENTITY, called(("customer", "查一下余额"))))
        assert (finding.quote, finding.attributes["reason"]) == ("", "missing")

    def test_it_is_not_asked_where_it_does_not_apply(self) -> None:
        found = results("procedures", IDENTITY, called(("customer", "你好")))
        assert measures(found) == {"identity_verified_before_disclosure": "not_applicable"}


class TestChecklists:
    PACK = pack_of(
        checklists=[
            {
                "id": "refund_rules",
                "name": "退费规则",
                "measure": "refund_rules_complete",
                "when": {"say": ["退费"], "by": "customer"},
                "items": [
                    {"id": "period", "name": "期限", "find": ["七天之内"]},
                    {"id": "arrival", "name": "到账", "find": ["到账"]},
                    {"id": "contact", "name": "联系人", "find": ["联系"], "optional": True},
                ],
                **ADVICE,
            }
        ]
    )

    @pytest.mark.parametrize(
        ("lines", "complete", "missing"),
        [
            pytest.param([("agent", "七天之内可以退，三天到账")], True, None, id="all told"),
            pytest.param([("agent", "七天之内可以退")], False, "arrival", id="one is missing"),
            pytest.param([("customer", "多久到账"), ("agent", "不清楚")], False, "period,arrival", id="asked"),
        ],
    )
    def test_all_items_must_be_told(self, lines: list[Line], complete: bool, missing: str | None) -> None:
        found = results("checklists", self.PACK, called(("customer", "我要退费"), *lines))
        assert measures(found) == {"refund_rules_complete": complete}
        assert [finding.attributes["missing"] for finding in findings(found)] == ([] if complete else [missing])

    def test_it_applies_only_where_the_occasion_arose(self) -> None:
        found = results("checklists", self.PACK, called(("customer", "我要报名"), ("agent", "退费七天之内")))
        assert measures(found) == {"refund_rules_complete": "not_applicable"}


def claim(**fields: Any) -> RulePack:
    """A pack with one claim about the yearly return."""
    common = {"id": "return", "name": "收益率", "subject": ["年化"], "unit": "percent", **ADVICE}
    return pack_of(claims=[common | fields])


class TestClaims:
    @pytest.mark.parametrize(
        ("text", "allowed", "category"),
        [
            pytest.param("年化百分之三", [{"max": 4.5}], None, id="within the limit"),
            pytest.param("年化收益百分之六", [{"max": 4.5}], "claim_contradicted", id="above the limit"),
            pytest.param("年化三到五个点", [{"max": 4.5}], "claim_contradicted", id="a range that ends above it"),
            pytest.param("年化收益看市场", [{"max": 4.5}], None, id="no number, no claim"),
            pytest.param("年化多少，手续费百分之九", [{"max": 4.5}], "claim_contradicted", id="a number close by"),
            pytest.param("年化多少。手续费百分之九", [{"max": 4.5}], None, id="a number of the next sentence"),
            pytest.param("年化收益百分之六", [], "claim_without_entry", id="nothing is known of it"),
            pytest.param("我们不承诺年化百分之六", [{"max": 4.5}], None, id="denied"),
            pytest.param(
                "稳健型年化百分之六",
                [{"about": ["稳健型"], "max": 7}, {"about": ["货币"], "max": 2}],
                None,
                id="the product's own limit",
            ),
            pytest.param(
                "年化百分之六", [{"about": ["货币"], "max": 7}], "claim_without_entry", id="no entry for this product"
            ),
            pytest.param(
                "年化百分之三",
                [{"max": 4.5, "requires": "不代表未来"}],
                "claim_contradicted",
                id="without what must be said with it",
            ),
            pytest.param(
                "年化百分之三，不代表未来表现",
                [{"max": 4.5, "requires": "不代表未来"}],
                None,
                id="with what must be said with it",
            ),
        ],
    )
    def test_what_is_said_is_held_against_the_catalogue(
        self, text: str, allowed: list[dict[str, Any]], category: str | None
    ) -> None:
        found = findings(results("claims", claim(allowed=allowed), called(("agent", text))))
        assert [finding.category for finding in found] == ([category] if category else [])

    def test_the_finding_says_what_was_said_and_what_would_be_true(self) -> None:
        found = results("claims", claim(allowed=[{"max": 4.5}]), called(("agent", "年化收益百分之六")))
        (finding,) = findings(found)
        assert (finding.attributes["said"], finding.attributes["allowed"]) == ("6%", "≤ 4.5")
        assert finding.severity == "high"
        assert measures(found) == {"claims_checked": 1, "claims_contradicted": 1}

    def test_a_claim_without_entry_is_mild_and_may_be_ignored(self) -> None:
        call = called(("agent", "年化收益百分之六"))
        assert [finding.severity for finding in findings(results("claims", claim(), call))] == ["low"]
        assert findings(results("claims", claim(unlisted="ignore"), call)) == []

    EXAMPLES = claim(allowed=[{"max": 4.5}]).model_copy(update={"example_claims": True})
    FALSE = called(("agent", "年化收益百分之六"))

    def results_for(self, tenants: Tenants, pack: RulePack = EXAMPLES) -> list[Result]:
        context = DetectorContext(Rulebooks([pack]), tenants=tenants)
        (detector,) = (one for one in find_detectors(context) if one.name == "claims")
        return list(detector.process(CallContext(self.FALSE)))

    def test_an_example_that_nobody_adopted_is_compared_with_nothing_and_says_so(self) -> None:
        found = self.results_for(Tenants(version=1))
        (finding,) = findings(found)
        assert (finding.category, finding.severity, finding.score_delta) == ("claim_without_entry", "info", 0)
        assert (finding.attributes["said"], finding.attributes["adopted"]) == ("6%", False)
        assert not {"allowed", "advice"} & finding.attributes.keys()
        assert measures(found) == dict.fromkeys(("claims_checked", "claims_contradicted"), "no_claims_adopted")

    @pytest.mark.parametrize(
        ("tenants", "adopted"),
        [
            pytest.param(Tenants(version=1, claims=("own",)), True, id="all of a pack, by everybody"),
            pytest.param(Tenants(version=1, claims=("own.return",)), True, id="one"),
            pytest.param(Tenants(version=1, claims=("own.other", "others")), False, id="others"),
            pytest.param(
                Tenants(version=1, tenants=(TenantEntry(id="example", claims=("own",)),)), True, id="by the tenant"
            ),
            pytest.param(
                Tenants(version=1, tenants=(TenantEntry(id="acme", claims=("own",)),)), False, id="by another tenant"
            ),
            pytest.param(
                Tenants(version=1, claims=("own",), tenants=(TenantEntry(id="example", claims=()),)),
                False,
                id="the tenant adopts none",
            ),
            pytest.param(
                Tenants(version=1, claims=("own",), tenants=(TenantEntry(id="example"),)), True, id="it does not say"
            ),
        ],
    )
    def test_an_example_is_in_force_for_who_adopts_it(self, tenants: Tenants, adopted: bool) -> None:
        found = self.results_for(tenants)
        assert [one.category for one in findings(found)] == ["claim_contradicted" if adopted else "claim_without_entry"]
        assert every_measure(found)["claims_checked"] == (1 if adopted else "no_claims_adopted")

    def test_beside_claims_in_force_an_example_that_was_not_adopted_does_not_count(self) -> None:
        own = claim(allowed=[{"max": 4.5}]).claims[0]
        both = self.EXAMPLES.model_copy(update={"claims": (own, own.model_copy(update={"id": "second"}))})
        found = self.results_for(Tenants(version=1, claims=("own.second",)), both)
        assert sorted(one.severity for one in findings(found)) == ["high", "info"]
        assert measures(found) == {"claims_checked": 1, "claims_contradicted": 1}

    def test_a_name_that_no_pack_has_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        self.results_for(Tenants(version=1, claims=("own", "own.return", "finanse")))
        (record,) = caplog.records
        assert "adopts the claims finanse, and no rule pack has any" in record.getMessage()

    def test_customers_make_no_claims(self) -> None:
        found = results("claims", claim(allowed=[{"max": 4.5}]), called(("customer", "年化百分之六吗")))
        assert measures(found) == {"claims_checked": 0, "claims_contradicted": 0}


def topic(topic_id: str, *phrases: str, **fields: Any) -> dict[str, Any]:
    """A topic of some phrases."""
    return {"id": topic_id, "name": topic_id, "phrases": phrases, "match": ["甲"], "no_match": ["乙"]} | fields


class TestTopics:
    PACK = pack_of(
        topics=[
            topic("refund", "退款", "退货"),
            topic("refund_process", "退款…复杂", instead_of=["refund"]),
            topic("delay", "没有更新", find={"all_of": ["快递", "没动"]}),
            topic("promotion", "优惠活动", by="agent"),
        ]
    )

    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            pytest.param([("customer", "我要退货")], ["own.refund"], id="by a phrase"),
            pytest.param([("agent", "可以退货")], [], id="not what the agent says"),
            pytest.param([("customer", "我不是要退货")], [], id="denied"),
            pytest.param([("customer", "退款怎么这么复杂")], ["own.refund_process"], id="the one that says more"),
            pytest.param([("customer", "快递五天没动了")], ["own.delay"], id="by a condition"),
            pytest.param([("customer", "没有更新，我要退款")], ["own.delay", "own.refund"], id="in order of the call"),
            pytest.param([("agent", "这周有优惠活动")], ["own.promotion"], id="what the agent brings up"),
            pytest.param([("unknown", "我要退货")], ["own.refund"], id="an unknown speaker"),
        ],
    )
    def test_what_the_call_is_about(self, lines: list[Line], expected: list[str]) -> None:
        found = results("topics", self.PACK, called(*lines))
        assert [result.topic_id for result in found if isinstance(result, TopicMention)] == expected
        assert measures(found) == {"topics": len(expected)}

    def test_a_mention_quotes_its_sentence(self) -> None:
        found = results("topics", self.PACK, called(("customer", "你好。东西坏了，我要退货。谢谢")))
        (mention,) = (result for result in found if isinstance(result, TopicMention))
        assert (mention.quote, mention.role) == ("东西坏了，我要退货。", "customer")


def test_every_finding_of_a_rule_names_rule_and_version() -> None:
    pack = pack_of(version=12, rules=[rule("您好")])
    (finding,) = findings(results("rules", pack, called(("agent", "您好"))))
    assert (finding.rule_id, finding.rule_version) == ("own.one", "12")


def test_a_tenants_own_pack_takes_the_place_of_the_one_for_everybody() -> None:
    everybody, own = pack_of(rules=[rule("您好")]), pack_of(version=7, tenant="acme", rules=[rule("再见")])
    detector = detector_of("rules", everybody, own)
    lines: tuple[Line, ...] = (("agent", "您好"), ("agent", "再见"))

    def words(tenant_id: str) -> list[tuple[str, str]]:
        found = findings(list(detector.process(CallContext(called(*lines, tenant_id=tenant_id)))))
        return [(finding.rule_version, finding.matched) for finding in found]

    assert words("acme") == [("7", "再见")]
    assert words("other") == [("1", "您好")]
