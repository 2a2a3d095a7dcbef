"""`callstream emotion`: train and evaluate the heads that judge how a segment sounds and what its words betray."""

import typer

from streams.cli.emotion.evaluate import evaluate_heads
from streams.cli.emotion.labelled_calls import LABELS_HELP
from streams.cli.emotion.train import train_heads

emotion_app = typer.Typer(
    help="Train and evaluate emotion heads on labelled calls.", no_args_is_help=True, epilog=LABELS_HELP
)
emotion_app.command("train", epilog=LABELS_HELP)(train_heads)
emotion_app.command("evaluate", epilog=LABELS_HELP)(evaluate_heads)
