"""A separation that knows who speaks when: for tests of what happens around it.

It passes the contract test that the real one passes (`test_speakers.py`).
"""

from collections.abc import Sequence

from processors.listening.diarization import VoiceStretch
from processors.listening.engine_port import ChannelAudio
from schemas.messages.interval import Interval


class ScriptedSeparation:
    """Says what it is told to; counts how often it is asked."""

    def __init__(self, told: Sequence[tuple[int, int, int]]) -> None:
        """`told` is voice, start and end in milliseconds, in the order of time."""
        self._told = told
        self.asked = 0

    @property
    def identity(self) -> dict[str, str | int | float | bool | None]:
        return {"speakers": "scripted 1"}

    def separate(self, sound: ChannelAudio) -> tuple[VoiceStretch, ...]:
        self.asked += 1
        return tuple(
            VoiceStretch(voice, Interval(start_ms=start_ms, end_ms=min(end_ms, sound.duration_ms)))
            for voice, start_ms, end_ms in self._told
            if start_ms < sound.duration_ms
        )
