"""People, albums, series and tokens put into the database by plain SQL, in any state that a test wants."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, text

from kheops.domain.profiles import Profile
from kheops.domain.resources import InstanceRef
from kheops.identity.own_tokens import hash_secret, new_secret, new_viewer_secret
from kheops.ids import AlbumId, AlbumPk, UserPk, new_album_id, new_capability_id
from kheops.storage.columns import INSTANCE_COLUMNS, SERIES_COLUMNS
from kheops.storage.engine import Database
from kheops.storage.people import create_user
from tests.dicom_files import ref_of

__all__ = ["PEPPER", "Album", "Catalog", "Holder", "Somebody"]

PEPPER = "a pepper of the tests: 0123456789"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Somebody:
    """A person with an inbox and a token of user scope that reads."""

    user: UserPk
    inbox: AlbumPk
    token: str


@dataclass(frozen=True)
class Album:
    """An album."""

    pk: AlbumPk
    id: AlbumId


Holder = Somebody | Album


class Catalog:
    """Puts rows into a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def person(self, sub: str) -> Somebody:
        record = self._database.run_blocking(
            lambda tx: create_user(
                tx,
                iss="https://idp.example",
                sub=sub,
                profile=Profile(None, email_verified=False, name=sub),
                at=LONG_AGO,
            )
        )
        return Somebody(record.user, record.inbox, self.token(record.user))

    def album(self, *members: Somebody, admins: tuple[Somebody, ...] = (), download_series: bool = False) -> Album:
        id_ = new_album_id()
        pk = self._insert(
            "albums",
            id=id_,
            kind="album",
            name="An album",
            created_at=LONG_AGO,
            last_event_at=LONG_AGO,
            download_series=download_series,
            returning="pk",
        )
        for member in (*members, *admins):
            self._insert(
                "album_members",
                album_pk=pk,
                user_pk=member.user,
                is_admin=member in admins,
                joined_at=LONG_AGO,
            )
        return Album(AlbumPk(pk), id_)

    def token(
        self,
        user: UserPk,
        *,
        album: Album | None = None,
        read: bool = True,
        write: bool = False,
        download: bool = False,
        expired: bool = False,
    ) -> str:
        """Make a capability token and return its secret."""
        secret = new_secret()
        now = datetime.now(UTC)
        self._insert(
            "capabilities",
            id=new_capability_id(),
            secret_hash=hash_secret(secret, PEPPER.encode()),
            title="a token",
            scope_type="user" if album is None else "album",
            user_pk=user,
            album_pk=None if album is None else album.pk,
            read_permission=read,
            write_permission=write,
            appropriate_permission=False,
            download_permission=download,
            issued_at=LONG_AGO,
            not_before=LONG_AGO,
            expires_at=now + timedelta(hours=-1 if expired else 1),
        )
        return secret

    def viewer(self, capability: str, study: str) -> str:
        """Make a viewer token of a capability token, which reads everything of a study, and return its secret."""
        secret = new_viewer_secret()
        self.execute(
            "INSERT INTO viewer_tokens (secret_hash, user_pk, capability_pk, study_instance_uid, source_inbox, "
            "read_permission, write_permission, issued_at, expires_at) SELECT :secret, user_pk, pk, :study, false, "
            "true, false, now(), now() + interval '1 hour' FROM capabilities WHERE secret_hash = :parent",
            secret=hash_secret(secret, PEPPER.encode()),
            study=study,
            parent=hash_secret(capability, PEPPER.encode()),
        )
        return secret

    def series(
        self,
        *holders: Holder,
        study: str,
        series: str,
        instances: int | tuple[str, ...] = 1,
        state: str = "confirmed",
        attributes: Mapping[str, str] = MappingProxyType({}),
        **more_attributes: str,
    ) -> list[InstanceRef]:
        """Catalog a series with confirmed instances, held by people's inboxes and albums.

        It is confirmed after everything cataloged before it.

        Parameters
        ----------
        holders
            Who has it.
        study, series
            Its UIDs.
        instances
            How many, or their UIDs.
        state
            Of the series.
        attributes, more_attributes
            Of the series, by keyword.
        """
        uids = instances if isinstance(instances, tuple) else tuple(f"{series}.{n}" for n in range(1, instances + 1))
        pk = self._insert(
            "series",
            study_instance_uid=study,
            series_instance_uid=series,
            state=state,
            lease_until=LONG_AGO,
            orphaned_at=LONG_AGO,
            created_at=LONG_AGO,
            updated_at=LONG_AGO,
            confirmed_at=LONG_AGO + timedelta(seconds=next(_numbers)),
            number_of_instances=len(uids),
            returning="pk",
            **{SERIES_COLUMNS[keyword]: value for keyword, value in {**attributes, **more_attributes}.items()},
        )
        for holder in holders:
            album = holder.inbox if isinstance(holder, Somebody) else holder.pk
            self._insert("album_series", album_pk=album, series_pk=pk, added_at=LONG_AGO)
        refs = []
        for number, uid in enumerate(uids, 1):
            self.instance(series, uid, InstanceNumber=str(number))
            refs.append(ref_of(study, series, uid))
        return refs

    def instance(self, series: str, uid: str, *, state: str = "confirmed", **attributes: str) -> None:
        """Catalog an instance of a series that is there; the series's number of instances stays as it is."""
        pk = self.value("SELECT pk FROM series WHERE series_instance_uid = :uid", uid=series)
        values = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "AvailableTransferSyntaxUID": "1.2.840.10008.1.2.1"}
        self._insert(
            "instances",
            series_pk=pk,
            sop_instance_uid=uid,
            state=state,
            lease_until=LONG_AGO,
            created_at=LONG_AGO,
            **{INSTANCE_COLUMNS[keyword]: value for keyword, value in {**values, **attributes}.items()},
        )

    def execute(self, sql: str, **parameters: object) -> None:
        self._database.run_blocking(lambda tx: tx.execute(text(sql), parameters))

    def value(self, sql: str, **parameters: object) -> Any:
        return self._database.run_blocking(lambda tx: tx.execute(text(sql), parameters).scalar_one())

    def rows(self, sql: str, **parameters: object) -> list[tuple[Any, ...]]:
        def work(tx: Connection) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in tx.execute(text(sql), parameters)]

        return self._database.run_blocking(work)

    def _insert(self, table: str, *, returning: str = "", **values: object) -> Any:
        names = ", ".join(f'"{name}"' for name in values)
        binds = ", ".join(f":{name}" for name in values)
        tail = f" RETURNING {returning}" if returning else ""
        statement = text(f"INSERT INTO {table} ({names}) VALUES ({binds}){tail}")

        def work(tx: Connection) -> Any:
            result = tx.execute(statement, values)
            return result.scalar_one() if returning else None

        return self._database.run_blocking(work)
