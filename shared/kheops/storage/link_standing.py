"""The SQL of "the link still stands", asked when it is opened and again at each request of a visit."""

from typing import Final

__all__ = ["LINK_STANDS"]

LINK_STANDS: Final = """
    l.revoked_at IS NULL AND (l.album_pk IS NULL OR EXISTS (
        SELECT 1 FROM album_members m WHERE m.user_pk = l.user_pk AND m.album_pk = l.album_pk AND m.is_admin))
"""
"""Of ``links l``: it is not revoked, and who made it for an album still administers that album. Its time, its uses and
its creator's standing are asked besides."""
