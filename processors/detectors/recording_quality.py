"""Why measures of a call may be wrong: what is wrong with its recording."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.findings import Attributes, CodeRule
from processors.judging.call_context import CallContext
from processors.text.conversation import NO_SPEECH
from schemas.messages.call_ended import Role
from schemas.messages.finding import Finding
from schemas.messages.transcript import Transcript

DOUBT = CodeRule("recording_quality", "recording_quality", version="1")


class RecordingQualityDetector:
    """One finding for each doubt, and `recording_doubts`, how many there are.

    Of each channel: the doubts that `listen` noted (`schemas.messages.sound.QualityDoubt`: `clipped`, `noisy`, `quiet`,
    `little_speech`). Of the file: `truncated`, and `identical_channels` where two channels hold the same sound.
    Not measured where the transcript says nothing of the sound (`no_sound`), nor where no words were heard
    (`no_speech`): nothing else is measured there that could be wrong.

    A finding spans the recording. `attributes`: `doubt`, and for a channel `channel` and, where known, `snr_db`,
    `speech_level_dbfs`.
    """

    name: ClassVar[str] = "recording_quality"
    measures: ClassVar[tuple[str, ...]] = ("recording_doubts",)
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    def process(self, context: CallContext) -> Iterable[Result]:
        if context.why_not_told_apart == NO_SPEECH:
            return [NotMeasured("recording_doubts", NO_SPEECH)]
        findings = [*_of_the_file(context.transcript), *_of_the_channels(context.transcript)]
        if context.transcript.sound is None:
            return [*findings, NotMeasured("recording_doubts", "no_sound")]
        return [*findings, Measure("recording_doubts", len(findings))]


def _of_the_file(transcript: Transcript) -> Iterator[Finding]:
    audio = transcript.audio
    if audio is not None and audio.truncated:
        yield _finding(transcript, "unknown", {"doubt": "truncated"})
    if audio is not None and audio.identical_channels:
        yield _finding(transcript, "unknown", {"doubt": "identical_channels"})


def _of_the_channels(transcript: Transcript) -> Iterator[Finding]:
    for channel in transcript.sound.channels if transcript.sound else ():
        quality = channel.quality
        levels = {"snr_db": quality.snr_db, "speech_level_dbfs": quality.speech_level_dbfs}
        known = {name: level for name, level in levels.items() if level is not None}
        for doubt in quality.doubts:
            yield _finding(transcript, channel.role, {"doubt": doubt, "channel": channel.channel, **known})


def _finding(transcript: Transcript, role: Role, attributes: Attributes) -> Finding:
    return DOUBT.finding(
        transcript,
        f"{attributes.get('channel', 'file')}:{attributes['doubt']}",
        role=role,
        start_ms=0,
        end_ms=transcript.audio.duration_ms if transcript.audio else 0,
        severity="low",
        attributes=attributes,
    )


def detector(_context: DetectorContext) -> RecordingQualityDetector:
    """The detector; it needs nothing from the context."""
    return RecordingQualityDetector()
