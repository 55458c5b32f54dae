"""Tokens by which machines become hosts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "join_tokens",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("secret_sha256", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=True),
        sa.Column("replaces", sa.Boolean(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("hosts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("uses > 0", name=op.f("ck_join_tokens_uses")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_join_tokens")),
    )
    op.add_column("host_identities", sa.Column("token_id", sa.String(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("host_identities", "token_id")
    op.drop_table("join_tokens")
