"""What holds for every detector, so that a new one gets these tests by being there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import processors.detectors
from processors.detectors import find_detectors
from processors.detectors.base.contract import Detector, DetectorContext, Measure, NotMeasured
from processors.judging.call_context import CallContext
from processors.judging.pipeline import DETECTOR_FAILED
from schemas.messages.finding import Finding
from schemas.messages.transcript import Segment, Transcript
from tests.processors.transcripts import NOW, felt, heard, not_heard, on_one_channel, said
from tests.support.cases import every_case
from tests.support.shipped_rules import shipped_judge, shipped_rules

CONTEXT = DetectorContext(shipped_rules())
DETECTORS = find_detectors(CONTEXT)

CONTROL_CHARACTERS = "".join(map(chr, (*range(32), 0x7F, 0x200B, 0x202E, 0xFEFF, 0xFFFD)))

TRANSCRIPTS: dict[str, Transcript] = {
    "empty": heard([]),
    "empty, language unknown": heard([], language=None),
    "segments without text": said(("agent", ""), ("customer", "   ")),
    "with word times": said(("agent", "这款产品保本保息"), industry="finance"),
    "without word times": said(("agent", "这款产品保本保息"), industry="finance", with_words=False),
    "unknown speaker": said(("unknown", "这款产品保本保息"), industry="finance"),
    "customer only": said(("customer", "有风险吗")),
    "emoji": said(("agent", "保\U0001f600本👨‍👩‍👧保息🇨🇳"), industry="finance"),
    "control characters": said(("agent", f"保{CONTROL_CHARACTERS}本"), industry="finance"),
    "punctuation only": said(("agent", "，。？！"), industry="finance"),
    "characters that unfold into several": said(("agent", "ﬁ㎏①½İß保本"), industry="finance"),
    "segment of no length": heard([("agent", 500, 500, "保本保息")], industry="finance"),
    "another language": heard([("agent", 0, 9, "hello")], language="en"),
    "an interruption and two silences": heard(
        [
            ("agent", 0, 4_000, "请您稍等我帮您查一下"),
            ("customer", 1_000, 3_500, "你们到底什么时候送到"),
            ("customer", 9_000, 9_900, "喂"),
            ("agent", 14_000, 15_000, "您好让您久等了"),
        ]
    ),
    "agitated, also without words": felt(
        said(("customer", "你好"), ("customer", ""), ("customer", "气死我了"), ("agent", "抱歉"), ("customer", "好")),
        {0: (0.1, 0.0), 1: (0.9, -0.8), 2: (0.9, -0.8), 4: (0.1, 0.0)},
    ),
    "one channel, roles known": on_one_channel(said(("agent", "您好"), ("customer", "你好"))),
    "one channel, speakers told": on_one_channel(
        said(("agent", "您好"), ("customer", "你好")), ("agent", 0, 900), ("customer", 500, 9_000)
    ),
    "not heard, no audio": not_heard("no_audio", duration_ms=None),
    "not heard, too short": not_heard("too_short", duration_ms=2_942),
}


@pytest.fixture(scope="module")
def long_call() -> Transcript:
    """10,000 segments without a pause: one text of 110,000 characters, full of everything."""
    return heard(
        [("agent", at * 100, at * 100 + 90, "我们保证您通过，不是保本") for at in range(10_000)], industry="education"
    )


def test_there_are_detectors_for_every_module() -> None:
    folder = Path(processors.detectors.__path__[0])
    modules = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert {detector.name for detector in DETECTORS} == modules


def each() -> Iterator[tuple[Detector, str, Transcript]]:
    """Every detector with every transcript and its name."""
    for detector in DETECTORS:
        for name, transcript in TRANSCRIPTS.items():
            yield detector, name, transcript


def test_every_owned_measure_is_accounted_for_once() -> None:
    with every_case() as cases:
        for detector, name, transcript in each():
            with cases.case(detector.name, name):
                results = list(detector.process(CallContext(transcript)))
                names = [result.name for result in results if isinstance(result, Measure)]
                names += [result.measure for result in results if isinstance(result, NotMeasured)]
                assert sorted(names) == sorted(detector.measures)


def test_the_same_transcript_gives_the_same_results() -> None:
    with every_case() as cases:
        for detector, name, transcript in each():
            with cases.case(detector.name, name):
                before = transcript.encode()
                first = list(detector.process(CallContext(transcript)))
                again = list(detector.process(CallContext(Transcript.decode(before))))
                assert first == again
                assert transcript.encode() == before


def test_findings_point_into_the_call() -> None:
    found = 0
    with every_case() as cases:
        for detector, name, transcript in each():
            for finding in detector.process(CallContext(transcript)):
                if isinstance(finding, Finding):
                    found += 1
                    with cases.case(detector.name, name, finding.rule_id):
                        _check_place(detector, transcript, finding)
    assert found > 10


def _check_place(detector: Detector, transcript: Transcript, finding: Finding) -> None:
    assert finding.detector == detector.name
    assert finding.start_ms <= finding.end_ms
    assert ("match_start" in finding.attributes) == ("match_end" in finding.attributes) == bool(finding.matched)
    if "segment_id" in finding.attributes:
        segment = transcript.segments[int(finding.attributes["segment_id"])]
        assert finding.matched == "" or _matched_in(segment, finding) in finding.matched


def _matched_in(segment: Segment, finding: Finding) -> str:
    """What of the words of the finding stands in that segment."""
    start, end = int(finding.attributes["match_start"]), int(finding.attributes["match_end"])
    assert 0 <= start < end <= len(segment.text)
    return segment.text[start:end]


def test_ten_thousand_segments_are_judged(long_call: Transcript) -> None:
    with every_case() as cases:
        for detector in DETECTORS:
            with cases.case(detector.name):
                results = list(detector.process(CallContext(long_call)))
                ids = [result.finding_id for result in results if isinstance(result, Finding)]
                assert len(ids) == len(set(ids))
                measured = [result for result in results if isinstance(result, Measure | NotMeasured)]
                assert len(measured) == len(detector.measures)


def test_no_detector_fails() -> None:
    with every_case() as cases:
        for name, transcript in TRANSCRIPTS.items():
            with cases.case(name):
                analysis = shipped_judge().judge(transcript, NOW)
                assert DETECTOR_FAILED not in {skipped.reason for skipped in analysis.skipped_analysis}


def test_no_measure_has_two_owners() -> None:
    owned = [measure for detector in DETECTORS for measure in detector.measures]
    assert len(owned) == len(set(owned))
