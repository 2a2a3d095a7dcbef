"""Options that several commands have, and the files that their arguments name."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from schemas.config.yaml_files import YamlFileError

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def yaml_files(paths: Iterable[Path]) -> list[Path]:
    """The files that are named, and the YAML files in the folders that are. Raises `YamlFileError` for an empty one."""
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not found:
            raise YamlFileError([f"{path} holds no YAML file (*.yaml)"])
        files.extend(found)
    return files
