"""The part of the one rule source that concerns downloads: taking series away as a file, which no viewer needs.

A download is an archive of whole objects (ZIP). What a viewer retrieves over DICOMweb is reading, and is decided by
`kheops.domain.policy` alone; this asks for more than that, and never for less: every series here is one that
`policy.read_series` has given out.
"""

from typing import assert_never

from kheops.domain.grants import Denied, ReadableSeries, Reason
from kheops.domain.policy import read_series
from kheops.domain.principals import (
    AlbumCapability,
    LinkVisit,
    Person,
    Principal,
    ReportToken,
    UserCapability,
    ViewerToken,
)
from kheops.domain.resources import AlbumRole, SeriesFacts

__all__ = ["export", "export_from_album", "export_series"]


def export(principal: Principal) -> Denied | None:
    """Decide whether ``principal`` may download anything at all, from the token alone.

    A token needs ``download`` besides ``read``; one made from another, what that one needs; a report token never may.
    """
    match principal:
        case Person():
            return None
        case UserCapability() | AlbumCapability():
            if not principal.permissions.read:
                return Denied(Reason.TOKEN_LACKS_READ)
            return None if principal.permissions.download else Denied(Reason.TOKEN_LACKS_DOWNLOAD)
        case ViewerToken():
            return export(principal.parent) if principal.read else Denied(Reason.TOKEN_LACKS_READ)
        case LinkVisit():
            return None if principal.download else Denied(Reason.TOKEN_LACKS_DOWNLOAD)
        case ReportToken():
            return Denied(Reason.TOKEN_KIND)
        case _:
            assert_never(principal)


def export_from_album(role: AlbumRole) -> Denied | None:
    """Decide whether what an album holds may be downloaded by somebody with ``role`` in it.

    Administrators may; plain members by the album's ``downloadSeries``.
    """
    return None if _exports_from(role) else Denied(Reason.ALBUM_ROLE)


def export_series(principal: Principal, facts: SeriesFacts | None) -> ReadableSeries | Denied:
    """Decide whether ``principal`` may download the series of ``facts`` (``None``: hidden or absent).

    One of the holdings by which they read it must permit it: an inbox, an album that they administer, or an album
    with ``downloadSeries``.
    """
    refused = export(principal)
    if refused is not None:
        return refused
    if facts is None:
        return Denied(Reason.NO_GRANT)
    exporting = tuple(holding for holding in facts.holdings if _exports_from(holding))
    return read_series(principal, SeriesFacts(facts.ref, exporting))


def _exports_from(holding: AlbumRole) -> bool:
    return holding.is_inbox or holding.is_admin or holding.flags.download_series
