import pytest

from processors.detectors.recording_quality import RecordingQualityDetector
from schemas.messages.call_ended import Role
from schemas.messages.sound import AudioQuality, CallSound, ChannelMeasures, QualityDoubt
from schemas.messages.transcript import Transcript
from tests.processors.detectors.results import found, measured, not_measured
from tests.processors.transcripts import said

DETECTOR = RecordingQualityDetector()
CALL = said(("agent", "您好"), ("customer", "你好"))


def doubted(agent: tuple[QualityDoubt, ...], customer: tuple[QualityDoubt, ...], **facts: bool) -> Transcript:
    """A call whose channels have those doubts, and whose file is so."""
    sides: tuple[tuple[Role, tuple[QualityDoubt, ...]], ...] = (("agent", agent), ("customer", customer))
    channels = tuple(
        ChannelMeasures(
            channel=channel,
            role=role,
            speech_ms=0,
            quality=AudioQuality(clipped_share=0, snr_db=7.5, doubts=doubts),
        )
        for channel, (role, doubts) in enumerate(sides)
    )
    assert CALL.audio is not None
    return CALL.model_copy(update={"sound": CallSound(channels=channels), "audio": CALL.audio.model_copy(update=facts)})


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [
        pytest.param(doubted((), ()), [], id="a good recording"),
        pytest.param(doubted(("noisy",), ()), [("agent", "noisy")], id="noise on the agent's side"),
        pytest.param(
            doubted(("noisy", "quiet"), ("noisy",)),
            [("agent", "noisy"), ("agent", "quiet"), ("customer", "noisy")],
            id="each doubt of each channel",
        ),
        pytest.param(doubted((), (), truncated=True), [("unknown", "truncated")], id="a file that ends too early"),
        pytest.param(
            doubted((), (), identical_channels=True),
            [("unknown", "identical_channels")],
            id="two channels with the same sound",
        ),
    ],
)
def test_each_doubt_is_a_finding_and_counts(transcript: Transcript, expected: list[tuple[str, str]]) -> None:
    findings = found(DETECTOR, transcript)
    assert [(each.role, each.attributes["doubt"]) for each in findings] == expected
    assert measured(DETECTOR, transcript) == {"recording_doubts": len(expected)}
    assert len({each.finding_id for each in findings}) == len(findings)


def test_a_finding_spans_the_recording_and_gives_the_levels_that_are_known() -> None:
    transcript = doubted(("noisy",), ())
    (finding,) = found(DETECTOR, transcript)
    assert transcript.audio is not None
    assert (finding.start_ms, finding.end_ms, finding.severity) == (0, transcript.audio.duration_ms, "low")
    assert (finding.category, finding.rule_id) == ("recording_quality", "recording_quality.recording_quality")
    assert finding.attributes == {"doubt": "noisy", "channel": 0, "snr_db": 7.5}


def test_where_nothing_was_said_there_is_nothing_to_doubt() -> None:
    transcript = doubted(("little_speech",), ("little_speech",)).model_copy(update={"segments": ()})
    assert not_measured(DETECTOR, transcript) == {"recording_doubts": "no_speech"}
    assert found(DETECTOR, transcript) == []


def test_without_a_word_on_the_sound_nothing_is_counted() -> None:
    assert CALL.audio is not None
    transcript = CALL.model_copy(update={"audio": CALL.audio.model_copy(update={"truncated": True})})
    assert not_measured(DETECTOR, transcript) == {"recording_doubts": "no_sound"}
    assert [each.attributes["doubt"] for each in found(DETECTOR, transcript)] == ["truncated"]
