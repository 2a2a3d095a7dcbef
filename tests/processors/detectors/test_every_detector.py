"""What holds for every detector, so that a new one gets these tests by being there."""

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
from tests.shipped_rules import shipped_judge, shipped_rules

CONTEXT = DetectorContext(shipped_rules())
DETECTORS = find_detectors(CONTEXT)

CONTROL_CHARACTERS = "".join(map(chr, (*range(32), 0x7F, 0x200B, 0x202E, 0xFEFF, 0xFFFD)))

TRANSCRIPTS = [
    pytest.param(heard([]), id="empty"),
    pytest.param(heard([], language=None), id="empty, language unknown"),
    pytest.param(said(("agent", ""), ("customer", "   ")), id="segments without text"),
    pytest.param(said(("agent", "这款产品保本保息"), industry="finance"), id="with word times"),
    pytest.param(said(("agent", "这款产品保本保息"), industry="finance", with_words=False), id="without word times"),
    pytest.param(said(("unknown", "这款产品保本保息"), industry="finance"), id="unknown speaker"),
    pytest.param(said(("customer", "有风险吗")), id="customer only"),
    pytest.param(said(("agent", "保\U0001f600本👨‍👩‍👧保息🇨🇳"), industry="finance"), id="emoji"),
    pytest.param(said(("agent", f"保{CONTROL_CHARACTERS}本"), industry="finance"), id="control characters"),
    pytest.param(said(("agent", "，。？！"), industry="finance"), id="punctuation only"),
    pytest.param(said(("agent", "ﬁ㎏①½İß保本"), industry="finance"), id="characters that unfold into several"),
    pytest.param(heard([("agent", 500, 500, "保本保息")], industry="finance"), id="segment of no length"),
    pytest.param(heard([("agent", 0, 9, "hello")], language="en"), id="another language"),
    pytest.param(
        heard(
            [
                ("agent", 0, 4_000, "请您稍等我帮您查一下"),
                ("customer", 1_000, 3_500, "你们到底什么时候送到"),
                ("customer", 9_000, 9_900, "喂"),
                ("agent", 14_000, 15_000, "您好让您久等了"),
            ]
        ),
        id="an interruption and two silences",
    ),
    pytest.param(
        felt(
            said(
                ("customer", "你好"), ("customer", ""), ("customer", "气死我了"), ("agent", "抱歉"), ("customer", "好")
            ),
            {0: (0.1, 0.0), 1: (0.9, -0.8), 2: (0.9, -0.8), 4: (0.1, 0.0)},
        ),
        id="agitated, also without words",
    ),
    pytest.param(on_one_channel(said(("agent", "您好"), ("customer", "你好"))), id="one channel, roles known"),
    pytest.param(
        on_one_channel(said(("agent", "您好"), ("customer", "你好")), ("agent", 0, 900), ("customer", 500, 9_000)),
        id="one channel, speakers told",
    ),
    pytest.param(not_heard("no_audio", duration_ms=None), id="not heard, no audio"),
    pytest.param(not_heard("too_short", duration_ms=2_942), id="not heard, too short"),
]


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


@pytest.mark.parametrize("transcript", TRANSCRIPTS)
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_every_owned_measure_is_accounted_for_once(detector: Detector, transcript: Transcript) -> None:
    results = list(detector.process(CallContext(transcript)))
    names = [result.name for result in results if isinstance(result, Measure)]
    names += [result.measure for result in results if isinstance(result, NotMeasured)]
    assert sorted(names) == sorted(detector.measures)


@pytest.mark.parametrize("transcript", TRANSCRIPTS)
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_the_same_transcript_gives_the_same_results(detector: Detector, transcript: Transcript) -> None:
    before = transcript.encode()
    first = list(detector.process(CallContext(transcript)))
    again = list(detector.process(CallContext(Transcript.decode(before))))
    assert first == again
    assert transcript.encode() == before


@pytest.mark.parametrize("transcript", TRANSCRIPTS)
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_findings_point_into_the_call(detector: Detector, transcript: Transcript) -> None:
    for finding in detector.process(CallContext(transcript)):
        if isinstance(finding, Finding):
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


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_ten_thousand_segments_are_judged(detector: Detector, long_call: Transcript) -> None:
    results = list(detector.process(CallContext(long_call)))
    ids = [result.finding_id for result in results if isinstance(result, Finding)]
    assert len(ids) == len(set(ids))
    measured = [result for result in results if isinstance(result, Measure | NotMeasured)]
    assert len(measured) == len(detector.measures)


@pytest.mark.parametrize("transcript", TRANSCRIPTS)
def test_no_detector_fails(transcript: Transcript) -> None:
    analysis = shipped_judge().judge(transcript, NOW)
    assert DETECTOR_FAILED not in {skipped.reason for skipped in analysis.skipped_analysis}


def test_no_measure_has_two_owners() -> None:
    owned = [measure for detector in DETECTORS for measure in detector.measures]
    assert len(owned) == len(set(owned))
