"""Labelled data for training and evaluation: the user's own calls, and the layouts of public corpora."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from processors.emotion.labels import AGITATED, CLASSES, LABEL_COLUMNS, LABELS, LABELS_FILE, POLARITIES, TEXT_COLUMN
from schemas.errors import OperatorError

SENTENCES_FILE = "texts.txt"
POLAR_HEADER = "labels,text"

MAX_PROBLEMS = 20

# Berlin EmoDB: the sixth character of a file name.
_EMODB_LABELS = {
    "W": "angry",
    "L": "other",  # boredom
    "E": "other",  # disgust
    "A": "fear",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}
_EMODB_NAME_LENGTH = 7
_TEXT_LABELS = frozenset(CLASSES)


SpeakerKey = tuple[str, str]


class DataError(OperatorError):
    """Labelled data cannot be used; the text names files, rows and columns and what to do, never a value."""

    exit_code = 1


@dataclass(frozen=True)
class LabelledSound:
    """One stretch of one channel of a file with its label. Without an extent, all the speech in the file."""

    corpus: str
    file: Path
    channel: int
    extent_ms: tuple[int, int] | None
    speaker: str
    label: str
    text: str | None = field(default=None, repr=False)

    @property
    def is_agitated(self) -> bool:
        """Whether the label counts as agitated."""
        return self.label in AGITATED

    @property
    def is_of_call(self) -> bool:
        """Whether it is a marked segment of a recording, said by somebody who meant it, and no acted sentence."""
        return self.extent_ms is not None

    @property
    def speaker_key(self) -> SpeakerKey:
        """Corpus and speaker: names of speakers mean nothing outside their corpus."""
        return (self.corpus, self.speaker)


@dataclass(frozen=True)
class LabelledText:
    """A labelled text, for training and evaluating the head of words."""

    corpus: str
    text: str = field(repr=False)
    label: str

    @property
    def is_agitated(self) -> bool:
        """Whether the label counts as agitated."""
        return self.label in AGITATED


@dataclass(frozen=True)
class LabelledData:
    """All labelled sounds and texts that were found in a folder."""

    sounds: tuple[LabelledSound, ...]
    texts: tuple[LabelledText, ...]
    polar: tuple[LabelledText, ...] = ()
    """Texts of which no more is known than whether they are negative or positive."""


@dataclass(frozen=True)
class LabelledHistory:
    """Rows of one speaker that are heard one after the other; `is_ordered` where their order is that of a call."""

    rows: tuple[int, ...]
    is_ordered: bool

    def order(self, random: np.random.Generator) -> list[int]:
        """The rows as a call would bring them: in order of time, or in any order where there is none."""
        return list(self.rows) if self.is_ordered else [int(row) for row in random.permutation(self.rows)]


def read_labelled(folder: Path) -> LabelledData:
    """The labelled data in a folder, by what lies in it, the folders directly below included:

    * `labels.csv` beside recordings, one row for each segment: the user's own calls;
    * `<speaker>/<emotion>/*.wav`, emotions being `angry`, `fear`, `happy`, `neutral`, `sad`, `surprise`, with
      `texts.txt` (`number. sentence`), if what was said is known (CASIA);
    * `SSttTE.wav` (Berlin EmoDB);
    * a JSON list of objects with `content` and `label` (SMP2020-EWECT), in `*.json` or `*.txt`;
    * lines of `negative,text` or `positive,text` under the header `labels,text`, the words of a text parted by spaces
      or not, in `*.txt`.

    Raises `DataError` where there is nothing of this kind, or rows of `labels.csv` are wrong.
    """
    if not folder.is_dir():
        raise DataError(f"the folder of labelled data {folder} does not exist")
    sounds: list[LabelledSound] = []
    texts: list[LabelledText] = []
    polar: list[LabelledText] = []
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        for read in _SOUND_LAYOUTS:
            sounds.extend(read(place))
        texts.extend(_texts(place))
        polar.extend(_polar(place))
    if not sounds and not texts and not polar:
        raise DataError(
            f"{folder} holds no labelled data: put a {LABELS_FILE} with the columns "
            f"{', '.join(LABEL_COLUMNS)} (and {TEXT_COLUMN}, if you have it) beside the recordings"
        )
    # The texts of acted sentences say nothing of the emotion: every speaker says every sentence in every emotion.
    own = (LabelledText(each.corpus, each.text, each.label) for each in sounds if each.text and each.is_of_call)
    return LabelledData(tuple(sounds), (*texts, *own), tuple(polar))


def histories(examples: Sequence[LabelledSound], rows: Iterable[int]) -> list[LabelledHistory]:
    """The rows in groups of one speaker, in the order in which a call would bring them.

    Several segments of one speaker in one recording are a call of their own, in order of time. Single utterances in
    files of their own are taken together by speaker, and their order means nothing.
    """
    rows = list(rows)
    in_file = Counter((each.file, each.channel, each.speaker) for each in (examples[row] for row in rows))
    groups: dict[tuple[bool, str, str, str], list[int]] = {}
    for row in rows:
        each = examples[row]
        is_call = in_file[(each.file, each.channel, each.speaker)] > 1
        key = (is_call, each.corpus, each.speaker, f"{each.file}#{each.channel}" if is_call else "")
        groups.setdefault(key, []).append(row)
    return [
        LabelledHistory(
            tuple(sorted(own, key=lambda row: examples[row].extent_ms or (0, 0)) if key[0] else own), key[0]
        )
        for key, own in sorted(groups.items())
    ]


def _own_calls(folder: Path) -> Iterator[LabelledSound]:
    path = folder / LABELS_FILE
    if not path.is_file():
        return
    problems: list[str] = []
    found: list[LabelledSound] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in LABEL_COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path}: the first row must name the columns {', '.join(LABEL_COLUMNS)}; "
                    f"missing: {', '.join(missing)}"
                )
            for row in rows:
                wrong, example = _own_segment(folder, row)
                problems.extend(f"row {rows.line_num}: {each}" for each in wrong)
                if example is not None:
                    found.append(example)
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8: save it as UTF-8") from None
    if problems:
        more = len(problems) - MAX_PROBLEMS
        lines = [*problems[:MAX_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
        raise DataError("\n  ".join([f"{path} has rows that cannot be used; correct or delete them:", *lines]))
    yield from found


def _own_segment(folder: Path, row: Mapping[str, str | None]) -> tuple[list[str], LabelledSound | None]:
    """The problem with a row, or its segment if there is none."""
    cells = {name: (row.get(name) or "").strip() for name in (*LABEL_COLUMNS, TEXT_COLUMN)}
    problems: list[str] = []
    whole = {name: _whole_number(cells[name]) for name in ("start_ms", "end_ms", "channel")}
    for name, number in whole.items():
        if number is None:
            problems.append(f"{name} must be a whole number, 0 or more")
    start_ms, end_ms, channel = whole["start_ms"], whole["end_ms"], whole["channel"]
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        problems.append("end_ms must be greater than start_ms")
    if not cells["file"] or not (folder / cells["file"]).is_file():
        problems.append(f"file must name a recording in {folder}")
    if not cells["speaker"]:
        problems.append("speaker is empty: any name that tells the speakers apart will do")
    if cells["label"] not in LABELS:
        problems.append(f"label must be one of {', '.join(LABELS)}")
    if problems or start_ms is None or end_ms is None or channel is None:
        return problems, None
    return [], LabelledSound(
        corpus=folder.name,
        file=folder / cells["file"],
        channel=channel,
        extent_ms=(start_ms, end_ms),
        speaker=cells["speaker"],
        label=cells["label"],
        text=cells[TEXT_COLUMN] or None,
    )


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _speaker_folders(folder: Path) -> Iterator[LabelledSound]:
    texts = _texts_by_number(folder / SENTENCES_FILE)
    for path in sorted(folder.glob("*/*/*.wav")):
        if path.parent.name in CLASSES:
            text = texts.get(path.stem)
            yield LabelledSound(folder.name, path, 0, None, path.parent.parent.name, path.parent.name, text)


def _texts_by_number(path: Path) -> dict[str, str]:
    """Sentences by their number: lines such as `201. text`."""
    if not path.is_file():
        return {}
    lines = (line.partition(".") for line in path.read_text(encoding="utf-8").splitlines())
    return {number.strip(): text.strip() for number, dot, text in lines if dot}


def _emodb(folder: Path) -> Iterator[LabelledSound]:
    for path in sorted(folder.glob("*.wav")):
        name = path.stem
        if len(name) == _EMODB_NAME_LENGTH and name[:2].isdigit() and name[5] in _EMODB_LABELS:
            yield LabelledSound(folder.name, path, 0, None, name[:2], _EMODB_LABELS[name[5]])


_SOUND_LAYOUTS: tuple[Callable[[Path], Iterable[LabelledSound]], ...] = (_own_calls, _speaker_folders, _emodb)


def _texts(folder: Path) -> Iterator[LabelledText]:
    for path in sorted((*folder.glob("*.json"), *folder.glob("*.txt"))):
        with path.open("rb") as file:
            if file.read(1) != b"[":
                continue
        try:
            items = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        for item in items:
            if isinstance(item, dict) and item.get("label") in _TEXT_LABELS and isinstance(item.get("content"), str):
                yield LabelledText(path.stem, item["content"], item["label"])


def _polar(folder: Path) -> Iterator[LabelledText]:
    for path in sorted(folder.glob("*.txt")):
        with path.open(encoding="utf-8", errors="replace") as file:
            if file.readline().strip() != POLAR_HEADER:
                continue
            for line in file:
                label, _, text = line.partition(",")
                if label in POLARITIES:
                    yield LabelledText(path.stem, "".join(text.split()), label)
