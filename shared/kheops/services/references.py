"""Whom a user reference of a route means."""

from sqlalchemy import Connection

from kheops.errors import UserNotFoundError
from kheops.storage import people
from kheops.storage.people import UserRecord

__all__ = ["person_of"]


def person_of(tx: Connection, reference: str, *, default_issuer: str) -> UserRecord:
    """Return the one person in good standing whom ``reference`` means.

    Parameters
    ----------
    tx
        The transaction.
    reference
        With ``@`` an e-mail address that a trusted issuer vouches for, else a ``sub`` of the default issuer.
    default_issuer
        The issuer that a bare ``sub`` means.

    Raises
    ------
    UserNotFoundError
        If nobody, or more than one person, answers to it, or they are suspended.
    """
    if "@" in reference:
        found = people.find_by_email(tx, reference)
    else:
        found = people.find_by_identity(tx, iss=default_issuer, sub=reference)
    if found is None or found.suspended_at is not None:
        raise UserNotFoundError
    return found
