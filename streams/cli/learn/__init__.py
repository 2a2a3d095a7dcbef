"""`callstream learn`: reading heads adapted to a tenant by the verdicts of its inspectors."""

import typer

from streams.cli.learn.alerts import allow_alerts
from streams.cli.learn.calibrate import calibrate_threshold
from streams.cli.learn.compare import compare_models
from streams.cli.learn.evaluate import evaluate
from streams.cli.learn.publish import publish_model
from streams.cli.learn.train import train

learn_app = typer.Typer(
    help="Adapt the reading heads to your own calls, by the verdicts of inspectors.", no_args_is_help=True
)
learn_app.command("train")(train)
learn_app.command("evaluate")(evaluate)
learn_app.command("compare")(compare_models)
learn_app.command("publish")(publish_model)
learn_app.command("calibrate")(calibrate_threshold)
learn_app.command("alerts")(allow_alerts)
