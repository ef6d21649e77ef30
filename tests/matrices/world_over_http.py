"""The matrix's world on a running system: made through the API, and by SQL where the API has no way yet."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Final

import httpx

from kheops import clock
from kheops.domain.resources import AlbumFlags
from tests.dicom_files import a_file, new_uid
from tests.matrices.world import (
    ALBUMS,
    CREDENTIALS,
    PEOPLE,
    SERIES,
    SUSPENDED,
    AlbumInWorld,
    Login,
    Nobody,
    Report,
    SeriesInWorld,
    Token,
    Viewer,
    Visit,
)
from tests.system.link_visits import link, visit
from tests.system.report_tokens import ask_for_a_report, register
from tests.system.running import System

__all__ = ["BuiltWorld", "State", "build"]

_PERMISSIONS: Final = {"r": "read", "w": "write", "a": "appropriate", "d": "download"}
_FORM_NAMES: Final = {
    each.name: each.name.split("_")[0] + "".join(part.title() for part in each.name.split("_")[1:])
    for each in fields(AlbumFlags)
}
_STATE: Final = """
    SELECT 'holding', COALESCE(u.sub, a.name), s.series_instance_uid FROM album_series x
    JOIN albums a ON a.pk = x.album_pk JOIN series s ON s.pk = x.series_pk LEFT JOIN users u ON u.inbox_pk = a.pk
    UNION ALL SELECT 'series', series_instance_uid, state || ' ' || number_of_instances FROM series
    UNION ALL SELECT 'instance', sop_instance_uid, state FROM instances
    UNION ALL SELECT 'album', id, name FROM albums
    UNION ALL SELECT 'member', a.name, u.sub || ' ' || m.is_admin FROM album_members m
    JOIN albums a ON a.pk = m.album_pk JOIN users u ON u.pk = m.user_pk
    UNION ALL SELECT 'capability', id, (revoked_at IS NOT NULL)::text FROM capabilities
    UNION ALL SELECT 'events', '', count(*)::text FROM events
"""
_LATE: Final = "interval '1 day'"
_SAVED: Final = ("series", "instances", "album_series", "album_members", "capabilities", "links", "events")
_RESTORE: Final = """
    CREATE FUNCTION saved.restore() RETURNS void LANGUAGE sql AS $$
        DELETE FROM series WHERE pk NOT IN (SELECT pk FROM saved.series);
        DELETE FROM instances WHERE pk NOT IN (SELECT pk FROM saved.instances);
        DELETE FROM capabilities WHERE pk NOT IN (SELECT pk FROM saved.capabilities);
        DELETE FROM events WHERE pk NOT IN (SELECT pk FROM saved.events);
        DELETE FROM album_series;
        INSERT INTO album_series SELECT * FROM saved.album_series;
        DELETE FROM album_members;
        INSERT INTO album_members SELECT * FROM saved.album_members;
        UPDATE links l SET revoked_at = v.revoked_at, revoked_by = v.revoked_by
            FROM saved.links v WHERE v.pk = l.pk;
        UPDATE series s SET state = v.state, orphaned_at = v.orphaned_at, dirty = v.dirty,
            number_of_instances = v.number_of_instances FROM saved.series v WHERE v.pk = s.pk;
        UPDATE capabilities c SET revoked_at = v.revoked_at, revoked_by = v.revoked_by
            FROM saved.capabilities v WHERE v.pk = c.pk;
    $$
"""

State = frozenset[tuple[str, str, str]]
"""What a refusal must not change: kind, name, and what is said of it."""


@dataclass(frozen=True, slots=True)
class BuiltWorld:
    """Identifiers and tokens of the world on a running system."""

    system: System
    studies: Mapping[str, str]
    series: Mapping[str, str]
    instances: Mapping[str, str]
    pixels: Mapping[str, bytes]
    """Each series has its own, by which a retrieved body is told."""
    albums: Mapping[str, str]
    tokens: Mapping[str, str | None]
    """By the credential's name."""
    capabilities: Mapping[str, str]
    """Public ids, by the credential's name."""
    providers: Mapping[str, str]
    """The one report provider of each album that has one."""
    links: Mapping[str, tuple[str, str]]
    """Public ids and secrets of the links, by the names of their visits."""

    def client(self, credential: str) -> httpx.Client:
        """Return a client that comes with a credential."""
        return self.system.client(token=self.tokens[credential])

    def file(self, series: str, *, uid: str | None = None, study: str | None = None) -> tuple[str, bytes]:
        """Return a new instance of a series, and its UID.

        Parameters
        ----------
        series
            The series of the world whose UIDs it has.
        uid, study
            Other UIDs of series and study.
        """
        instance = new_uid()
        body = a_file(
            study=study or self.studies[SERIES[series].study],
            series=uid or self.series[series],
            instance=instance,
            modality=SERIES[series].modality,
            patient_name="Xq^Unmistakable",
        )
        return instance, body

    def state(self) -> State:
        """Return what is on record now."""
        return frozenset((str(kind), str(name), str(said)) for kind, name, said in self.system.run_sql(_STATE))

    def restore(self) -> None:
        """Put everything back to what it was after building."""
        self.system.run_sql("SELECT saved.restore()")


