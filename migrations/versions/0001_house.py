"""The registry of models, the vector tables, the queue, and the category functions.

Revision ID: 0001
Revises:
"""

from alembic import op

from aisle import migrations

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables, then the functions, triggers and views over them."""
    migrations.run_frozen(op, revision, "tables")
    migrations.upgrade_objects(op, revision)


def downgrade() -> None:
    """Leave the shop's tables as they were before Aisle came, and drop all that is ours."""
    migrations.run(op, "select aisle.detach(kind) from aisle._attachments;")
    migrations.downgrade_objects(op, revision)
    migrations.run_frozen(op, revision, "drop_tables")
