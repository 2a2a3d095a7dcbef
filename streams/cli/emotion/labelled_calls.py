"""What training and evaluation share: the labelled calls, and the recogniser that hears them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processors.emotion.labels import LABEL_COLUMNS, LABELS, LABELS_FILE, TEXT_COLUMN
from streams.cli.command_settings import command_settings

if TYPE_CHECKING:
    from processors.emotion.encoder import WhisperEncoder

LABELS_HELP = f"""
Your own calls: put {LABELS_FILE} next to the recordings, in UTF-8, with the columns {", ".join(LABEL_COLUMNS)} and, if
you have it, {TEXT_COLUMN}. `file` is a path relative to the folder, times are whole milliseconds, channels count from
0, and `label` is one of {", ".join(LABELS)}.
"""

DataOption = Annotated[list[Path], typer.Option("--data", help="Folder of labelled data; can be repeated.")]
CacheOption = Annotated[
    Path | None, typer.Option("--cache", help="Folder in which computed features are kept for the next run.")
]
ModelOption = Annotated[
    str | None,
    typer.Option("--whisper-model", help="Model of the recogniser; by default the one in the settings."),
]


def check_labels(folders: Sequence[Path]) -> None:
    """Fail on a wrong row before a model is loaded. Raises `DataError`."""
    from processors.emotion.corpora import read_labelled

    for folder in folders:
        read_labelled(folder)


def load_encoder(model: str | None) -> "WhisperEncoder":
    """The encoder of that model, or of the one in the settings."""
    from processors.emotion.encoder import WhisperEncoder
    from processors.listening.engines.faster_whisper import WhisperSettings

    settings = command_settings()
    return WhisperEncoder(cache_dir=settings.cache_dir, model=model or settings.part(WhisperSettings).whisper_model)


def report_progress(sentence: str) -> None:
    """On standard error, so that the figures can be piped."""
    typer.echo(sentence, err=True)
