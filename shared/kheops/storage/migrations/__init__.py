"""Alembic's scripts: numbered plain SQL, forward only, expand then contract."""
