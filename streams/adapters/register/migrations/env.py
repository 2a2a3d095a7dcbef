"""What Alembic runs: on the connection, and in the transaction, that `migrate_register` gives."""

from typing import Any

from alembic import context

from streams.adapters.register.tables import metadata


def _remember(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:  # noqa: ARG001 - called by these names
    context.config.attributes["applied"].append(step.up_revision_id)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    on_version_apply=_remember,
)
context.run_migrations()
