"""The audit trail as administrators of the installation read it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.named_people import NamedPerson
from kheops.domain.principals import Principal
from kheops.domain.uses import UseFilter
from kheops.errors import UserNotFoundError
from kheops.services.denials import granted
from kheops.storage import audit_search
from kheops.storage.audit_search import RecordedUse
from kheops.storage.engine import Database
from kheops.storage.suspension import find_person

__all__ = ["AuditReading"]


class AuditReading:
    """Reads the audit trail.

    Parameters
    ----------
    database
        Where it is.
    default_issuer
        The issuer that a bare ``sub`` means.
    """

    def __init__(self, database: Database, *, default_issuer: str) -> None:
        self._database = database
        self._default_issuer = default_issuer

    async def list(
        self, principal: Principal, wanted: UseFilter, by: NamedPerson | None, page: Page
    ) -> tuple[Sequence[RecordedUse], int, UseFilter]:
        """Return a page of uses, the latest first, their number, and the filter with the person found.

        No more than `kheops.storage.audit_search.COUNTED` are counted.

        Parameters
        ----------
        principal
            Who reads.
        wanted
            Which uses.
        by
            Who used it. A ``sub`` needs not be on record: who was erased is named by the trail all the same, and a
            bare one is the default issuer's even where another issuer has it too.
        page
            Which part.

        Raises
        ------
        ForbiddenError
            If the caller does not administer the installation.
        UserNotFoundError
            If nobody, or more than one person, has an address.
        """

        def person(tx: Connection, named: NamedPerson) -> tuple[str, str]:
            granted(policy.administer(principal))
            return self._person(tx, named)

        def work(tx: Connection) -> tuple[Sequence[RecordedUse], int]:
            granted(policy.administer(principal))
            return audit_search.list_uses(tx, found, page)

        # By itself: it locks the person's row, which others would wait for while the trail is searched.
        found = wanted if by is None else replace(wanted, person=await self._database.run(partial(person, named=by)))
        return *await self._database.run(work), found

    def _person(self, tx: Connection, named: NamedPerson) -> tuple[str, str]:
        if not named.is_address:
            return named.issuer_or(self._default_issuer), named.reference
        person = find_person(tx, named, default_issuer=self._default_issuer)
        if person is None:
            raise UserNotFoundError
        return person.iss, person.sub
