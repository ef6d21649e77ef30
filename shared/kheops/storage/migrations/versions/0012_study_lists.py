"""What study lists group by, beside each pointer."""

from pathlib import Path

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Every pointer is written anew, under a minute for a million.
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30min'")
    op.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
