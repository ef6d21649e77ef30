"""What report providers were given: a code first, then a token. Both are known here only by their keyed hash."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.grants import ReportGrant
from kheops.domain.policy import ReadScope
from kheops.domain.principals import ReportParent, ReportToken
from kheops.ids import AlbumId, AlbumPk, CapabilityId, ReportProviderId, ReportTokenPk, StudyInstanceUID, UserPk
from kheops.storage.visibility import HOLDS, scope_parameters

__all__ = [
    "NewReport",
    "OpenCode",
    "ReportOwner",
    "ReportTimes",
    "create_report",
    "delete_ended",
    "exchange_code",
    "find",
    "find_code",
    "number_of_live",
    "revoke",
    "revoke_of_provider",
    "stands",
    "studies_present",
    "times_of",
]

_ENDED_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class ReportOwner:
    """Who asked for a report."""

    user: UserPk
    capability: CapabilityId | None
    acting_party: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReport:
    """A report that somebody has asked a provider for. Either its code or its token is there from the start."""

    provider_pk: int
    owner: ReportOwner
    studies: Sequence[StudyInstanceUID]
    redirect_uri: str
    code_hash: bytes | None = None
    code_challenge: str | None = None
    secret_hash: bytes | None = None
    at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class OpenCode:
    """A code of a provider, with its row locked."""

    report: ReportTokenPk
    redirect_uri: str
    code_challenge: str | None
    used: bool
    """Whether it was exchanged already."""
    expires_at: datetime
    revoked: bool
    user: tuple[str, str]
    """``iss`` and ``sub`` of who asked for the report."""
    studies: tuple[StudyInstanceUID, ...]
    read: bool
    write: bool


@dataclass(frozen=True, slots=True)
class ReportTimes:
    """When a token was issued and ends, its album's public id and where its provider was sent."""

    issued_at: datetime
    expires_at: datetime
    album: AlbumId
    redirect_uri: str


def create_report(tx: Connection, grant: ReportGrant, new: NewReport) -> ReportTokenPk | None:
    """Write what a provider is given.

    Returns
    -------
    ReportTokenPk or None
        ``None``, and nothing is written, if the person is suspended, the capability token has ended, or the provider
        was removed.
    """
    pk = tx.execute(
        text(
            "INSERT INTO report_tokens (provider_pk, user_pk, capability_pk, acting_party, study_instance_uids, "
            "read_permission, write_permission, redirect_uri, code_hash, code_challenge, secret_hash, issued_at, "
            "expires_at) "
            "SELECT p.pk, u.pk, c.pk, :acting_party, :studies, :read, :write, :redirect_uri, :code_hash, "
            ":code_challenge, :secret_hash, :at, least(CAST(:until AS timestamptz), c.expires_at) "
            "FROM users u JOIN report_providers p ON p.pk = :provider AND p.removed_at IS NULL "
            "LEFT JOIN capabilities c ON c.id = CAST(:capability AS text) AND c.user_pk = u.pk "
            "AND c.revoked_at IS NULL AND c.expires_at > :at "
            "WHERE u.pk = :user AND u.suspended_at IS NULL "
            "AND (CAST(:capability AS text) IS NULL OR c.pk IS NOT NULL) RETURNING pk"
        ),
        {
            "provider": new.provider_pk,
            "user": new.owner.user,
            "capability": new.owner.capability,
            "acting_party": new.owner.acting_party,
            "studies": list(new.studies),
            "read": grant.read,
            "write": grant.write,
            "redirect_uri": new.redirect_uri,
            "code_hash": new.code_hash,
            "code_challenge": new.code_challenge,
            "secret_hash": new.secret_hash,
            "at": new.at,
            "until": new.until,
        },
    ).scalar_one_or_none()
    return None if pk is None else ReportTokenPk(pk)


def find_code(tx: Connection, *, code_hash: bytes, provider_pk: int, at: datetime) -> OpenCode | None:
    """Return a code that this provider was given, used or not, and lock its row.

    ``None`` as well if its person is suspended, has left the album, or the capability token behind it has ended.
    """
    row = tx.execute(
        text(
            "SELECT r.pk, r.redirect_uri, r.code_challenge, r.code_used_at IS NOT NULL, r.expires_at, "
            "r.revoked_at IS NOT NULL, u.iss, u.sub, r.study_instance_uids, r.read_permission, r.write_permission "
            "FROM report_tokens r "
            "JOIN report_providers p ON p.pk = r.provider_pk AND p.removed_at IS NULL "
            "JOIN users u ON u.pk = r.user_pk AND u.suspended_at IS NULL "
            "LEFT JOIN capabilities c ON c.pk = r.capability_pk "
            "WHERE r.code_hash = :code_hash AND r.provider_pk = :provider "
            "AND (c.pk IS NULL OR (c.revoked_at IS NULL AND c.expires_at > :at)) "
            "AND EXISTS (SELECT 1 FROM album_members m WHERE m.user_pk = r.user_pk AND m.album_pk = p.album_pk) "
            "FOR UPDATE OF r"
        ),
        {"code_hash": code_hash, "provider": provider_pk, "at": at},
    ).one_or_none()
    if row is None:
        return None
    return OpenCode(
        report=ReportTokenPk(row[0]),
        redirect_uri=row[1],
        code_challenge=row[2],
        used=row[3],
        expires_at=row[4],
        revoked=row[5],
        user=(row[6], row[7]),
        studies=tuple(map(StudyInstanceUID, row[8])),
        read=row[9],
        write=row[10],
    )


