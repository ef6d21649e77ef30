"""Whether somebody may add to a series, told before they store (KHEOPS: verifyInstance)."""

from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from kheops.domain import policy
from kheops.domain.policy import Denied, Reason
from kheops.domain.principals import Principal
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.domain.uses import Outcome, Use
from kheops.ids import SopInstanceUID
from kheops.services.admission import Upload, store_facts
from kheops.services.audit import AuditTrail
from kheops.services.refusals import RefusalLimit
from kheops.services.store import role_in_target
from kheops.storage import series_rows
from kheops.storage.engine import Database

__all__ = ["Verification"]

_ANY_INSTANCE: Final = SopInstanceUID("0")
"""The decision is about the series; no instance is looked up."""


class Verification:
    """Decides as STOW-RS does, and reserves nothing.

    That a UID is in use shows, as it does when storing (design: who may add); so refusals are counted and recorded in
    the same way.

    Parameters
    ----------
    database
        Where the catalog is.
    audit
        Where refusals go.
    refusals
        The limit that storing counts by too.
    """

    def __init__(self, database: Database, audit: AuditTrail, refusals: RefusalLimit) -> None:
        self._database = database
        self._audit = audit
        self._refusals = refusals

    async def may_add(self, principal: Principal, ref: SeriesRef, *, asked: Use) -> bool:
        """Return whether a part of an upload without a named target may be added to ``ref``.

        Raises
        ------
        TooManyRequestsError
            If this person was refused too often of late.
        """
        self._refusals.check(principal.user)

        def work(tx: Connection) -> Reason | None:
            target = policy.store_into(principal, role_in_target(tx, principal, None))
            if isinstance(target, Denied):
                return target.reason
            series = series_rows.lock_series(tx, ref.series_instance_uid)
            instance = InstanceRef(ref.study_instance_uid, ref.series_instance_uid, _ANY_INSTANCE)
            upload = Upload(upload_id="verification", principal=principal, target=target)
            admission = policy.admit(principal, target, ref, store_facts(tx, upload, instance, series))
            return admission.reason if isinstance(admission, Denied) else None

        reason = await self._database.run(work)
        if reason is None:
            return True
        self._refusals.add(principal.user, ref.series_instance_uid)
        studies, series = (ref.study_instance_uid,), (ref.series_instance_uid,)
        refused = replace(asked, outcome=Outcome.REFUSED, reason=reason.value, studies=studies, series=series)
        await self._audit.record(refused)
        return False
