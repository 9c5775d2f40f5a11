"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

from alembic import op

from aisle import migrations

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    migrations.upgrade_objects(op, revision)


def downgrade() -> None:
    migrations.downgrade_objects(op, revision, ancestors=[])
