"""The log of changes of grants, and the mark of a database that is being restored."""

from pathlib import Path

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s'")
    op.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
