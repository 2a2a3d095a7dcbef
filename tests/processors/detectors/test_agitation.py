import pytest

from processors.detectors.agitation import AgitationDetector
from schemas.messages.transcript import Transcript
from tests.processors.detectors.results import found, measured, not_measured
from tests.processors.transcripts import Line, felt, heard, on_one_channel, said

DETECTOR = AgitationDetector()
OF_CUSTOMER = ("customer_agitated_segments", "customer_agitation_max", "customer_sentiment_trend")


def customer(*agitated: float | None, valence: tuple[float, ...] = ()) -> Transcript:
    """A customer's segments, one after the other, so agitated; None where it is not known."""
    lines: list[Line] = [("customer", f"第{place}句话") for place in range(len(agitated))]
    moods = valence or (0.0,) * len(agitated)
    known = {
        place: (each, mood) for place, (each, mood) in enumerate(zip(agitated, moods, strict=True)) if each is not None
    }
    return felt(said(*lines), known)


@pytest.mark.parametrize(
    ("agitated", "count", "highest"),
    [
        pytest.param((0.1, 0.2), 0, 0.2, id="calm"),
        pytest.param((0.49, 0.5), 1, 0.5, id="the threshold belongs to it"),
        pytest.param((0.9, None, 0.8), 2, 0.9, id="a segment whose emotion is not known is passed over"),
    ],
)
def test_agitated_segments_are_counted(agitated: tuple[float | None, ...], count: int, highest: float) -> None:
    values = measured(DETECTOR, customer(*agitated))
    assert (values["customer_agitated_segments"], values["customer_agitation_max"]) == (count, highest)


@pytest.mark.parametrize(
    ("valence", "expected"),
    [
        pytest.param((-0.8, 0.0, 0.0, 0.4), 1.2, id="four segments: the last less the first"),
        pytest.param((0.5, 0.9, 0.9, -0.9, -0.5), -1.0, id="what does not divide is left in the middle"),
        pytest.param((-0.4, -0.6, 0, 0, 0, 0, 0.1, 0.3), 0.7, id="means of quarters"),
    ],
)
def test_the_trend_is_from_the_first_to_the_last_quarter(valence: tuple[float, ...], expected: float) -> None:
    transcript = customer(*(0.1,) * len(valence), valence=valence)
    assert measured(DETECTOR, transcript)["customer_sentiment_trend"] == pytest.approx(expected)


def test_three_segments_have_no_trend() -> None:
    assert not_measured(DETECTOR, customer(0.1, 0.1, None, 0.1)) == {
        "customer_sentiment_trend": "too_few_segments",
        "agent_agitation_max": "no_emotion",
    }


def test_the_agent_is_measured_apart() -> None:
    transcript = felt(said(("agent", "您好"), ("customer", "你好"), ("agent", "请讲")), {0: (0.2, 0), 2: (0.7, 0)})
    assert measured(DETECTOR, transcript) == {"agent_agitation_max": 0.7}
    assert not_measured(DETECTOR, transcript) == dict.fromkeys(OF_CUSTOMER, "no_emotion")
    assert found(DETECTOR, transcript) == []


@pytest.mark.parametrize(
    ("transcript", "reason"),
    [
        pytest.param(said(("agent", "您好"), ("customer", "你好")), "no_emotion", id="nobody's emotion is known"),
        pytest.param(felt(said(("unknown", "您好")), {0: (0.9, 0)}), "speaker_unknown", id="nor who speaks"),
        pytest.param(on_one_channel(customer(0.9)), "one_channel", id="one channel, one speaker named"),
        pytest.param(heard([]), "no_speech", id="nothing was said"),
    ],
)
def test_what_cannot_be_known_is_null(transcript: Transcript, reason: str) -> None:
    assert not_measured(DETECTOR, transcript) == dict.fromkeys(DETECTOR.measures, reason)
    assert found(DETECTOR, transcript) == []


@pytest.mark.parametrize(
    ("agitated", "severity"), [pytest.param(0.79, "medium", id="agitated"), pytest.param(0.8, "high", id="very")]
)
def test_an_agitated_segment_is_found_with_its_words(agitated: float, severity: str) -> None:
    (finding,) = found(DETECTOR, customer(agitated))
    assert (finding.category, finding.role, finding.severity) == ("customer_agitated", "customer", severity)
    assert finding.quote == "第0句话"
    assert finding.attributes == {
        "segment_id": 0,
        "match_start": 0,
        "match_end": 4,
        "agitated": agitated,
        "source": "sound",
    }


@pytest.mark.parametrize(
    ("agitated", "expected"),
    [
        pytest.param((0.1, 0.9, 0.9), [1], id="two in a row after calm"),
        pytest.param((0.1, 0.9, 0.1, 0.9), [], id="one is no run"),
        pytest.param((0.9, 0.9, 0.9), [], id="a customer who calls in anger"),
        pytest.param((0.45, 0.6, 0.7), [], id="hardly higher than before"),
        pytest.param((0.1, 0.9, None, 0.9), [1], id="an unknown segment breaks no run"),
        pytest.param((0.0, 0.9, 0.9, 0.0, 0.0, 0.0, 0.0, 0.9, 0.9), [1, 7], id="twice"),
    ],
)
def test_agitation_that_rises_and_stays_is_an_escalation(
    agitated: tuple[float | None, ...], expected: list[int]
) -> None:
    findings = [each for each in found(DETECTOR, customer(*agitated)) if each.category == "escalation"]
    assert [each.attributes["segment_id"] for each in findings] == expected
    assert {each.severity for each in findings} <= {"high"}


def test_an_escalation_spans_its_run() -> None:
    transcript = customer(0.1, 0.7, 0.9, 0.2)
    (finding,) = (each for each in found(DETECTOR, transcript) if each.category == "escalation")
    assert (finding.start_ms, finding.end_ms) == (transcript.segments[1].start_ms, transcript.segments[2].end_ms)
    assert (finding.attributes["rise"], finding.attributes["last_segment_id"]) == (0.7, 2)
