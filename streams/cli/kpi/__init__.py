"""`callstream kpi`: KPIs with targets, intervals and trends, and the analyses that are made of them."""

import typer

from streams.cli.kpi.customers import compare_customers
from streams.cli.kpi.demands import rank_demands
from streams.cli.kpi.hours import show_hours
from streams.cli.kpi.overview import show_kpis
from streams.cli.kpi.problems import find_problems
from streams.cli.kpi.rated import compare_rated
from streams.cli.kpi.superset import write_datasets
from streams.cli.kpi.training import compare_training
from streams.cli.kpi.why_changed import explain_change

kpi_app = typer.Typer(invoke_without_command=True)
kpi_app.callback()(show_kpis)
kpi_app.command("problems")(find_problems)
kpi_app.command("demands")(rank_demands)
kpi_app.command("customers")(compare_customers)
kpi_app.command("training")(compare_training)
kpi_app.command("hours")(show_hours)
kpi_app.command("rated")(compare_rated)
kpi_app.command("why-changed")(explain_change)
kpi_app.command("superset")(write_datasets)
