"""The matrix over HTTP: each row as a request to a running system, and what its answer comes to."""

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import httpx

from tests.dicom_files import new_uid
from tests.matrices.notation import Action, Outcome, Row
from tests.matrices.world import (
    ALBUMS,
    CREDENTIALS,
    RECEIVER,
    SERIES,
    Login,
    Report,
    Token,
    Viewer,
    series_of,
)
from tests.matrices.world_over_http import BuiltWorld, State

__all__ = ["WRITING", "ask_reading", "ask_writing"]

_NOT_AUTHORIZED: Final = 0x0124
_STATUSES: Final = {401: Outcome.UNAUTHENTICATED, 403: Outcome.FORBIDDEN, 404: Outcome.ABSENT}
WRITING: Final = frozenset(
    {
        Action.LEAVE,
        Action.MAKE_CAPABILITY,
        Action.REVOKE_CAPABILITY,
        Action.STORE_STUDY,
        Action.STORE_SERIES,
        Action.STORE_SERIES_VIA_ALBUM_1,
        Action.STORE_SERIES_VIA_ALBUM_2,
        Action.STORE_INSTANCE,
        Action.STORE_INSTANCE_VIA_ALBUM_1,
        Action.STORE_INSTANCE_VIA_ALBUM_2,
        Action.PUT_INTO_ALBUM_1,
        Action.PUT_INTO_ALBUM_2,
        Action.SEND,
        Action.SEND_FROM_ALBUM_1,
        Action.SEND_FROM_ALBUM_2,
        Action.TAKE,
        Action.REMOVE,
        Action.REMOVE_FROM_ALBUM_1,
        Action.REMOVE_FROM_ALBUM_2,
    }
)
"""What changes something where it is allowed."""


