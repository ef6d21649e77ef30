"""Whom a user reference of a route means."""

from sqlalchemy import Connection

from kheops.domain.named_people import NamedPerson
from kheops.errors import UserNotFoundError
from kheops.storage import people
from kheops.storage.people import UserRecord

__all__ = ["person_of"]


def person_of(tx: Connection, named: NamedPerson, *, default_issuer: str) -> UserRecord:
    """Return the one person in good standing whom a request names.

    Parameters
    ----------
    tx
        The transaction.
    named
        By an e-mail address that a trusted issuer vouches for, or by a ``sub``.
    default_issuer
        The issuer that a bare ``sub`` means.

    Raises
    ------
    UserNotFoundError
        If nobody, or more than one person, answers to it, or they are suspended.
    """
    found = people.find_named(tx, named, default_issuer=default_issuer)
    if found is None or found.suspended_at is not None:
        raise UserNotFoundError
    return found
