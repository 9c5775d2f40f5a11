"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

from alembic import op

from aisle.migrations import objects

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    objects.upgrade_objects(op, revision)


def downgrade() -> None:
    # The revisions before, the newest first.
    objects.downgrade_objects(op, revision, ancestors=[])
