"""What a running system is asked in a day, a little of everything, in rounds that are all alike.

Each round has people, studies and tokens of its own, so that whatever is remembered for each of them shows.
"""

import contextlib
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import httpx

from tests.dicom_files import a_file, new_uid
from tests.system.running import System

__all__ = ["Load"]

_AT_ONCE: Final = 8
_SMALL: Final = 4096
_MIDDLE: Final = 3_000_000
"""Bytes: more than a chunk, and held by an upload."""


@dataclass(frozen=True)
class _Study:
    study: str
    series: tuple[str, str]
    instances: tuple[str, ...]

    @classmethod
    def new(cls) -> "_Study":
        return cls(new_uid(), (new_uid(), new_uid()), tuple(new_uid() for _ in range(6)))

    def files(self) -> list[bytes]:
        """Return six files in two series, one of them of middle size, the others pictures of 64 x 64."""
        return [
            a_file(
                study=self.study,
                series=self.series[number % 2],
                instance=instance,
                number=number,
                patient_name="Load^Of",
                pixels=secrets.token_bytes(16) * (_SMALL // 16 if number else _MIDDLE // 16),
                Rows=64 if number else 1,
                Columns=64 if number else 65_534,
            )
            for number, instance in enumerate(self.instances)
        ]

    @property
    def path(self) -> str:
        return f"/studies/{self.study}"


class Load:
    """Asks a system, in rounds.

    Parameters
    ----------
    system
        The running system.
    people
        How many of them there are in a round; each of them sends some 70 requests.
    """

    def __init__(self, system: System, *, people: int) -> None:
        self._system = system
        self._people = people
        self.failures: list[str] = []
        """What was not answered as it must be: method, path and status."""
        self.answers: Counter[int] = Counter()
        """How many answers had which status."""

    def round(self) -> None:
        """Let as many new people as a round has do everything once."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(lambda _: self._person(), range(self._people)))

    def _person(self) -> None:
        name, other = f"load-{secrets.token_hex(6)}", f"load-{secrets.token_hex(6)}"
        study = _Study.new()
        # A connection for each person, as a browser has.
        with self._client(name) as person, self._client(other) as friend, self._client(None) as nobody:
            friend.post("/register", data={"access_token": self._token(other)})
            files = study.files()
            self._store(name, files)
            self._store(name, files)
            album = person.post("/albums", data={"name": name}).json()["album_id"]
            person.put(f"{study.path}/series/{study.series[0]}/albums/{album}")
            person.put(f"/albums/{album}/users/{other}%40example.org")
            token = person.post(
                "/capabilities",
                data={"title": name, "scope_type": "album", "album": album, "read_permission": "true"},
            ).json()
            for client in (person, friend):
                self._read(client, study, album)
            self._by_token(nobody, study, token.get("access_token", token.get("secret", "")))
            self._refused(nobody, study)
            person.delete(f"/albums/{album}")

    def _read(self, client: httpx.Client, study: _Study, album: str) -> None:
        first = f"{study.path}/series/{study.series[0]}"
        instance = f"{first}/instances/{study.instances[2]}"
        for path in (
            "/studies",
            "/studies?PatientName=Load*&limit=5&includefield=all",
            f"/studies?StudyInstanceUID={study.study}",
            f"/studies?album={album}&sort=-StudyDate&offset={secrets.randbelow(99)}",
            f"{study.path}/series",
            f"{first}/instances",
            f"{study.path}/metadata",
            f"{instance}/metadata",
            f"{study.path}/ohifmetadata",
            "/albums",
            f"/albums/{album}",
            f"/albums/{album}/users",
            f"/albums/{album}/events",
            "/capabilities",
            "/inboxinfo",
            "/users?search=load",
            "/openapi.json",
        ):
            client.get(path)
        client.post(f"/albums/{album}/comments", data={"comment": secrets.token_hex(100)})
        for accept in (
            'multipart/related; type="application/dicom"; transfer-syntax=*',
            f'multipart/related; type="application/dicom"; transfer-syntax=*; boundary=b{secrets.token_hex(4)}',
        ):
            self._take(client, first, accept)
        self._take(client, instance, "application/dicom; transfer-syntax=*")
        self._take(client, f"{instance}/frames/1", 'multipart/related; type="application/octet-stream"')
        self._take(client, f"{instance}/rendered", "image/jpeg")
        self._take(client, f"{instance}/thumbnail", "image/jpeg")
        self._take(client, study.path, "application/zip")

    def _by_token(self, client: httpx.Client, study: _Study, token: str) -> None:
        client.get("/studies", headers={"Authorization": f"Bearer {token}"})
        client.get(f"/link/{token}/studies")
        client.get(f"/link/{token}{study.path}/series")
        client.get(f"/link/{token}{study.path}/series/{study.series[1]}/metadata")

    def _refused(self, client: httpx.Client, study: _Study) -> None:
        for authorization in (
            "Bearer " + secrets.token_hex(300),
            "Bearer " + secrets.token_urlsafe(17)[:22],
            "Basic " + secrets.token_hex(8),
            f"Bearer {self._token('late', expires_in=-60)}",
        ):
            client.get(study.path, headers={"Authorization": authorization})
        with self._client(f"stranger-{secrets.token_hex(6)}") as stranger:
            stranger.get(f"{study.path}/metadata")
            stranger.put(f"{study.path}/series/{study.series[0]}")
            stranger.get(f"/nothing/{secrets.token_hex(8)}")
            stranger.get(f"/studies?{secrets.token_hex(4)}=1")
            stranger.get("/studies", headers={"Accept": f"text/{secrets.token_hex(8)}"})
            stranger.post("/studies", content=secrets.token_bytes(2000), headers={"Content-Type": "text/plain"})
        for page in ("/", "/login", "/studies", f"/s/{secrets.token_urlsafe(24)}", f"/{secrets.token_hex(8)}"):
            client.get(self._system.url + page)

    def _store(self, name: str, files: list[bytes]) -> None:
        answer = self._system.store_files(name, *files)
        self.answers[answer.status_code] += 1
        if answer.status_code != HTTPStatus.OK:
            self.failures.append(f"POST /studies {answer.status_code}")

    def _take(self, client: httpx.Client, path: str, accept: str) -> None:
        with client.stream("GET", path, headers={"Accept": accept}) as answer:
            for _ in answer.iter_raw():
                pass

    def _token(self, name: str, *, expires_in: float = 3600) -> str:
        return self._system.token(name, expires_in=expires_in)

    @contextlib.contextmanager
    def _client(self, name: str | None) -> Iterator[httpx.Client]:
        def heard(answer: httpx.Response) -> None:
            self.answers[answer.status_code] += 1
            if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                self.failures.append(f"{answer.request.method} {answer.request.url.path} {answer.status_code}")

        hooks: dict[str, list[Callable[..., object]]] = {"response": [heard]}
        with self._system.client(name, event_hooks=hooks) as client:
            yield client
