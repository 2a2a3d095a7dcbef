"""`callstream learn evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.learn.data import LearnDataOption, LearnTenantOption, labelled_calls, load_reader, print_comparisons


def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder that `train` wrote.")],
    tenant: LearnTenantOption = None,
    data: LearnDataOption = None,
) -> None:
    """Show how right a model is on its frozen calls, beside the shipped heads."""
    from processors.reading.labels import LabelledDataError
    from processors.reading.learned import compare, frozen_calls, load_learned

    record = load_learned(model)
    if record is None:
        raise LabelledDataError(f"{model} has no learned.json: it was not written by `callstream learn train`")
    calls = frozen_calls(labelled_calls(tenant, data).calls, record)
    if len(calls) < len(record.frozen):
        typer.echo(f"{len(record.frozen) - len(calls)} frozen call(s) have no labels any more", err=True)
    print_comparisons(
        ("shipped", "model"), compare(load_reader(None), load_reader(model), calls), by_verdicts=data is None
    )
