"""`callstream emotion train`."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.emotion.labelled_calls import (
    CacheOption,
    DataOption,
    ModelOption,
    check_labels,
    load_encoder,
    report_progress,
)


def train_heads(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the heads to.")],
    whisper_model: ModelOption = None,
    cache: CacheOption = None,
) -> None:
    """Train the heads for which there are labels.

    Heads without labels are left out, and the shipped ones stay in use. Needs `pip install 'callstream[train]'`.
    """
    from processors.emotion.training import require_scikit_learn, train

    require_scikit_learn()
    check_labels(data)
    done = train(data, out, load_encoder(whisper_model), cache=cache, say=report_progress)
    typer.echo(
        f"{done.sounds} sounds of {done.speakers} speakers ({done.agitated_sounds} agitated), "
        f"{done.texts} texts ({done.agitated_texts} agitated), {done.polar_texts} negative or positive texts"
    )
    for file in done.files:
        typer.echo(f"{file}  {file.stat().st_size / 1000:.0f} kB")
