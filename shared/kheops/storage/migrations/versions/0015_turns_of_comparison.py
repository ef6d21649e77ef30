"""Series that are only due for their weekly comparison, so that others come before them."""

from pathlib import Path

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The index begins with no row, but the whole table is read for it. Writing series waits.
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '600s'")
    op.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
