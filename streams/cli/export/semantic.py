"""`callstream export semantic`: the KPIs as a semantic model for dbt and MetricFlow."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from schemas.errors import OperatorError
from streams.cli.command_settings import command_settings


class SemanticRefusedError(OperatorError):
    """The model cannot be written; the text says why."""

    exit_code = 1


def export_semantic(
    output: Annotated[
        Path, typer.Option(help="Folder for the files, within the models of a dbt project; created if it is not there.")
    ] = Path("models/callstream"),
) -> None:
    """Write the KPIs as a dbt / MetricFlow semantic model.

    All KPIs of the registry, your own included, as metrics; ratios stay ratios. Written over what was written before;
    other files in the folder stay as they are. docs/analysts.md says how to use it.
    """
    from processors.kpi.own_kpis import kpis_in_force
    from processors.kpi.semantic import SemanticNameError, semantic_files

    settings = command_settings()
    database = urlsplit(settings.clickhouse_url.get_secret_value()).path.strip("/") or "default"
    try:
        files = semantic_files(kpis_in_force(settings.kpis_file), settings.first_contact_days, database)
    except SemanticNameError as error:
        raise SemanticRefusedError(str(error)) from None
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (output / name).write_text(text, encoding="utf-8")
            typer.echo(str(output / name))
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise SemanticRefusedError(f"{output} cannot be written to: {type(error).__name__}") from None
