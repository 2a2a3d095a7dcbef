"""`callstream kpi superset`: the KPIs in the datasets of Superset, from the registry."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.console.exit_codes import EXIT_PROBLEM


def write_datasets(
    folder: Annotated[Path, typer.Argument(help="Folder of the datasets, YAML files.")] = Path(
        "deploy/superset/bundle/datasets"
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing, and end with 1 if a file is out of date.")
    ] = False,
) -> None:
    """Write the KPIs of the registry into the datasets of Superset.

    Metrics that are named like a KPI, and datasets of one KPI, get the SQL, name and definition of the KPI; all else in
    the files stays as it is.
    """
    from processors.kpi.superset import with_kpis
    from schemas.config.kpis.kpi import read_kpis

    files = sorted(folder.rglob("*.yaml"))
    if not files:
        raise typer.BadParameter(f"{folder} has no YAML files: name the folder of the datasets", param_hint="FOLDER")
    stale = False
    for file in files:
        text = file.read_text(encoding="utf-8")
        made = with_kpis(file.stem, text, read_kpis())
        if check:
            stale = stale or made != text
            typer.echo(f"{file}: {'up to date' if made == text else 'out of date'}")
        elif made != text:
            file.write_text(made, encoding="utf-8")
            typer.echo(f"wrote {file}")
    raise typer.Exit(EXIT_PROBLEM if stale else 0)
