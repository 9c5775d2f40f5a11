"""The first schema: all of `sql/`.

Revision ID: 0001
Revises:
"""

from alembic import op

from aisle.migrations import objects

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables, then the functions, triggers and views over them."""
    objects.run_file(op, revision, "tables")
    objects.upgrade_objects(op, revision)


def downgrade() -> None:
    """Detach the shop's tables, and drop all of Aisle's objects."""
    objects.run(op, "select aisle.detach(kind) from aisle._attachments;")
    objects.run(op, "drop trigger _tasks_changed on aisle._tasks;")
    objects.downgrade_objects(op, revision)
    objects.run_file(op, revision, "drop_tables")
