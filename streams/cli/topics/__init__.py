"""`callstream topics`: the topics of Kafka."""

import typer

from streams.cli.topics.apply import apply_topics

topics_app = typer.Typer(help="Prepare the Kafka topics.", no_args_is_help=True)
topics_app.command("apply")(apply_topics)
