"""`callstream metrics`: every metric that workers export."""

from typing import Annotated

import typer
from rich.table import Table

from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.pages.metrics import metrics_markdown
from streams.runtime.metrics import METRICS


def metrics(
    as_json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/metrics.md.")] = False,
) -> None:
    """List every metric that workers export for Prometheus.

    Where a worker exports them, CALLSTREAM_METRICS_ADDRESS says.
    """
    if markdown:
        typer.echo(metrics_markdown(), nl=False)
        return
    if as_json:
        print_json(
            [
                {
                    "name": metric.name,
                    "kind": metric.kind,
                    "labels": list(metric.labels),
                    "unit": metric.unit,
                    "exported_by": list(metric.exported_by),
                    "meaning": metric.help,
                }
                for metric in METRICS
            ]
        )
        return
    table = Table("metric", "kind", "labels", "unit", "exported by", "meaning")
    for metric in METRICS:
        table.add_row(
            metric.name, metric.kind, ", ".join(metric.labels), metric.unit, ", ".join(metric.exported_by), metric.help
        )
    console().print(table)
