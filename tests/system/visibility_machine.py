"""Random people share and revoke at random; what QIDO lists and WADO serves is compared with a small model."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import httpx
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from typing_extensions import override

from tests.dicom_files import a_file, new_uid
from tests.system.link_visits import visit
from tests.system.report_tokens import ask_for_a_report, register
from tests.system.running import System

__all__ = ["VisibilityMachine", "run_worlds"]

NAMES = ("ann", "ben", "cleo", "dan")
WORLDS = itertools.count(1)
STAFF = ("ben", "dan")
PERSON = st.sampled_from(NAMES)
PICK = st.integers(min_value=0, max_value=1_000)


@dataclass(frozen=True)
class Viewer:
    """A viewer token, made from a person or a link."""

    person: str | None
    link: str | None
    study: str
    source: str | None
    """``inbox``, an album, or ``None`` for everything of its parent's."""


@dataclass
class Model:
    """The reference: a few lines of who sees what."""

    inbox: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in NAMES})
    members: dict[str, dict[str, bool]] = field(default_factory=dict)
    """Album -> person -> is administrator."""
    holds: dict[str, set[str]] = field(default_factory=dict)
    staff: set[str] = field(default_factory=set)
    """Albums with the group that some present."""
    links: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Secret -> album, maker."""
    viewers: dict[str, Viewer] = field(default_factory=dict)
    """Secret -> what it is."""
    visits: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    """Secret of who opened a link -> its maker, its selection."""
    study_of: dict[str, str] = field(default_factory=dict)

    def reads(self, person: str) -> set[str]:
        albums = [album for album, members in self.members.items() if person in members]
        return self.inbox[person].union(*(self.holds[album] for album in albums))

    def reads_as_staff(self, person: str) -> set[str]:
        return self.reads(person).union(*(self.holds[album] for album in self.staff))

    def is_orphan(self, series: str) -> bool:
        return not any(series in held for held in [*self.inbox.values(), *self.holds.values()])

    def link_reads(self, secret: str) -> set[str]:
        album, maker = self.links[secret]
        return self.holds[album] if self.members.get(album, {}).get(maker) else set()

    def visit_reads(self, secret: str) -> set[str]:
        maker, selection = self.visits[secret]
        return selection & self.reads(maker)

    def viewer_reads(self, secret: str) -> set[str]:
        viewer = self.viewers[secret]
        if viewer.link is not None:
            reached = self.link_reads(viewer.link)
        else:
            assert viewer.person is not None
            reached = self.reads(viewer.person)
            if viewer.source == "inbox":
                reached = self.inbox[viewer.person]
            elif viewer.source is not None:
                is_member = viewer.person in self.members.get(viewer.source, {})
                reached = self.holds[viewer.source] if is_member else set()
        return {series for series in reached if self.study_of[series] == viewer.study}


class VisibilityMachine(RuleBasedStateMachine):
    """One world of four people."""

    system: System
    operations = 0

    def __init__(self) -> None:
        super().__init__()
        self.tag = f"w{next(WORLDS)}"
        self.model = Model()
        self.places: dict[str, tuple[str, str]] = {}
        """Series -> study, one instance."""
        self.origin: dict[str, str] = {}
        """Series -> a person, or an album's id."""
        self.clients: dict[str, httpx.Client] = {}
        self.staff_clients: dict[str, httpx.Client] = {}
        """The same people, presenting a group."""
        self.link_clients: dict[str, httpx.Client] = {}
        self.viewer_clients: dict[str, httpx.Client] = {}
        self.visit_clients: dict[str, httpx.Client] = {}

    @initialize()
    def people(self) -> None:
        for name in NAMES:
            self.clients[name] = self.system.client(token=self.system.token(f"{name}-{self.tag}"))
            assert self.clients[name].get("/albums").status_code == 200
            if name in STAFF:
                token = self.system.token(f"{name}-{self.tag}", groups=[f"staff-{self.tag}"])
                self.staff_clients[name] = self.system.client(token=token)
        # Something to share and to hide from the start, so that few steps reach what matters.
        self.upload_a_new_study("ann")
        self.upload_a_new_study("cleo")
        self.make_an_album("ann")
        self.put_into_an_album("ann", 0, 0)
        self.add_a_member("ann", "ben", 0)
        self.add_or_remove_the_group("ann", 0)
        self.make_a_link("ann", 0)
        self.make_a_viewer("ann", 0, 0)
        self.open_a_link("ann", 0, 0)
        self.ask_for_a_report("ben", 0, 0)

    @override
    def teardown(self) -> None:
        for client in [
            *self.clients.values(),
            *self.staff_clients.values(),
            *self.link_clients.values(),
            *self.viewer_clients.values(),
            *self.visit_clients.values(),
        ]:
            client.close()

    def _pick(self, among: Any, pick: int) -> str | None:
        # In the order of making: identifiers are random, and a replay must pick the same things.
        ordered = list(among)
        return ordered[pick % len(ordered)] if ordered else None

    def _expect(self, response: httpx.Response, *, allowed: bool) -> None:
        type(self).operations += 1
        assert response.is_success == allowed, f"{response.request.method} {response.request.url}: {response.text}"

    def _store(self, person: str, study: str, series: str, instance: str, album: str | None) -> bool:
        type(self).operations += 1
        response = self.clients[person].post(
            "/studies",
            params={} if album is None else {"album": album},
            content=a_file(study=study, series=series, instance=instance),
            headers={"Content-Type": "application/dicom"},
        )
        return response.status_code == 200

    @rule(person=PERSON)
    def upload_a_new_study(self, person: str) -> None:
        study, series, instance = new_uid(), new_uid(), new_uid()
        assert self._store(person, study, series, instance, None)
        self._arrived(person, study, series, instance, None)

    @rule(person=PERSON, pick=PICK, into=PICK)
    def upload_a_new_series(self, person: str, pick: int, into: int) -> None:
        known = self._pick(self.places, pick)
        if known is None:
            return
        album = self._pick(self.model.members, into) if into % 2 else None
        study = self.places[known][0]
        series, instance = new_uid(), new_uid()
        has_part = any(
            s in self.model.reads(person) or self.origin[s] == (album or person)
            for s, place in self.places.items()
            if place[0] == study
        )
        member = album is None or person in self.model.members[album]
        stored = self._store(person, study, series, instance, album)
        assert stored == (member and has_part)
        if stored:
            self._arrived(person, study, series, instance, album)

    @rule(person=PERSON, pick=PICK)
    def upload_into_a_series(self, person: str, pick: int) -> None:
        series = self._pick(self.places, pick)
        if series is None:
            return
        study = self.places[series][0]
        origin = self.origin[series]
        if self.model.is_orphan(series):
            allowed = origin == person
        else:
            is_origin = origin == person or person in self.model.members.get(origin, {})
            # The inbox gets the whole series by it, which takes the right to have it sent there.
            allowed = is_origin and series in self.model.reads(person)
        stored = self._store(person, study, series, new_uid(), None)
        assert stored == allowed
        if stored:
            self.model.inbox[person].add(series)

    def _arrived(self, person: str, study: str, series: str, instance: str, album: str | None) -> None:
        self.places[series] = (study, instance)
        self.model.study_of[series] = study
        self.origin[series] = album or person
        (self.model.holds[album] if album else self.model.inbox[person]).add(series)

    @rule(person=PERSON)
    def make_an_album(self, person: str) -> None:
        response = self.clients[person].post("/albums", data={"name": "Album"})
        self._expect(response, allowed=True)
        album = response.json()["album_id"]
        self.model.members[album] = {person: True}
        self.model.holds[album] = set()

    @rule(person=PERSON, other=PERSON, pick=PICK)
    def add_a_member(self, person: str, other: str, pick: int) -> None:
        album = self._pick(self.model.members, pick)
        if album is None or person == other:
            return
        members = self.model.members[album]
        response = self.clients[person].put(f"/albums/{album}/users/{other}-{self.tag}")
        self._expect(response, allowed=members.get(person, False))
        if response.is_success:
            members.setdefault(other, False)

    @rule(person=PERSON, other=PERSON, pick=PICK)
    def remove_a_member(self, person: str, other: str, pick: int) -> None:
        album = self._pick(self.model.members, pick)
        if album is None:
            return
        members = self.model.members[album]
        leaves_others = len(members) > 1 or album in self.model.staff
        last_admin = members.get(other, False) and sum(members.values()) == 1 and leaves_others
        may = person in members and other in members and (person == other or members[person]) and not last_admin
        response = self.clients[person].delete(f"/albums/{album}/users/{other}-{self.tag}")
        self._expect(response, allowed=may)
        if response.is_success:
            del members[other]
            self._end_links(album, other)
            if not members:
                del self.model.members[album]
                del self.model.holds[album]
                self.model.staff.discard(album)

    @rule(person=PERSON, pick=PICK)
    def add_or_remove_the_group(self, person: str, pick: int) -> None:
        album = self._pick(self.model.members, pick)
        if album is None:
            return
        path = f"/albums/{album}/groups/staff-{self.tag}"
        is_in = album in self.model.staff
        response = self.clients[person].delete(path) if is_in else self.clients[person].put(path)
        self._expect(response, allowed=self.model.members[album].get(person, False))
        if response.is_success:
            self.model.staff ^= {album}

    @rule(person=st.sampled_from(STAFF), series=PICK)
    def send_to_a_person_as_staff(self, person: str, series: int) -> None:
        chosen = self._pick(self.places, series)
        if chosen is None or person == "ann":
            return
        path = f"/studies/{self.places[chosen][0]}/series/{chosen}/users/ann-{self.tag}"
        response = self.staff_clients[person].put(path)
        self._expect(response, allowed=chosen in self.model.reads_as_staff(person))
        if response.is_success:
            self.model.inbox["ann"].add(chosen)

    def _end_links(self, album: str, maker: str) -> None:
        # KHEOPS revokes the album tokens of an administrator who leaves; they do not come back with the role.
        for secret, (linked, made_by) in list(self.model.links.items()):
            if linked == album and made_by == maker:
                self.model.links[secret] = (linked, "nobody")

    @rule(person=PERSON, series=PICK, album=PICK)
    def put_into_an_album(self, person: str, series: int, album: int) -> None:
        chosen, target = self._pick(self.places, series), self._pick(self.model.members, album)
        if chosen is None or target is None:
            return
        own_orphan = self.model.is_orphan(chosen) and self.origin[chosen] in {person, target}
        allowed = person in self.model.members[target] and (chosen in self.model.reads(person) or own_orphan)
        response = self.clients[person].put(f"/studies/{self.places[chosen][0]}/series/{chosen}/albums/{target}")
        self._expect(response, allowed=allowed)
        if response.is_success:
            self.model.holds[target].add(chosen)

    @rule(person=PERSON, series=PICK, album=PICK)
    def remove_from_an_album(self, person: str, series: int, album: int) -> None:
        chosen, target = self._pick(self.places, series), self._pick(self.model.members, album)
        if chosen is None or target is None:
            return
        allowed = self.model.members[target].get(person, False) and chosen in self.model.holds[target]
        response = self.clients[person].delete(f"/studies/{self.places[chosen][0]}/series/{chosen}/albums/{target}")
        self._expect(response, allowed=allowed)
        if response.is_success:
            self.model.holds[target].discard(chosen)

    @rule(person=PERSON, other=PERSON, series=PICK)
    def send_to_a_person(self, person: str, other: str, series: int) -> None:
        chosen = self._pick(self.places, series)
        if chosen is None or person == other:
            return
        response = self.clients[person].put(
            f"/studies/{self.places[chosen][0]}/series/{chosen}/users/{other}-{self.tag}"
        )
        self._expect(response, allowed=chosen in self.model.reads(person))
        if response.is_success:
            self.model.inbox[other].add(chosen)

    @rule(person=PERSON, series=PICK)
    def remove_from_the_inbox(self, person: str, series: int) -> None:
        chosen = self._pick(self.places, series)
        if chosen is None:
            return
        response = self.clients[person].delete(f"/studies/{self.places[chosen][0]}/series/{chosen}")
        self._expect(response, allowed=chosen in self.model.inbox[person])
        if response.is_success:
            self.model.inbox[person].discard(chosen)

    @rule(person=PERSON, pick=PICK)
    def make_a_link(self, person: str, pick: int) -> None:
        album = self._pick(self.model.members, pick)
        if album is None or len(self.model.links) >= 4:
            return
        response = self.clients[person].post(
            "/capabilities",
            data={"title": "link", "scope_type": "album", "album": album, "read_permission": "true"},
        )
        self._expect(response, allowed=self.model.members[album].get(person, False))
        if response.is_success:
            secret = response.json()["access_token"]
            self.system.secrets_used.add(secret)
            self.model.links[secret] = (album, person)
            self.link_clients[secret] = self.system.client(token=secret)

    @rule(person=PERSON, series=PICK, source=PICK)
    def make_a_viewer(self, person: str, series: int, source: int) -> None:
        chosen = self._pick(self.places, series)
        if chosen is None or len(self.model.viewers) >= 4:
            return
        album = self._pick(self.model.members, source) if source % 3 == 2 else None
        named = [None, "inbox", album][source % 3]
        of_source = {"inbox": {"source_type": "inbox"}, None: {}}
        form = of_source.get(named, {"source_type": "album", "source_id": album or ""})
        token = self.clients[person].headers["Authorization"].removeprefix("Bearer ")
        self._open_viewer(
            Viewer(person, None, self.places[chosen][0], named),
            {**form, "subject_token": token, "scope": "viewer read write"},
            allowed=album is None or person in self.model.members[album],
        )

    @rule(link=PICK, series=PICK)
    def make_a_viewer_of_a_link(self, link: int, series: int) -> None:
        chosen, secret = self._pick(self.places, series), self._pick(self.model.links, link)
        if chosen is None or secret is None or len(self.model.viewers) >= 4:
            return
        album, maker = self.model.links[secret]
        self._open_viewer(
            Viewer(None, secret, self.places[chosen][0], None),
            {"subject_token": secret, "scope": "viewer"},
            allowed=self.model.members.get(album, {}).get(maker, False),
        )

    def _open_viewer(self, viewer: Viewer, form: dict[str, str], *, allowed: bool) -> None:
        with self.system.client() as nobody:
            response = nobody.post(
                "/token",
                data={
                    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    "studyUID": viewer.study,
                    **form,
                },
            )
        self._expect(response, allowed=allowed)
        if response.is_success:
            secret = response.json()["access_token"]
            self.system.secrets_used.add(secret)
            self.model.viewers[secret] = viewer
            self.viewer_clients[secret] = self.system.client(token=secret)

    @rule(person=PERSON, one=PICK, other=PICK)
    def open_a_link(self, person: str, one: int, other: int) -> None:
        chosen = {each for each in (self._pick(self.places, one), self._pick(self.places, other)) if each is not None}
        if not chosen or len(self.model.visits) >= 3:
            return
        series = [f"{self.places[each][0]}/{each}" for each in sorted(chosen)]
        made = self.clients[person].post("/links", data={"title": "t", "series": series})
        self._expect(made, allowed=chosen <= self.model.reads(person))
        if made.is_success:
            secret = visit(self.system, made.json()["id"], made.json()["secret"])
            self.model.visits[secret] = (person, chosen)
            self.visit_clients[secret] = self.system.client(token=secret)

    @rule(person=PERSON, series=PICK, album=PICK)
    def ask_for_a_report(self, person: str, series: int, album: int) -> None:
        chosen, of_album = self._pick(self.places, series), self._pick(self.model.members, album)
        if chosen is None or of_album is None or len(self.model.viewers) >= 6:
            return
        study = self.places[chosen][0]
        client = register(self.system, of_album)
        secret = ask_for_a_report(self.system, f"{person}-{self.tag}", client, [study])
        # A report token reaches what a viewer token of the same study and album does.
        self.model.viewers[secret] = Viewer(person, None, study, of_album)
        self.viewer_clients[secret] = self.system.client(token=secret)

    @rule(pick=PICK, elsewhere=PICK)
    def store_through_a_viewer(self, pick: int, elsewhere: int) -> None:
        secret = self._pick(self.model.viewers, pick)
        if secret is None or self.model.viewers[secret].person is None:
            return
        viewer = self.model.viewers[secret]
        study = new_uid() if elsewhere % 4 == 0 else viewer.study
        series, instance = new_uid(), new_uid()
        album = None if viewer.source == "inbox" else viewer.source
        response = self.viewer_clients[secret].post(
            "/studies",
            content=a_file(study=study, series=series, instance=instance),
            headers={"Content-Type": "application/dicom"},
        )
        member = album is None or viewer.person in self.model.members.get(album, {})
        has_part = bool(self.model.viewer_reads(secret)) or any(
            self.origin[s] == (album or viewer.person) for s, place in self.places.items() if place[0] == study
        )
        self._expect(response, allowed=member and has_part and study == viewer.study)
        if response.is_success:
            assert viewer.person is not None
            self._arrived(viewer.person, study, series, instance, album)

    @invariant()
    def lists_and_serves_what_the_model_says(self) -> None:
        for person, client in self.clients.items():
            self._compare(client, self.model.reads(person))
        for person, client in self.staff_clients.items():
            self._compare(client, self.model.reads_as_staff(person))
        for secret, client in self.link_clients.items():
            self._compare(client, self.model.link_reads(secret))
        for secret, client in self.viewer_clients.items():
            self._compare(client, self.model.viewer_reads(secret))
        for secret, client in self.visit_clients.items():
            self._compare(client, self.model.visit_reads(secret))

    def _compare(self, client: httpx.Client, expected: set[str]) -> None:
        listing = client.get("/series", params={"limit": "1000"})
        if listing.status_code == 401:
            listed = set()
        else:
            assert listing.status_code == 200, listing.text
            listed = {row["0020000E"]["Value"][0] for row in listing.json()}
        assert listed == expected
        for series, (study, instance) in self.places.items():
            served = client.head(f"/studies/{study}/series/{series}/instances/{instance}").status_code == 200
            assert served == (series in expected), f"{series} is listed and not served, or the other way round"


def run_worlds(system: System, *, examples: int, steps: int) -> int:
    """Run so many worlds of so many steps, and return how many operations they came to."""

    class Machine(VisibilityMachine):
        operations = 0

    Machine.system = system
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=False,
            report_multiple_bugs=False,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
    return Machine.operations
