import pytest

from processors.detectors.emotion_coping import CopingParameters, EmotionCopingDetector
from schemas.messages.call_analysis import MeasureValue
from schemas.messages.transcript import Transcript
from tests.processors.detectors.results import found, measured, not_measured
from tests.processors.transcripts import Line, felt, heard, said

DETECTOR = EmotionCopingDetector()

Said = float | str | None
"""A customer segment with its valence, or without known emotion, or a reply of the agent."""


def call(*lines: Said) -> Transcript:
    written: list[Line] = [("agent", each) if isinstance(each, str) else ("customer", "气死我") for each in lines]
    return felt(said(*written), {place: (0.1, each) for place, each in enumerate(lines) if isinstance(each, float)})


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([-0.8, -0.8, "非常抱歉", 0.0, 0.0, 0.0], True, id="rises after the reply"),
        pytest.param([-0.8, -0.8, "非常抱歉", -0.8, -0.9, -0.7], False, id="stays as it was"),
        pytest.param([-0.8, -0.8, "非常抱歉", -0.6, -0.6, -0.6], True, id="rises by exactly d"),
        pytest.param([-0.8, -0.8, "非常抱歉", -0.61, -0.61, -0.61], False, id="rises by less"),
        pytest.param([-0.8, -0.8, "非常抱歉", 0.0], True, id="fewer than N segments follow"),
        pytest.param([-0.8, -0.8, "非常抱歉", -0.8, -0.8, -0.8, 0.9], False, id="comes round too late"),
        pytest.param([-0.8, -0.8], False, id="nobody replies"),
        pytest.param([-0.8, -0.8, "非常抱歉"], False, id="the customer says no more"),
        pytest.param([-0.8, -0.8, "嗯", -0.8, "非常抱歉", 0.0], True, id="a hum is no reply"),
        pytest.param([-0.8, "抱歉", -0.8, "非常抱歉", 0.0], True, id="replies between are before the run is one"),
        pytest.param([-0.8, None, -0.8, "非常抱歉", 0.0], True, id="an unknown segment breaks no run"),
        pytest.param(
            [-0.4, -0.4, -1.0, "非常抱歉", -0.3, -0.3, -0.3], True, id="all of the run before the reply is compared"
        ),
        pytest.param(
            [-0.8, -0.8, "抱歉", -0.8, -0.8, -0.8, "好", 0.5, -0.8, -0.8, "好", 0.5], False, id="the first run decides"
        ),
    ],
)
def test_whether_the_agent_copes(lines: list[Said], expected: bool) -> None:
    assert measured(DETECTOR, call(*lines)) == {"emotion_coping": expected}


@pytest.mark.parametrize(
    ("text", "duration_ms", "is_run"),
    [
        pytest.param("气死我了，你们的服务我非常不满意", 3_000, True, id="displeasure in one breath"),
        pytest.param("气死我了你", 1_900, False, id="neither six characters nor two seconds"),
        pytest.param("气死我了你们", 900, True, id="six characters, however fast"),
        pytest.param("唉", 2_000, True, id="two seconds, whatever was understood"),
    ],
)
def test_a_run_is_measured_in_words_or_seconds_however_a_recogniser_cuts_it(
    text: str, duration_ms: int, is_run: bool
) -> None:
    after_ms = duration_ms + 3_000
    transcript = heard(
        [
            ("customer", 0, duration_ms, text),
            ("agent", duration_ms + 500, duration_ms + 2_500, "非常抱歉给您带来不便"),
            ("customer", after_ms, after_ms + 900, "那好吧"),
        ]
    )
    transcript = felt(transcript, {0: (0.4, -0.8), 2: (0.1, 0.2)})
    assert measured(DETECTOR, transcript) == ({"emotion_coping": True} if is_run else {})


@pytest.mark.parametrize(
    ("transcript", "reason"),
    [
        pytest.param(call(0.0, -0.8, "抱歉", 0.1), "no_negative_run", id="too few words are no run"),
        pytest.param(call(-0.29, -0.29), "no_negative_run", id="not negative enough"),
        pytest.param(call(-0.8, 0.0, -0.8), "no_negative_run", id="not in a row"),
        pytest.param(call(None, None, "您好"), "no_emotion", id="no emotion is known"),
        pytest.param(felt(said(("unknown", "您好")), {0: (0.1, -0.8)}), "speaker_unknown", id="nor who speaks"),
        pytest.param(heard([]), "no_speech", id="nothing was said"),
    ],
)
def test_calls_that_are_not_in_the_denominator(transcript: Transcript, reason: str) -> None:
    assert not_measured(DETECTOR, transcript) == {"emotion_coping": reason}
    assert found(DETECTOR, transcript) == []


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param(CopingParameters(), True, id="as it comes"),
        pytest.param(CopingParameters(least_rise=0.5), False, id="a higher d"),
        pytest.param(CopingParameters(following_segments=1), False, id="a smaller N"),
        pytest.param(CopingParameters(negative_valence=-0.9), None, id="other segments are negative"),
        pytest.param(CopingParameters(run_characters=16, run_ms=9_000), None, id="longer runs"),
        pytest.param(CopingParameters(run_characters=16), False, id="a run later, to which nobody replies"),
    ],
)
def test_what_r48_leaves_open_is_a_parameter(parameters: CopingParameters, expected: MeasureValue) -> None:
    transcript = call(-0.8, -0.8, "非常抱歉", -0.8, -0.4, -0.3)
    assert measured(EmotionCopingDetector(parameters), transcript).get("emotion_coping") is expected


def test_the_finding_shows_what_was_compared() -> None:
    (finding,) = found(DETECTOR, call(0.0, -0.8, -0.6, "非常抱歉", 0.1, 0.3))
    assert (finding.category, finding.role, finding.severity) == ("negative_run", "customer", "info")
    assert finding.attributes == {
        "segment_id": 1,
        "match_start": 0,
        "match_end": 3,
        "last_segment_id": 2,
        "valence_before": -0.7,
        "reply_segment_id": 3,
        "valence_after": 0.2,
    }


def test_a_run_with_which_the_agent_did_not_cope_weighs_more() -> None:
    (finding,) = found(DETECTOR, call(-0.8, -0.8))
    assert finding.severity == "medium"
    assert "valence_after" not in finding.attributes