def exchange_code(
    tx: Connection, report: ReportTokenPk, *, secret_hash: bytes, at: datetime, until: datetime
) -> datetime:
    """Put a token in the place of a code, whose row the transaction has locked; return when it ends.

    Parameters
    ----------
    tx
        The transaction.
    report
        What the code is of.
    secret_hash
        The keyed hash of the token.
    at
        The current time.
    until
        The token's end at the latest; that of the capability token behind it goes before.
    """
    ends: datetime = tx.execute(
        text(
            "UPDATE report_tokens SET code_used_at = :at, secret_hash = :secret_hash, issued_at = :at, "
            "expires_at = least(CAST(:until AS timestamptz), "
            "(SELECT c.expires_at FROM capabilities c WHERE c.pk = capability_pk)) WHERE pk = :pk "
            "RETURNING expires_at"
        ),
        {"at": at, "secret_hash": secret_hash, "until": until, "pk": report},
    ).scalar_one()
    return ends


def revoke(tx: Connection, report: ReportTokenPk, *, at: datetime) -> None:
    """End what a provider was given by one code."""
    tx.execute(
        text("UPDATE report_tokens SET revoked_at = :at WHERE pk = :pk AND revoked_at IS NULL"),
        {"at": at, "pk": report},
    )


def revoke_of_provider(tx: Connection, provider_pk: int, *, at: datetime) -> None:
    """End everything that a provider was given."""
    tx.execute(
        text("UPDATE report_tokens SET revoked_at = :at WHERE provider_pk = :pk AND revoked_at IS NULL"),
        {"at": at, "pk": provider_pk},
    )


def stands(tx: Connection, report: ReportTokenPk, at: datetime) -> bool:
    """Return whether a token has not ended and its provider is still there; the person is not looked at."""
    found = tx.execute(
        text(
            "SELECT 1 FROM report_tokens r JOIN report_providers p ON p.pk = r.provider_pk AND p.removed_at IS NULL "
            "WHERE r.pk = :pk AND r.revoked_at IS NULL AND r.expires_at > :at"
        ),
        {"pk": report, "at": at},
    ).one_or_none()
    return found is not None


def find(tx: Connection, report: ReportTokenPk, parent: ReportParent) -> ReportToken | None:
    """Return a token as a principal, ended or not; ``None`` if it is gone."""
    row = tx.execute(
        text(
            "SELECT p.client_id, p.album_pk, r.study_instance_uids, r.read_permission, r.write_permission "
            "FROM report_tokens r JOIN report_providers p ON p.pk = r.provider_pk WHERE r.pk = :pk"
        ),
        {"pk": report},
    ).one_or_none()
    if row is None:
        return None
    return ReportToken(
        report=report,
        parent=parent,
        provider=ReportProviderId(row[0]),
        album=AlbumPk(row[1]),
        studies=tuple(map(StudyInstanceUID, row[2])),
        read=row[3],
        write=row[4],
    )


def times_of(tx: Connection, report: ReportTokenPk) -> ReportTimes | None:
    """Return what an introspection tells of a token besides its principal; ``None`` if it is gone."""
    row = tx.execute(
        text(
            "SELECT r.issued_at, r.expires_at, a.id, r.redirect_uri FROM report_tokens r "
            "JOIN report_providers p ON p.pk = r.provider_pk JOIN albums a ON a.pk = p.album_pk WHERE r.pk = :pk"
        ),
        {"pk": report},
    ).one_or_none()
    return None if row is None else ReportTimes(row[0], row[1], AlbumId(row[2]), row[3])


def number_of_live(tx: Connection, user: UserPk, at: datetime) -> int:
    """Return how many codes and tokens that somebody asked for have not ended."""
    number: int = tx.execute(
        text("SELECT count(*) FROM report_tokens WHERE user_pk = :user AND revoked_at IS NULL AND expires_at > :at"),
        {"user": user, "at": at},
    ).scalar_one()
    return number


def studies_present(
    tx: Connection, scope: ReadScope, studies: Sequence[StudyInstanceUID]
) -> frozenset[StudyInstanceUID]:
    """Return those of ``studies`` of which the scope has a series."""
    rows = tx.execute(
        text(f"SELECT DISTINCT s.study_instance_uid {HOLDS} AND s.study_instance_uid = ANY (CAST(:asked AS text[]))"),
        {**scope_parameters(scope), "asked": list(studies)},
    ).scalars()
    return frozenset(map(StudyInstanceUID, rows))


def delete_ended(tx: Connection, *, at: datetime) -> int:
    """Delete codes and tokens that are past their time, a thousand at most, and return how many.

    A used code goes with its token, not before: until then its second use is told from that of an unknown one.
    """
    deleted = tx.execute(
        text(
            "DELETE FROM report_tokens WHERE pk IN (SELECT pk FROM report_tokens WHERE expires_at <= :at "
            "ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED)"
        ),
        {"at": at, "most": _ENDED_AT_ONCE},
    )
    return deleted.rowcount
