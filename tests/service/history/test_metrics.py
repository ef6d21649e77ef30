"""Counting everything: for administrators of the installation, and exact."""

from dataclasses import replace

from kheops.domain.principals import Person, Role
from tests.service.history.world import HistoryWorld


def administrator(person: Person) -> Person:
    return replace(person, roles=frozenset({Role.ADMINISTRATOR}))


def test_only_administrators_of_the_installation_see_them(world: HistoryWorld) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    assert world.outcome(world.counting.everything(alice)) == "ForbiddenError"
    assert world.outcome(world.counting.everything(world.user_token(alice, "rwad"))) == "ForbiddenError"
    assert world.outcome(world.counting.everything(world.album_token(alice, album, "rwad"))) == "ForbiddenError"
    assert world.outcome(world.counting.everything(administrator(alice))) == "ok"


def test_everything_is_counted(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    first, _ = world.album(alice, bob), world.album(alice)
    series = world.series(world.key(first), world.inbox(alice), instances=3)
    world.series(world.key(first), study=series.study, instances=4)
    world.series(state="orphan", instances=5)
    world.series(world.inbox(bob), state="reserved", instances=0)
    assert world.mark(alice, series, first) == "ok"
    assert world.say(alice, series, "aloud") == "ok"
    assert world.say(alice, series, "psst", to="alice") == "ok"
    assert world.say(alice, first, "of the album") == "ok"
    world.execute("UPDATE album_members SET is_favorite = true WHERE user_pk = :pk", pk=bob.user)
    world.execute(
        "INSERT INTO report_providers (client_id, album_pk, name, url, created_at, removed_at) "
        "VALUES ('one', :album, 'n', 'u', now(), NULL), ('two', :album, 'n', 'u', now(), now())",
        album=world.key(first),
    )
    for number, (scope, revoked) in enumerate((("user", False), ("user", True), ("album", False))):
        world.execute(
            "INSERT INTO capabilities (id, secret_hash, title, scope_type, user_pk, album_pk, read_permission, "
            "write_permission, appropriate_permission, download_permission, issued_at, not_before, expires_at, "
            "revoked_at) VALUES (:id, :hash, 't', :scope, :user, :album, true, false, false, false, now(), now(), "
            "now() + interval '1 day', CASE WHEN :revoked THEN now() END)",
            id=f"cap{number}",
            hash=bytes([number]),
            scope=scope,
            user=alice.user,
            album=world.key(first) if scope == "album" else None,
            revoked=revoked,
        )
    counted = world.run(world.counting.everything(administrator(alice)))
    assert counted.counts == {
        "number_of_albums": 2,
        "number_of_users": 2,
        "number_of_report_providers": 1,
        "number_of_active_user_capability_tokens": 1,
        "number_of_inactive_user_capability_tokens": 1,
        "number_of_user_capability_tokens": 2,
        "number_of_active_album_capability_tokens": 1,
        "number_of_inactive_album_capability_tokens": 0,
        "number_of_album_capability_tokens": 1,
        "number_of_capability_tokens": 3,
        "number_of_studies": 2,
        "number_of_unpopulated_studies": 1,
        "number_of_series": 3,
        "number_of_orphan_series": 1,
        "number_of_unpopulated_series": 1,
        "number_of_instances": 12,
        "number_of_fav_albums": 1,
        "number_of_fav_series": 1,
        "number_of_public_study_comments": 1,
        "number_of_private_study_comments": 1,
        "number_of_study_comments": 2,
    }
    assert list(counted.users_in_albums) == [(1, 1), (2, 1)]
    assert list(counted.series_in_albums) == [(0, 1), (2, 1)]
    assert list(counted.series_in_studies) == [(1, 1), (2, 1)]
