"""Series that the store has told of."""

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s'")
    op.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
