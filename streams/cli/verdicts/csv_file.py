"""A CSV file of verdicts as messages: good rows, and what is wrong with the others."""

import csv
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from uuid import UUID

from processors.clickhouse.rows import with_masked_words
from processors.reading.call_reader import KINDS
from schemas.errors import InvalidMessageError, OperatorError
from schemas.messages.belongs_there import with_what_belongs_there
from schemas.messages.verdict_given import VerdictGiven

COLUMNS = tuple(name for name in VerdictGiven.model_fields if name != "schema_version")
"""Those of the message, under its names. `about` may be left out: it follows from what else a row has."""

_MUST = ("tenant_id", "call_id", "answer", "given_by", "given_at")
_SAID = ("score", "quote")
"""Where one of these is filled in, somebody has judged, and the answer was forgotten."""

_OTHER_SEPARATORS = {";": "';'", "\t": "tabs"}
_NO_KIND = f"kind: no kind of violation ({', '.join(KINDS)})"
_NO_FINDING = (
    "finding_id: no id of a finding (copy it from findings or suspicions, such as 0c0b3f0e-6a0e-5a43-8d3c-0d8f0f5a3b11)"
)


class VerdictFileError(OperatorError):
    """The file as a whole cannot be used; the text says what it lacks."""

    exit_code = 1


@dataclass(frozen=True)
class ReadVerdicts:
    """What a file holds; `problems` name line and field, and no value. `unanswered`: rows that wait for an answer."""

    verdicts: tuple[VerdictGiven, ...]
    problems: tuple[str, ...]
    unanswered: int = 0


def read_verdicts(
    file: Path, zone_of: Callable[[str], tzinfo], defaults: Mapping[str, str | None] | None = None
) -> ReadVerdicts:
    """The verdicts of a file, masked. A time without a zone is on the tenant's clock, which `zone_of` gives.

    `defaults` are values of columns that the file does not have. Raises `VerdictFileError`.
    """
    given = {name: value for name, value in (defaults or {}).items() if value is not None}
    verdicts, problems, unanswered = [], [], 0
    for line, row in _rows(file, given.keys()):
        if isinstance(row, str):
            problems.append(f"line {line}: {row}")
            continue
        if "answer" not in row and not any(name in row for name in _SAID):
            unanswered += 1
            continue
        try:
            verdicts.append(with_masked_words(_verdict({**given, **row}, zone_of)))
        except InvalidMessageError as error:
            problems.append(f"line {line}: {'; '.join(map(_in_words, error.problems))}")
    return ReadVerdicts(tuple(verdicts), tuple(problems), unanswered)


def _in_words(problem: str) -> str:
    return with_what_belongs_there(VerdictGiven, problem)


def _rows(file: Path, given: Collection[str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Line → its cells that are not empty, or why it cannot be read."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            _check_header(file, header, given)
            line = reader.line_num
            for cells in reader:
                first, line = line + 1, reader.line_num
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    yield first, f"{len(cells)} cells, and the first line has {len(header)}"
                    continue
                yield first, {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}
    except OSError as error:
        raise VerdictFileError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise VerdictFileError(f"{file} is not UTF-8: in Excel, save it as “CSV UTF-8”") from None
    except csv.Error:
        raise VerdictFileError(f"{file} is no CSV: a cell is too long, or a quotation mark is not closed") from None


def _check_header(file: Path, header: list[str], given: Collection[str]) -> None:
    for separator, words in _OTHER_SEPARATORS.items():
        if any(separator in name for name in header):
            raise VerdictFileError(f"{file}: columns are separated by {words}: save it with commas")
    known = set(COLUMNS)
    unknown = [str(place) for place, name in enumerate(header, 1) if name not in known]
    if unknown:
        raise VerdictFileError(f"{file}: column {', '.join(unknown)} is none of {', '.join(COLUMNS)}")
    if len(set(header)) < len(header):
        raise VerdictFileError(f"{file}: a column occurs twice")
    named = {*header, *given}
    if lacking := [name for name in _MUST if name not in named]:
        options = " (or give --tenant, --by)" if {"tenant_id", "given_by"} & set(lacking) else ""
        raise VerdictFileError(f"{file}: there is no column {', '.join(lacking)}{options}")


def _verdict(cells: Mapping[str, str], zone_of: Callable[[str], tzinfo]) -> VerdictGiven:
    """Raises `InvalidMessageError`."""
    fields: dict[str, object] = dict(cells)
    if "about" not in fields:
        fields["about"] = "finding" if "finding_id" in fields else "missed" if "quote" in fields else "call"
    for name in ("segment_id", "start_ms"):
        if cells.get(name, "").isdecimal():
            fields[name] = int(cells[name])
    with suppress(ValueError):  # what is no number, and below what is no time, the message refuses
        if "score" in cells:
            fields["score"] = float(cells["score"])
    with suppress(ValueError):
        moment = datetime.fromisoformat(cells.get("given_at", ""))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone_of(cells.get("tenant_id", "")))
        fields["given_at"] = moment.isoformat()
    verdict = VerdictGiven.decode(json.dumps(fields).encode())
    _require_that_it_exists(verdict)
    return verdict


def _require_that_it_exists(verdict: VerdictGiven) -> None:
    """The kind, and something with such an id. Raises `InvalidMessageError`.

    What is withdrawn may be about anything: that takes back what was given before this was looked at.
    """
    if verdict.answer == "withdrawn":
        return
    if verdict.kind is not None and verdict.kind not in KINDS:
        raise InvalidMessageError([_NO_KIND])
    if verdict.finding_id is not None and not _is_id_of_finding(verdict.finding_id):
        raise InvalidMessageError([_NO_FINDING])


def _is_id_of_finding(text: str) -> bool:
    """Whether it is written as ids of findings are: a UUID of version 5 (`processors.detectors.base.findings`)."""
    try:
        found = UUID(text)
    except ValueError:
        return False
    return found.version == 5 and str(found) == text
