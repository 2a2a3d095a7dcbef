"""Every example message under tests/examples is what the models read and write."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.messages.finding import Finding
from schemas.messages.message import Record
from schemas.messages.outcome import OUTCOMES, Outcome
from schemas.messages.topics import CALLS_ANALYZED, CALLS_TRANSCRIBED, TOPICS

EXAMPLES = Path(__file__).parents[2] / "examples"
DECODERS: dict[str, Callable[[bytes], Record]] = {
    **{topic.name: topic.decode for topic in TOPICS},
    "finding": lambda raw: Finding.model_validate_json(raw, strict=True),
}


def _examples(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((EXAMPLES / folder).glob("*.json"))]


def _id(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", _examples(*DECODERS), ids=_id)
def test_an_example_is_the_same_after_encoding_and_decoding_it(path: Path) -> None:
    decode = DECODERS[path.parent.name]
    message = decode(path.read_bytes())
    assert decode(message.model_dump_json().encode()) == message


@pytest.mark.parametrize("path", _examples(*DECODERS), ids=_id)
def test_an_example_says_nothing_that_the_model_does_not_keep(path: Path) -> None:
    kept = DECODERS[path.parent.name](path.read_bytes()).model_dump(mode="json")
    written = json.loads(path.read_text(encoding="utf-8"))
    assert set(_values(written)) <= set(_values(kept))


def _values(value: object) -> Iterator[object]:
    """Every leaf but times, whose zone is changed to UTC."""
    if isinstance(value, dict):
        yield from (leaf for key, part in value.items() if not key.endswith("_at") for leaf in _values(part))
    elif isinstance(value, list):
        yield from (leaf for part in value for leaf in _values(part))
    else:
        yield value


@pytest.mark.parametrize("folder", DECODERS)
def test_every_topic_has_an_example(folder: str) -> None:
    assert list((EXAMPLES / folder).glob("*.json")), f"write tests/examples/{folder}/<what it shows>.json"


def test_every_folder_of_examples_belongs_to_a_topic() -> None:
    assert {folder.name for folder in EXAMPLES.iterdir()} == set(DECODERS)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_can_be_written_and_read(outcome: Outcome) -> None:
    example = json.loads((EXAMPLES / CALLS_ANALYZED.name / "too_short.json").read_text(encoding="utf-8"))
    analysis = CALLS_ANALYZED.decode(json.dumps({**example, "outcome": outcome}).encode())
    assert CALLS_ANALYZED.decode(analysis.encode()).outcome == outcome


@pytest.mark.parametrize("outcome", sorted(set(OUTCOMES) - {"analyzed"}))
def test_every_reason_not_to_be_heard_fits_a_transcript(outcome: Outcome) -> None:
    example = json.loads((EXAMPLES / CALLS_TRANSCRIBED.name / "not_heard_bad_audio.json").read_text(encoding="utf-8"))
    transcript = CALLS_TRANSCRIBED.decode(json.dumps({**example, "outcome": outcome}).encode())
    assert CALLS_TRANSCRIBED.decode(transcript.encode()).outcome == outcome


@pytest.mark.parametrize("path", _examples(*DECODERS), ids=_id)
def test_an_example_holds_no_phone_number(path: Path) -> None:
    mobile = re.compile(r"(?<![0-9a-fA-F])(\+?86)?1[3-9]\d{9}(?![0-9a-fA-F])")
    assert not mobile.search(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", _examples(CALLS_TRANSCRIBED.name), ids=_id)
def test_an_example_of_a_transcript_is_in_order_and_its_words_lie_in_their_segment(path: Path) -> None:
    segments = CALLS_TRANSCRIBED.decode(path.read_bytes()).segments
    assert [segment.segment_id for segment in segments] == list(range(len(segments)))
    for segment in segments:
        assert all(segment.start_ms <= word.start_ms <= word.end_ms <= segment.end_ms for word in segment.words)
        assert "".join(word.text for word in segment.words) in ("", re.sub(r"\W", "", segment.text))


@pytest.mark.parametrize("path", _examples(CALLS_ANALYZED.name), ids=_id)
def test_an_example_of_an_analysis_gives_a_reason_for_each_measure_that_is_null(path: Path) -> None:
    analysis = CALLS_ANALYZED.decode(path.read_bytes())
    unmeasured = {name for name, value in analysis.measures.items() if value is None}
    assert unmeasured == {skipped.measure for skipped in analysis.skipped_analysis}