@dataclass(frozen=True, slots=True)
class _Effect:
    """What an allowed change does: the one entry that comes or goes, and what stands afterwards."""

    holding: tuple[str, str] | None = None
    """Place and series."""
    goes: bool = False
    also: tuple[str, str, str] | None = None
    makes_capability: bool = False
    leaves: tuple[str, str] | None = None
    """Album and person."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: str = ""
    form: dict[str, str] | None = None
    file: bytes | None = None
    effect: _Effect | None = None

    def send(self, client: httpx.Client) -> httpx.Response:
        url = f"{self.path}?{self.query}" if self.query else self.path
        if self.file is not None:
            return client.request(self.method, url, content=self.file, headers={"Content-Type": "application/dicom"})
        return client.request(self.method, url, data=self.form)


_ZIP: Final = "accept=application/zip"
_JPEG = b"\xff\xd8\xff"


# Reading ---------------------------------------------------------------------------------------------------------


def ask_reading(world: BuiltWorld, rows: Sequence[Row], client: httpx.Client) -> Iterator[str]:
    """Ask the rows of one principal that change nothing, and give those that come out otherwise."""
    for row in rows:
        answer = _reading(world, row).send(client)
        got = _STATUSES.get(answer.status_code) or _read(world, row, answer)
        if got != row.expected:
            yield _told(row, got)


def _told(row: Row, got: Outcome | str) -> str:
    return f"{row}: {row.expected.name}, over HTTP: {got.name if isinstance(got, Outcome) else got}"


def _reading(world: BuiltWorld, row: Row) -> _Request:
    name, action = row.object, row.action
    match action:
        case Action.SEE_ALBUM:
            return _Request("GET", f"/albums/{world.albums[name]}")
        case Action.LIST_ALBUMS:
            return _Request("GET", "/albums")
        case Action.LIST_MEMBERS:
            return _Request("GET", f"/albums/{world.albums[name]}/users")
        case Action.LIST_REPORT_PROVIDERS:
            return _Request("GET", f"/albums/{world.albums[name]}/reportproviders")
        case Action.LIST_WEBHOOKS:
            return _Request("GET", f"/albums/{world.albums[name]}/webhooks")
        case Action.SEE_CAPABILITY:
            return _Request("GET", f"/capabilities/{world.capabilities[name]}")
        case _:
            pass
    study, series, instance = world.studies[SERIES[name].study], world.series[name], world.instances[name]
    of_series = f"/studies/{study}/series/{series}"
    of_instance = f"{of_series}/instances/{instance}"
    from_album = f"album={world.albums[album]}" if (album := _named_album(action)) is not None else ""
    by_uri = f"requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}&contentType="
    paths = {
        Action.SEARCH_STUDIES: ("/studies", f"StudyInstanceUID={study}&includefield=ModalitiesInStudy"),
        Action.SEARCH_SERIES_OF_STUDY: (f"/studies/{study}/series", ""),
        Action.SEARCH_ALL_SERIES: ("/series", ""),
        Action.SEARCH_INSTANCES: (f"{of_series}/instances", ""),
        Action.SEARCH_IN_ALBUM_1: ("/series", from_album),
        Action.SEARCH_IN_ALBUM_2: ("/series", from_album),
        Action.SEARCH_IN_INBOX: ("/series", "inbox=true"),
        Action.STUDY_METADATA: (f"/studies/{study}/metadata", ""),
        Action.SERIES_METADATA: (f"{of_series}/metadata", ""),
        Action.INSTANCE_METADATA: (f"{of_instance}/metadata", ""),
        Action.RETRIEVE_STUDY: (f"/studies/{study}", ""),
        Action.RETRIEVE_SERIES: (of_series, ""),
        Action.RETRIEVE_INSTANCE: (of_instance, ""),
        Action.RETRIEVE_FRAMES: (f"{of_instance}/frames/1", ""),
        Action.RETRIEVE_BULKDATA: (f"{of_instance}/bulkdata/7FE00010", ""),
        Action.RETRIEVE_BY_URI: ("/wado", f"{by_uri}application/dicom"),
        Action.RENDER_INSTANCE: (f"{of_instance}/rendered", ""),
        Action.RENDER_BY_URI: ("/wado", f"{by_uri}image/jpeg"),
        Action.THUMBNAIL_OF_SERIES: (f"{of_series}/thumbnail", ""),
        Action.RETRIEVE_FROM_ALBUM_1: (of_series, from_album),
        Action.RETRIEVE_FROM_ALBUM_2: (of_series, from_album),
        Action.RETRIEVE_FROM_INBOX: (of_series, "inbox=true"),
        Action.DOWNLOAD_STUDY: (f"/studies/{study}", _ZIP),
        Action.DOWNLOAD_SERIES: (of_series, _ZIP),
        Action.DOWNLOAD_ALBUM_1: ("/studies", f"{from_album}&{_ZIP}"),
        Action.DOWNLOAD_ALBUM_2: ("/studies", f"{from_album}&{_ZIP}"),
        Action.DOWNLOAD_INBOX: ("/studies", f"inbox=true&{_ZIP}"),
    }
    path, query = paths[action]
    return _Request("GET", path, query)


def _read(world: BuiltWorld, row: Row, answer: httpx.Response) -> Outcome | str:
    """Return whether an answer has what the row is about, and nothing that it must not have."""
    if answer.status_code != 200:
        return f"status {answer.status_code}"
    name = row.object
    match row.action:
        case Action.SEE_ALBUM:
            return _there(answer.json()["album_id"] == world.albums[name])
        case Action.LIST_ALBUMS:
            return _there(world.albums[name] in {album["album_id"] for album in answer.json()})
        case Action.LIST_MEMBERS:
            expected = {*ALBUMS[name].admins, *ALBUMS[name].members}
            return _there({member["sub"] for member in answer.json()} == expected)
        case Action.LIST_WEBHOOKS:
            return _there(answer.json() == [])
        case Action.LIST_REPORT_PROVIDERS:
            there = {provider for album, provider in world.providers.items() if album == name}
            return _there({provider["client_id"] for provider in answer.json()} == there)
        case Action.SEE_CAPABILITY:
            return _there(answer.json()["id"] == world.capabilities[name])
        case Action.SEARCH_STUDIES:
            listed = [modality for found in answer.json() for modality in found["00080061"]["Value"]]
            return _there(SERIES[name].modality in listed)
        case (
            Action.SEARCH_SERIES_OF_STUDY
            | Action.SEARCH_ALL_SERIES
            | Action.SEARCH_IN_ALBUM_1
            | Action.SEARCH_IN_ALBUM_2
            | Action.SEARCH_IN_INBOX
        ):
            return _there(world.series[name] in _values(answer, "0020000E"))
        case Action.SEARCH_INSTANCES | Action.STUDY_METADATA | Action.SERIES_METADATA | Action.INSTANCE_METADATA:
            if row.action is not Action.STUDY_METADATA and _values(answer, "0020000E") - {world.series[name]}:
                return "200 with another series"
            return _there(world.instances[name] in _values(answer, "00080018"))
        case Action.RENDER_INSTANCE | Action.RENDER_BY_URI | Action.THUMBNAIL_OF_SERIES:
            # Nothing of a picture tells whose it is; that these are of the series is asked elsewhere.
            return _there(answer.content.startswith(_JPEG))
        case (
            Action.DOWNLOAD_STUDY
            | Action.DOWNLOAD_SERIES
            | Action.DOWNLOAD_ALBUM_1
            | Action.DOWNLOAD_ALBUM_2
            | Action.DOWNLOAD_INBOX
        ):
            return _pixels(world, row, _unpacked(answer.content))
        case _:
            return _pixels(world, row, answer.content)


def _unpacked(archive: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        return b"".join(read.read(name) for name in read.namelist())


def _there(is_there: bool) -> Outcome:
    return Outcome.ALLOWED if is_there else Outcome.WITHOUT


def _values(answer: httpx.Response, tag: str) -> set[str]:
    return {value for found in answer.json() for value in found[tag]["Value"]}


def _pixels(world: BuiltWorld, row: Row, body: bytes) -> Outcome | str:
    shown = {name for name, pixels in world.pixels.items() if pixels in body}
    # What of several series is shown is for the rows of the others to say.
    match row.action:
        case Action.RETRIEVE_STUDY | Action.DOWNLOAD_STUDY:
            expected = series_of(SERIES[row.object].study)
        case Action.DOWNLOAD_ALBUM_1 | Action.DOWNLOAD_ALBUM_2:
            expected = [each for each, series in SERIES.items() if _named_album(row.action) in series.albums]
        case Action.DOWNLOAD_INBOX:
            expected = [each for each, series in SERIES.items() if _own_place(row.principal) in series.inboxes]
        case _:
            expected = [row.object]
    if shown - set(expected):
        return "200 with another series"
    return _there(row.object in shown)


# Writing ---------------------------------------------------------------------------------------------------------


def ask_writing(world: BuiltWorld, rows: Sequence[Row], clients: Mapping[str, httpx.Client]) -> Iterator[str]:
    """Ask rows that change something where they are allowed, and give those that come out otherwise.

    Whatever is allowed must have its effect and no other, and is undone. Whatever is refused must change nothing: that
    is looked at once for all refusals of a kind, and names them all if something changed.
    """
    before = world.state()
    for about, group in groupby(rows, key=lambda row: (row.action, row.object)):
        refused = []
        for row in group:
            request = _writing(world, row)
            answer = request.send(clients[row.principal])
            got = _written(answer)
            if got != row.expected:
                yield _told(row, got)
            if got is Outcome.ALLOWED:
                yield from (f"{row}: {fault}" for fault in _faults(request.effect, before, world.state()))
                world.restore()
            else:
                refused.append(row)
        if refused and world.state() != before:
            yield f"{about[0]} {about[1]} was refused and changed something, to one of {[str(row) for row in refused]}"
            world.restore()


def _written(answer: httpx.Response) -> Outcome | str:
    if answer.status_code in _STATUSES:
        return _STATUSES[answer.status_code]
    if answer.is_success:
        return Outcome.ALLOWED
    if answer.status_code == 409 and answer.headers.get("content-type") == "application/dicom+json":
        reasons = {item["00081197"]["Value"][0] for item in answer.json()["00081198"]["Value"]}
        return Outcome.REFUSED if reasons == {_NOT_AUTHORIZED} else f"409 with reasons {sorted(reasons)}"
    return f"status {answer.status_code}"


def _faults(effect: _Effect | None, before: State, after: State) -> Iterator[str]:
    """Give what an allowed change did that it should not, and what it did not."""
    assert effect is not None
    expected = set() if effect.holding is None else {("holding", *effect.holding)}
    if expected and expected.issubset(after) == effect.goes:
        yield f"allowed and without effect on {effect.holding}"
    if effect.also is not None and effect.also not in after:
        yield f"allowed and without {effect.also}"
    changed = {entry for entry in before ^ after if entry[0] in {"holding", "member", "album"}}
    if effect.leaves is not None:
        album, person = effect.leaves
        membership = {
            entry for entry in before if entry[:2] == ("member", album) and entry[2].startswith(f"{person} ")
        }
        if not membership or membership & after:
            yield f"allowed, and {person} stays in {album}"
        expected |= membership
    if changed - expected:
        yield f"allowed and changed {sorted(changed - expected)}"
    made = len(_capabilities(after)) - len(_capabilities(before))
    if made != effect.makes_capability:
        yield f"allowed and made {made} capabilities"


def _capabilities(state: State) -> set[str]:
    return {name for kind, name, _ in state if kind == "capability"}


def _writing(world: BuiltWorld, row: Row) -> _Request:
    name, action = row.object, row.action
    match action:
        case Action.MAKE_CAPABILITY:
            form = {"title": "made by a row", "scope_type": "user", "read_permission": "true"}
            if name in ALBUMS:
                form |= {"scope_type": "album", "album": world.albums[name]}
            return _Request("POST", "/capabilities", form=form, effect=_Effect(makes_capability=True))
        case Action.LEAVE:
            person = _person_of(row.principal)
            return _Request(
                "DELETE", f"/albums/{world.albums[name]}/users/{person}", effect=_Effect(leaves=(name, person))
            )
        case Action.REVOKE_CAPABILITY:
            public = world.capabilities[name]
            effect = _Effect(also=("capability", public, "true"))
            return _Request("POST", f"/capabilities/{public}/revoke", effect=effect)
        case Action.STORE_STUDY:
            album = name if name in ALBUMS else None
            return _storing(world, row, "unused", uid=new_uid(), study=new_uid(), album=album)
        case Action.STORE_SERIES | Action.STORE_SERIES_VIA_ALBUM_1 | Action.STORE_SERIES_VIA_ALBUM_2:
            series = series_of(name)[0]
            return _storing(world, row, series, uid=new_uid(), album=_named_album(action))
        case Action.STORE_INSTANCE | Action.STORE_INSTANCE_VIA_ALBUM_1 | Action.STORE_INSTANCE_VIA_ALBUM_2:
            return _storing(world, row, name, album=_named_album(action))
        case _:
            return _moving(world, row)


def _moving(world: BuiltWorld, row: Row) -> _Request:
    """Return the request that puts a series somewhere, or takes it away."""
    action, uid = row.action, world.series[row.object]
    path = f"/studies/{world.studies[SERIES[row.object].study]}/series/{uid}"
    album = _named_album(action)
    if action in {Action.PUT_INTO_ALBUM_1, Action.PUT_INTO_ALBUM_2}:
        assert album is not None
        return _Request("PUT", f"{path}/albums/{world.albums[album]}", effect=_Effect((album, uid)))
    if action in {Action.REMOVE_FROM_ALBUM_1, Action.REMOVE_FROM_ALBUM_2}:
        assert album is not None
        return _Request("DELETE", f"{path}/albums/{world.albums[album]}", effect=_Effect((album, uid), goes=True))
    if action is Action.TAKE:
        return _Request("PUT", path, effect=_Effect((_own_place(row.principal), uid)))
    if action is Action.REMOVE:
        return _Request("DELETE", path, effect=_Effect((_own_place(row.principal), uid), goes=True))
    assert action in {Action.SEND, Action.SEND_FROM_ALBUM_1, Action.SEND_FROM_ALBUM_2}
    query = "" if album is None else f"album={world.albums[album]}"
    return _Request("PUT", f"{path}/users/{RECEIVER}", query, effect=_Effect((RECEIVER, uid)))


def _storing(
    world: BuiltWorld,
    row: Row,
    series: str,
    *,
    uid: str | None = None,
    study: str | None = None,
    album: str | None = None,
) -> _Request:
    """Return the request that stores a new instance."""
    instance, file = world.file(series, uid=uid, study=study)
    place = album or _own_place(row.principal)
    query = "" if album is None else f"album={world.albums[album]}"
    effect = _Effect((place, uid or world.series[series]), also=("instance", instance, "confirmed"))
    return _Request("POST", "/studies", query, file=file, effect=effect)


def _named_album(action: Action) -> str | None:
    return next((album for album in ALBUMS if album in action), None)


def _person_of(credential: str) -> str:
    """Return whose credential it is; of what is nobody's, somebody who is in the album."""
    match CREDENTIALS[credential]:
        case Login(person) | Report(person, _, _):
            return person
        case Token(maker, _, _):
            return maker
        case Viewer(parent, _, _):
            return _person_of(parent)
        case _:
            return "alice"


def _own_place(credential: str) -> str:
    """Return where a credential's series go when nothing is named: an inbox, or its album."""
    match CREDENTIALS[credential]:
        case Login(person):
            return person
        case Token(maker, _, album):
            return album or maker
        case Viewer(parent, _, source):
            return source if source in ALBUMS else _own_place(parent)
        case Report(_, album):
            return album
        case _:
            return ""
