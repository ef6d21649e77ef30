"""What happens to an album, under KHEOPS's names; KHEOPS knows no groups."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

__all__ = ["FAMILIES", "MutationType"]


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
    ADD_GROUP = "ADD_GROUP"
    REMOVE_GROUP = "REMOVE_GROUP"
    IMPORT_STUDY = "IMPORT_STUDY"
    IMPORT_SERIES = "IMPORT_SERIES"
    REMOVE_STUDY = "REMOVE_STUDY"
    REMOVE_SERIES = "REMOVE_SERIES"
    ADD_FAV = "ADD_FAV"
    REMOVE_FAV = "REMOVE_FAV"
    CREATE_REPORT_PROVIDER = "CREATE_REPORT_PROVIDER"
    EDIT_REPORT_PROVIDER = "EDIT_REPORT_PROVIDER"
    DELETE_REPORT_PROVIDER = "DELETE_REPORT_PROVIDER"
    CREATE_WEBHOOK = "CREATE_WEBHOOK"
    EDIT_WEBHOOK = "EDIT_WEBHOOK"
    DELETE_WEBHOOK = "DELETE_WEBHOOK"
    TRIGGER_WEBHOOK = "TRIGGER_WEBHOOK"


FAMILIES: Final[Mapping[str, frozenset[MutationType]]] = {
    "webhooks": frozenset(
        {
            MutationType.CREATE_WEBHOOK,
            MutationType.EDIT_WEBHOOK,
            MutationType.DELETE_WEBHOOK,
            MutationType.TRIGGER_WEBHOOK,
        }
    ),
    "sending": frozenset(
        {
            MutationType.IMPORT_STUDY,
            MutationType.IMPORT_SERIES,
            MutationType.REMOVE_STUDY,
            MutationType.REMOVE_SERIES,
        }
    ),
    "users": frozenset(
        {
            MutationType.ADD_USER,
            MutationType.ADD_ADMIN,
            MutationType.PROMOTE_ADMIN,
            MutationType.DEMOTE_ADMIN,
            MutationType.REMOVE_USER,
            MutationType.LEAVE_ALBUM,
            MutationType.ADD_GROUP,
            MutationType.REMOVE_GROUP,
        }
    ),
    "report_provider": frozenset(
        {
            MutationType.CREATE_REPORT_PROVIDER,
            MutationType.EDIT_REPORT_PROVIDER,
            MutationType.DELETE_REPORT_PROVIDER,
        }
    ),
}
"""KHEOPS's families of kinds, by which a history can be asked for."""
