"""What a recogniser still hears of a number that was muted."""

import re
from difflib import SequenceMatcher

import pytest

from processors.custody.muting import Muter, muted_stretches
from processors.listening.engine_port import SpeechEngine
from processors.listening.pipeline import ListenSettings, listen
from schemas.messages.transcript import Transcript
from tests.processors.recordings import SOME_TIME, call_with, decoded, example_calls, wav

NUMBERS = ("6222021208003567890", "13800138000")
_AS_DIGITS = str.maketrans("零〇一幺要二两三四五六七八九", "00111223456789")


def heard(data: bytes, engine: SpeechEngine) -> Transcript:
    """What `listen` makes of it."""
    how = ListenSettings(min_call_ms=5_000, max_call_ms=600_000, crosstalk_gate_db=18, chinese_script="simplified")
    return listen(call_with(data), data, engine, how, SOME_TIME, lambda: 0.0, None)


@pytest.mark.model
def test_no_recogniser_hears_a_number_that_was_muted(whisper: SpeechEngine) -> None:
    recording = decoded("s07_finance_pii")
    stretches = muted_stretches(heard(example_calls()["s07_finance_pii"].data, whisper))
    rate_hz = recording.channels[0].sample_rate_hz
    channels = [channel.pcm.reshape(-1, 1) for channel in recording.channels]
    muted = wav([Muter(stretches, rate_hz).mute(pcm, 0)[:, 0] for pcm in channels], rate_hz)
    again = heard(muted, whisper)
    texts = [*(each.text for each in again.segments), *(each.text for each in again.rejected)]
    left = "".join(re.sub(r"\W", "", text) for text in texts).translate(_AS_DIGITS)
    assert again.pii == ()
    for number in NUMBERS:
        assert SequenceMatcher(None, number, left, autojunk=False).find_longest_match().size <= 2, left
