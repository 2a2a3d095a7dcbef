"""From which revision on a release can use the register; it rises where a migration takes away what others use."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    floor = op.create_table(
        "register_floor",
        sa.Column("revision", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_register_floor"),
    )
    op.bulk_insert(floor, [{"revision": "0010"}])
