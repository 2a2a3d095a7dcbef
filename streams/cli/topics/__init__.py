"""`callstream topics`: the topics of Kafka, and who may read and write them."""

import typer

from streams.cli.topics.acls import print_or_apply_acls
from streams.cli.topics.apply import apply_topics
from streams.cli.topics.check import check_topics

topics_app = typer.Typer(help="Prepare the Kafka topics, and who may use them.", no_args_is_help=True)
topics_app.command("apply")(apply_topics)
topics_app.command("check")(check_topics)
topics_app.command("acls")(print_or_apply_acls)
