"""The command line in this process, as a person or a script meets it."""

import json
import os
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from streams.cli.main import main
from streams.settings import PREFIX


class Finished:
    """What a command said and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Terminal:
    """Runs commands in this process, as `callstream …` would, in a folder and with variables of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for variable in os.environ:
            if variable.startswith(PREFIX):
                monkeypatch.delenv(variable)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")
        self.set(data_dir=folder / "data")

    def set(self, **settings: object) -> None:
        for name, value in settings.items():
            self._monkeypatch.setenv(PREFIX + name.upper(), str(value))

    def run(self, *arguments: str | Path, stdin: str = "") -> Finished:
        self._capsys.readouterr()
        if stdin:
            self._monkeypatch.setattr(sys, "stdin", StringIO(stdin))
        self._monkeypatch.setattr(sys, "argv", ["callstream", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        said = self._capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Finished(end.value.code, said.out, said.err)

    def file(self, name: str, content: bytes | str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path
