"""Shipped YAML with one change, for tests of what is refused."""

from pathlib import Path

import pytest

from schemas.config.yaml_files import YamlFileError


def changed(source: Path, folder: Path, old: str, new: str) -> Path:
    """A copy in which the first `old`, which must be there, is `new`."""
    text = source.read_text(encoding="utf-8")
    assert old in text, f"{source.name} no longer holds {old}"
    copy = folder / source.name
    copy.write_text(text.replace(old, new, 1), encoding="utf-8")
    return copy


def line_of(file: Path, text: str) -> int:
    """The line, from 1, where a text stands for the first time."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def problems_of(refused: pytest.ExceptionInfo[YamlFileError]) -> tuple[str, ...]:
    """What is wrong, without whatever stands before the last part of the path."""
    return tuple(problem.rpartition("/")[2] for problem in refused.value.problems)
