"""What kind of thing a finding is, and who says so."""

from collections.abc import Mapping
from itertools import chain, product

import pytest

from processors.detectors import find_detectors
from processors.detectors.base.contract import DetectorContext
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import RULE_PACK_FOLDER, load_rule_packs
from schemas.messages.classes import MEASURED, NATURES, FindingSource, Nature, nature_of, source_of
from schemas.messages.finding import SEVERITIES, Finding
from tests.processors.detectors.judged import finding

VIOLATIONS = ("forbidden_promise", "rude", "privacy", "consumer_rights", "claim_contradicted", "over_retention")


@pytest.mark.parametrize(
    ("category", "role", "severity", "nature"),
    [
        *(pytest.param(category, "agent", "high", "violation", id=category) for category in VIOLATIONS),
        pytest.param("suspected_safety", "agent", "info", "violation", id="a suspicion, though info"),
        pytest.param("second_reader_rude", "agent", "info", "violation", id="of a second reader"),
        pytest.param("second_reader_complaint_threat", "customer", "info", "customer", id="of what a customer says"),
        pytest.param("safety", "agent", "low", "omission", id="no advice about safety"),
        pytest.param("missing_script", "agent", "medium", "omission", id="missing"),
        pytest.param("procedure_broken", "agent", "high", "omission", id="out of order"),
        pytest.param("complaint_threat", "customer", "high", "customer", id="threat"),
        pytest.param("patient_safety", "customer", "critical", "customer", id="a patient in danger"),
        pytest.param("interruption", "agent", "medium", "interaction", id="interruption"),
        pytest.param("unexcused_silence", "agent", "low", "interaction", id="silence"),
        pytest.param("duration_anomaly", "unknown", "medium", "call", id="length"),
        pytest.param("script_found", "agent", "info", "act", id="said"),
        pytest.param("our_own", "agent", "low", "violation", id="a category of a tenant"),
        pytest.param("our_own", "customer", "low", "customer", id="of its customers"),
        pytest.param("our_own", "agent", "info", "act", id="which only shows something"),
    ],
)
def test_the_nature_follows_from_category_role_and_severity(
    category: str, role: str, severity: str, nature: Nature
) -> None:
    assert nature_of(category, role, severity) == nature


@pytest.mark.parametrize(
    ("detector", "told", "source"),
    [
        pytest.param("sensitive_words", None, "rule", id="rules"),
        pytest.param("mandatory_scripts", "speech", "rule", id="what a script rests on is another thing"),
        pytest.param("mandatory_scripts", "reading", "reading", id="read where rules missed it"),
        pytest.param("reading", None, "reading", id="reading"),
        pytest.param("like", None, "reading", id="examples are matched by meaning"),
        pytest.param("second_reader", None, "second_reader", id="second reader"),
        pytest.param("second_reader", "hook", "hook", id="hook"),
        pytest.param("silence", None, "measure", id="measured"),
    ],
)
def test_the_source_follows_from_the_detector(detector: str, told: str | None, source: FindingSource) -> None:
    assert source_of(detector, told) == source


def test_a_finding_has_both_also_where_a_message_of_an_older_release_has_none() -> None:
    found = finding("missing_script", "medium")
    older = found.model_dump(exclude={"nature", "source"})
    assert (found.nature, found.source) == ("omission", "rule")
    assert Finding.model_validate(older) == found
    assert Finding.model_validate(found.model_dump()) == found


def test_no_category_has_two_natures() -> None:
    listed = list(chain.from_iterable(NATURES.values()))
    assert len(listed) == len(set(listed))


def test_duties_of_the_shipped_packs_and_detectors_that_measure_are_listed() -> None:
    packs = load_rule_packs((RULE_PACK_FOLDER,))
    of_packs = {getattr(entry, "category", None) for pack in packs for _, entry in pack.entries()}
    assert {"missing_script", "soothing", "checklist_incomplete"} <= of_packs & NATURES["omission"]
    detectors = {one.name for one in find_detectors(DetectorContext(Rulebooks(())))}
    assert detectors >= MEASURED


@pytest.mark.parametrize(
    ("detector", "state", "nature"),
    [
        pytest.param("mandatory_scripts", "missing", "omission", id="a script"),
        pytest.param("rules", "missing", "omission", id="a rule of what must be said"),
        pytest.param("procedures", None, "omission", id="a procedure"),
        pytest.param("rules", "found", "violation", id="what was said"),
    ],
)
def test_what_a_pack_of_ones_own_demands_is_an_omission(detector: str, state: str | None, nature: Nature) -> None:
    assert nature_of("my_duty", "agent", "medium", detector, state) == nature


def every_kind() -> Mapping[tuple[str, str, str, str, str], Nature]:
    """Every category that is listed and some that are not, of each role and severity, of what was missing and not."""
    categories = (*chain.from_iterable(NATURES.values()), "rude", "our_own", "suspected_safety", "second_reader_rude")
    roles = ("agent", "customer", "unknown")
    detectors, states = ("rules", "checklists"), ("", "missing")
    return {each: nature_of(*each) for each in product(categories, roles, SEVERITIES, detectors, states)}
