"""What reading the audit trail looks up: studies, albums as the subject, kinds and outcomes."""

from pathlib import Path

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A trail of years is long. Writing it waits for these, and so do the services.
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '600s'")
    op.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))
