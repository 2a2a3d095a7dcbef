"""The ten example calls, by what is truly said in them."""

import pytest

from processors.detectors.interruptions import InterruptionsDetector
from processors.detectors.silence import SilenceDetector
from schemas.messages.call_ended import Role
from schemas.messages.transcript import Transcript
from tests.processors.detectors.results import measured, not_measured
from tests.processors.recordings import example_calls
from tests.processors.transcripts import Turn, heard

ROLES: dict[str, Role] = {"agent": "agent", "customer": "customer"}
MONO = [call_id for call_id, call in example_calls().items() if call.is_mono]
HEARD = [call_id for call_id, call in example_calls().items() if call.duration_ms > 5_000 and not call.is_mono]


def transcript_of(call_id: str) -> Transcript:
    call = example_calls()[call_id]
    turns: list[Turn] = [
        ("unknown" if call.is_mono else ROLES[turn.channel], turn.start_ms, turn.end_ms, turn.text)
        for turn in call.turns
    ]
    return heard(turns, duration_ms=call.duration_ms)


@pytest.mark.parametrize("call_id", HEARD)
def test_interruptions_and_silences_are_those_of_the_calls(call_id: str) -> None:
    values = measured(InterruptionsDetector(), transcript_of(call_id)) | measured(
        SilenceDetector(), transcript_of(call_id)
    )
    expected = example_calls()[call_id].conversation
    assert {name: values[name] for name in expected} == expected
    assert values["agent_back_channels"] == 0


@pytest.mark.parametrize("call_id", MONO)
def test_on_one_channel_interruptions_are_null(call_id: str) -> None:
    detector = InterruptionsDetector()
    assert not_measured(detector, transcript_of(call_id)) == dict.fromkeys(detector.measures, "speaker_unknown")