def build(system: System) -> BuiltWorld:
    """Make the world on an empty system."""
    for name in PEOPLE:
        with system.client(name) as client:
            assert client.get("/albums").status_code == 200
    studies = {study: new_uid() for study in sorted({series.study for series in SERIES.values()})}
    tokens: dict[str, str | None] = {}
    capabilities: dict[str, str] = {}
    links: dict[str, tuple[str, str]] = {}
    albums = {name: _make_album(system, name, album) for name, album in ALBUMS.items()}
    world = BuiltWorld(
        system=system,
        studies=studies,
        series={name: new_uid() for name in SERIES},
        instances={name: new_uid() for name in SERIES},
        pixels={name: secrets.token_bytes(16) for name in SERIES},
        albums=albums,
        tokens=tokens,
        capabilities=capabilities,
        providers={"album 1": register(system, albums["album 1"])},
        links=links,
    )
    for name, series in SERIES.items():
        if series.origin is not None:
            _store(world, name, series)
    for name, credential in CREDENTIALS.items():
        if isinstance(credential, Token):
            tokens[name], capabilities[name] = _capability(world, credential)
        elif isinstance(credential, Visit):
            links[name] = _link(world, credential)
            tokens[name] = _visit(world, credential, *links[name])
        else:
            tokens[name] = _credential(world, credential)
    for name in SUSPENDED:
        system.run_sql("UPDATE users SET suspended_at = now() WHERE sub = :sub", sub=name)
    system.run_sql("CREATE SCHEMA saved")
    for table in _SAVED:
        system.run_sql(f"CREATE TABLE saved.{table} AS TABLE {table}")
    system.run_sql(_RESTORE)
    return world


def _make_album(system: System, name: str, album: AlbumInWorld) -> str:
    owner, *others = album.admins
    with system.client(owner) as client:
        flags = {_FORM_NAMES[each.name]: str(getattr(album.flags, each.name)).lower() for each in fields(AlbumFlags)}
        made = client.post("/albums", data={"name": name, **flags})
        assert made.status_code == 201, made.text
        public = str(made.json()["album_id"])
        for other in others:
            assert client.put(f"/albums/{public}/users/{other}/admin").status_code == 204
        for group in album.groups:
            assert client.put(f"/albums/{public}/groups/{group}").status_code == 201
        for member in album.members:
            assert client.put(f"/albums/{public}/users/{member}").status_code == 201
    return public


def _store(world: BuiltWorld, name: str, series: SeriesInWorld) -> None:
    assert series.origin is not None
    of_album = series.origin in ALBUMS
    sender = ALBUMS[series.origin].admins[0] if of_album else series.origin
    file = a_file(
        study=world.studies[series.study],
        series=world.series[name],
        instance=world.instances[name],
        modality=series.modality,
        patient_name="Xq^Unmistakable",
        pixels=world.pixels[name],
    )
    stored = world.system.store_files(sender, file, album=world.albums[series.origin] if of_album else None)
    assert stored.status_code == 200, stored.text
    path = f"/studies/{world.studies[series.study]}/series/{world.series[name]}"
    with world.system.client(sender) as client:
        for album in series.albums:
            if sender in ALBUMS[album].admins:
                assert client.put(f"{path}/albums/{world.albums[album]}").status_code == 201
            else:
                _pass_through(world, client, path, album)
        if not of_album and sender not in series.inboxes:
            assert client.delete(path).status_code == 204


def _pass_through(world: BuiltWorld, client: httpx.Client, path: str, album: str) -> None:
    """Send a series to an album's administrator, who puts it in and keeps nothing."""
    admin = ALBUMS[album].admins[0]
    assert client.put(f"{path}/users/{admin}").status_code == 201
    with world.system.client(admin) as theirs:
        assert theirs.put(f"{path}/albums/{world.albums[album]}").status_code == 201
        assert theirs.delete(path).status_code == 204


