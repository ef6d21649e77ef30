"""What happens to an album, under KHEOPS's names."""

from enum import StrEnum

__all__ = ["MutationType"]


class MutationType(StrEnum):
    """Kinds of events in an album's history."""

    CREATE_ALBUM = "CREATE_ALBUM"
    EDIT_ALBUM = "EDIT_ALBUM"
    ADD_USER = "ADD_USER"
    ADD_ADMIN = "ADD_ADMIN"
    PROMOTE_ADMIN = "PROMOTE_ADMIN"
    DEMOTE_ADMIN = "DEMOTE_ADMIN"
    REMOVE_USER = "REMOVE_USER"
    LEAVE_ALBUM = "LEAVE_ALBUM"
    IMPORT_STUDY = "IMPORT_STUDY"
    IMPORT_SERIES = "IMPORT_SERIES"
    REMOVE_STUDY = "REMOVE_STUDY"
    REMOVE_SERIES = "REMOVE_SERIES"
