"""`callstream learn compare`."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.learn.data import LearnDataOption, LearnTenantOption, labelled_calls, load_reader, print_comparisons


def compare_models(
    one: Annotated[Path, typer.Argument(help="Folder of heads, A.")],
    other: Annotated[Path, typer.Argument(help="Folder of heads, B.")],
    tenant: LearnTenantOption = None,
    data: LearnDataOption = None,
) -> None:
    """Compare two models on the same calls: those that are frozen for one, and that neither has learned from."""
    from processors.reading.learned import compare, frozen_calls, load_learned

    calls = frozen_calls(labelled_calls(tenant, data).calls, load_learned(one), load_learned(other))
    print_comparisons(("A", "B"), compare(load_reader(one), load_reader(other), calls), by_verdicts=data is None)
