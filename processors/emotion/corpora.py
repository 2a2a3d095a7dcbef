"""Labelled data for training and evaluation: the user's own calls, and the layouts of public corpora."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from schemas.errors import OperatorError

LABELS_FILE = "labels.csv"
LABEL_COLUMNS: Final = ("file", "start_ms", "end_ms", "channel", "speaker", "label")
TEXT_COLUMN = "text"

AGITATED: Final = frozenset({"angry", "agitated"})
"""Labels that count as agitated; every other one is the rest."""
CLASSES: Final = ("angry", "fear", "happy", "neutral", "sad", "surprise")
"""Labels that are classes of their own. `agitated`, `calm` and `other` say only which side of the line a segment is."""
LABELS: Final = (*CLASSES, "agitated", "calm", "other")

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


@dataclass(frozen=True)
class LabelledText:
    """A text with its label."""

    corpus: str
    text: str = field(repr=False)
    label: str

    @property
    def is_agitated(self) -> bool:
        """Whether the label counts as agitated."""
        return self.label in AGITATED


@dataclass(frozen=True)
class LabelledData:
    """Everything that was found in a folder."""

    sounds: tuple[LabelledSound, ...]
    texts: tuple[LabelledText, ...]


def read_labelled(folder: Path) -> LabelledData:
    """The labelled data in a folder, by what lies in it, the folders directly below included:

    * `labels.csv` beside recordings, one row for each segment: the user's own calls;
    * `<speaker>/<emotion>/*.wav`, emotions being `angry`, `fear`, `happy`, `neutral`, `sad`, `surprise` (CASIA);
    * `SSttTE.wav` (Berlin EmoDB);
    * a JSON list of objects with `content` and `label` (SMP2020-EWECT), in `*.json` or `*.txt`.

    Raises `DataError` where there is nothing of this kind, or rows of `labels.csv` are wrong.
    """
    if not folder.is_dir():
        raise DataError(f"the folder of labelled data {folder} does not exist")
    sounds: list[LabelledSound] = []
    texts: list[LabelledText] = []
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        for read in _SOUND_LAYOUTS:
            sounds.extend(read(place))
        texts.extend(_texts(place))
    if not sounds and not texts:
        raise DataError(
            f"{folder} holds no labelled data: put a {LABELS_FILE} with the columns "
            f"{', '.join(LABEL_COLUMNS)} (and {TEXT_COLUMN}, if you have it) beside the recordings"
        )
    own = (LabelledText(each.corpus, each.text, each.label) for each in sounds if each.text)
    return LabelledData(tuple(sounds), (*texts, *own))


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
    """What is wrong with a row, and the segment where nothing is."""
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
    for path in sorted(folder.glob("*/*/*.wav")):
        if path.parent.name in CLASSES:
            yield LabelledSound(folder.name, path, 0, None, path.parent.parent.name, path.parent.name)


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
