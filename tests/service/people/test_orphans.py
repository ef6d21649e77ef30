"""Own orphans and legal hold over HTTP."""

import asyncio
from datetime import datetime, timedelta

import pytest

from kheops.ids import AlbumId, StudyInstanceUID
from tests.service.control.exchange import capability, inbox, viewer_of
from tests.service.control.served import Served
from tests.service.people.asking import album_of, as_root, audited, in_groups, known
from tests.service.people.conftest import Run

WHY = {"reason": "case 12"}


def test_an_orphan_is_listed_for_its_origin_alone_with_the_day_until_which_it_is_kept(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        alice = served.world.scalar("SELECT pk FROM users WHERE sub = 'alice'")
        mine = served.world.series(state="orphan")
        served.world.series(state="orphan")
        kept = served.world.series(inbox(served, "alice"))
        served.world.execute(
            "UPDATE series SET origin_user_pk = :pk WHERE series_instance_uid IN (:mine, :kept)",
            pk=alice,
            mine=mine.series,
            kept=kept.series,
        )
        answer = await served.call("GET", "/api/orphans", by="alice")
        assert answer.headers["X-Total-Count"] == "1"
        (entry,) = answer.json()
        orphaned, until = (datetime.fromisoformat(entry.pop(name)) for name in ("orphaned_time", "kept_until"))
        assert until - orphaned == timedelta(days=30)
        assert entry == {
            "study_uid": mine.study,
            "series_uid": mine.series,
            "modality": "CT",
            "number_of_instances": 2,
        }
        served.world.execute("UPDATE series SET legal_hold = true WHERE series_instance_uid = :uid", uid=mine.series)
        assert (await served.call("GET", "/api/orphans", by="alice")).json()[0].keys() == answer.json()[0].keys()
        assert (await served.call("GET", "/api/orphans", by="bob")).json() == []
        taken = await served.call("PUT", f"/api/studies/{mine.study}/series/{mine.series}", by="alice")
        assert taken.status_code == 201
        assert (await served.call("GET", "/api/orphans", by="alice")).json() == []

    run(body)


def test_an_orphan_of_an_album_is_listed_for_those_who_may_add_to_it(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        await served.call("PUT", f"/api/albums/{album}/groups/radiology", by="alice")
        await known(served, "carol")
        for _ in range(3):
            served.world.series(state="orphan", origin=AlbumId(album))
        served.world.series(state="orphan", origin=AlbumId(album), instances=0)
        readers = {
            "alice": served.token("alice"),
            "bob": served.token("bob"),
            "carol": in_groups(served, "carol", "radiology"),
        }
        for token in readers.values():
            page = await served.call("GET", "/api/orphans?limit=2&offset=1", token=token)
            assert len(page.json()) == 2
            assert page.headers["X-Total-Count"] == "3"
            assert {each["album_id"] for each in page.json()} == {album}
        assert (await served.call("GET", "/api/orphans", by="carol")).json() == []
        await served.call("PATCH", f"/api/albums/{album}", by="alice", form={"addSeries": "false"})
        assert [len((await served.call("GET", "/api/orphans", token=token)).json()) for token in readers.values()] == [
            3,
            0,
            0,
        ]

    run(body)


def test_tokens_list_orphans_as_their_person_does_where_they_act_as_one(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        readable, _ = await capability(served, "alice")
        of_album, _ = await capability(served, "alice", scope_type="album", album=album)
        blind, _ = await capability(served, "alice", read_permission="false", write_permission="true")
        viewer = await viewer_of(served, served.token("alice"), StudyInstanceUID("1.2.3"))
        found = [
            (await served.call("GET", "/api/orphans", token=token)).status_code
            for token in (readable, of_album, blind, viewer)
        ]
        assert found == [200, 403, 403, 403]
        assert (await served.call("GET", "/api/orphans")).status_code == 401
        assert (await served.call("GET", "/api/orphans?offset=x", by="alice")).status_code == 400
        assert [each for each, _, _ in audited(served, "orphans-read")] == ["granted", "refused", "refused", "refused"]

    run(body)


def test_a_hold_is_set_told_and_ended_with_reasons(run: Run) -> None:
    async def body(served: Served) -> None:
        first, second = served.world.series(state="orphan"), served.world.series()
        for each in (first, second):
            put = await as_root(served, "PUT", f"/api/legalholds/{each.series}", WHY)
            assert put.status_code == 204, put.text
        await as_root(served, "PUT", f"/api/legalholds/{first.series}", {"reason": "case 13"})
        page = await as_root(served, "GET", "/api/legalholds?limit=1")
        assert page.headers["X-Total-Count"] == "2"
        (entry,) = page.json()
        assert entry.pop("since").endswith("Z")
        assert entry == {
            "study_uid": first.study,
            "series_uid": first.series,
            "state": "orphan",
            "reason": "case 13",
        }
        path, why = f"/api/legalholds/{first.series}", {"Admin-Reason": "closed%20%C3%A0%20jamais"}
        ended = await as_root(served, "DELETE", path, headers=why)
        assert ended.status_code == 204
        again = await as_root(served, "DELETE", path, headers=why)
        assert again.status_code == 404
        left = await as_root(served, "GET", "/api/legalholds")
        assert [each["series_uid"] for each in left.json()] == [second.series]
        assert [reason for _, _, reason in audited(served, "legal-hold-set")] == ["case 12", "case 12", "case 13"]
        assert audited(served, "legal-hold-cleared")[0] == ("granted", None, "closed à jamais")

    run(body)


@pytest.mark.parametrize(
    ("method", "path", "form", "status"),
    [
        ("PUT", "/1.2.999", WHY, 404),
        ("PUT", "/1..2", WHY, 404),
        ("PUT", "/{}", {}, 400),
        ("PUT", "/{}", {"reason": "x" * 501}, 400),
        ("PUT", "/{}?reason=x", WHY, 400),
        ("DELETE", "/{}", None, 400),
        ("DELETE", "/{}?reason=x", None, 400),
        ("GET", "?limit=0", None, 400),
        ("POST", "", None, 405),
    ],
)
def test_bad_requests_about_holds_are_told(
    run: Run, method: str, path: str, form: dict[str, str] | None, status: int
) -> None:
    async def body(served: Served) -> None:
        series = served.world.series().series
        answer = await as_root(served, method, f"/api/legalholds{path.format(series)}", form)
        assert answer.status_code == status, answer.text

    run(body)


@pytest.mark.parametrize(
    ("reason", "status"),
    [("x", 204), ("%20", 400), ("x" * 501, 400), ("%FF", 400), ("a%00b", 400), ("x" * 500, 204)],
)
def test_a_hold_ends_with_a_reason_in_a_header_alone(run: Run, reason: str, status: int) -> None:
    async def body(served: Served) -> None:
        path = f"/api/legalholds/{served.world.series().series}"
        await as_root(served, "PUT", path, WHY)
        headers = {"Admin-Reason": reason}
        assert (await as_root(served, "DELETE", "/api/legalholds/1.2.999", headers={"Admin-Reason": "x"})).is_error
        answer = await as_root(served, "DELETE", path, headers=headers)
        assert answer.status_code == status, answer.text
        assert served.world.scalar("SELECT count(*) FROM series WHERE legal_hold") == (0 if status == 204 else 1)

    run(body)


def test_what_is_being_deleted_takes_no_hold(run: Run) -> None:
    async def body(served: Served) -> None:
        series = served.world.series(state="deleting")
        assert (await as_root(served, "PUT", f"/api/legalholds/{series.series}", WHY)).status_code == 409

    run(body)


def test_holds_are_the_administrators_alone(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        series = served.world.series(inbox(served, "alice"))
        for uid in (series.series, "1.2.999"):
            for method, path, form in (
                ("PUT", f"/api/legalholds/{uid}", WHY),
                ("DELETE", f"/api/legalholds/{uid}", None),
                ("GET", "/api/legalholds", None),
            ):
                why = {"Admin-Reason": "x"} if method == "DELETE" else {}
                assert (await served.call(method, path, by="alice", form=form, headers=why)).status_code == 403
                assert (await served.call(method, path, form=form, headers=why)).status_code == 401
        assert served.world.scalar("SELECT count(*) FROM series WHERE legal_hold") == 0

    run(body)


def test_setting_a_hold_twice_at_once_sets_it_once(run: Run) -> None:
    async def body(served: Served) -> None:
        series = served.world.series(state="orphan")
        await as_root(served, "GET", "/api/legalholds")
        path = f"/api/legalholds/{series.series}"
        answers = await asyncio.gather(*(as_root(served, "PUT", path, WHY) for _ in range(3)))
        assert {each.status_code for each in answers} == {204}
        assert len((await as_root(served, "GET", "/api/legalholds")).json()) == 1

    run(body)