def _credential(world: BuiltWorld, credential: Nobody | Login | Viewer | Report) -> str | None:
    """Return what a request sends."""
    system = world.system
    match credential:
        case Nobody():
            return None
        case Login(person, is_expired, is_forged, groups):
            presented = {"groups": list(groups)} if groups else {}
            token = system.token(person, expires_in=-600 if is_expired else 3600, **presented)
            return token[:-8] + "AAAAAAAA" if is_forged else token
        case Viewer():
            return _viewer(world, credential)
        case Report(person, album, studies, is_expired):
            secret = ask_for_a_report(
                system, person, world.providers[album], [world.studies[study] for study in studies]
            )
            if is_expired:
                _end_the_last(system, "report_tokens")
            return secret


def _viewer(world: BuiltWorld, viewer: Viewer) -> str:
    parent = world.tokens[viewer.parent]
    assert parent is not None
    source = {} if viewer.source is None else {"source_type": "inbox"}
    if viewer.source in ALBUMS:
        source = {"source_type": "album", "source_id": world.albums[viewer.source]}
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token": parent,
        "studyUID": world.studies[viewer.study],
        "scope": " ".join(("viewer", *(_PERMISSIONS[letter] for letter in viewer.letters))),
        **source,
    }
    with world.system.client() as client:
        opened = client.post("/token", data=form)
    assert opened.status_code == 200, opened.text
    secret = str(opened.json()["access_token"])
    world.system.secrets_used.add(secret)
    if viewer.is_expired:
        _end_the_last(world.system, "viewer_tokens")
    return secret


def _end_the_last(system: System, table: str) -> None:
    system.run_sql(f"UPDATE {table} SET expires_at = now() - {_LATE} WHERE pk = (SELECT max(pk) FROM {table})")


def _link(world: BuiltWorld, visited: Visit) -> tuple[str, str]:
    form: dict[str, str | list[str]] = {"download_permission": str(visited.downloads).lower()}
    if visited.album is not None:
        form["album"] = world.albums[visited.album]
    else:
        form["series"] = [f"{world.studies[SERIES[name].study]}/{world.series[name]}" for name in visited.series]
    if visited.is_used_up:
        form["max_uses"] = "1"
    return link(world.system, visited.maker, **form)


def _visit(world: BuiltWorld, visited: Visit, public: str, secret: str) -> str:
    token = visit(world.system, public, secret)
    if visited.is_revoked:
        with world.system.client(visited.maker) as client:
            assert client.post(f"/links/{public}/revoke").status_code == 200
    if visited.is_expired:
        # No visit outlives its link.
        world.system.run_sql(f"UPDATE links SET expires_at = now() - {_LATE} WHERE id = :id", id=public)
        world.system.run_sql(
            f"UPDATE link_visits SET expires_at = now() - {_LATE} "
            "WHERE link_pk IN (SELECT pk FROM links WHERE id = :id)",
            id=public,
        )
    return token


def _capability(world: BuiltWorld, token: Token) -> tuple[str, str]:
    album = None if token.album is None else ALBUMS[token.album]
    was_administrator = album is not None and token.maker not in album.admins
    if was_administrator:
        _administer(world, token, is_admin=True)
    form = {
        "title": "of the matrix",
        "scope_type": "user" if album is None else "album",
        **{f"{_PERMISSIONS[letter]}_permission": "true" for letter in token.letters},
    }
    if token.album is not None:
        form["album"] = world.albums[token.album]
    if token.is_early:
        form["not_before_time"] = (clock.now() + timedelta(days=1)).isoformat()
    with world.system.client(token.maker) as client:
        made = client.post("/capabilities", data=form)
        assert made.status_code == 201, made.text
        public, secret = str(made.json()["id"]), str(made.json()["access_token"])
        if token.is_revoked:
            assert client.post(f"/capabilities/{public}/revoke").status_code == 200
    if token.is_expired:
        world.system.run_sql("UPDATE capabilities SET expires_at = now() - interval '1 day' WHERE id = :id", id=public)
    if was_administrator:
        _administer(world, token, is_admin=False)
    world.system.secrets_used.add(secret)
    return secret, public


def _administer(world: BuiltWorld, token: Token, *, is_admin: bool) -> None:
    assert token.album is not None
    path = f"/albums/{world.albums[token.album]}/users/{token.maker}/admin"
    with world.system.client(ALBUMS[token.album].admins[0]) as client:
        changed = client.put(path) if is_admin else client.delete(path)
        assert changed.status_code == 204, changed.text
