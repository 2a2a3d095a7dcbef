"""What tests of several commands share."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.streams.cli.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    """Commands configure logging for a process of their own; this one gets back what it had."""
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook
    yield Terminal(tmp_path, monkeypatch, capsys)
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook = hook
