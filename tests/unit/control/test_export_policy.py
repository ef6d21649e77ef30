"""Who may take away what they may look at: every combination, against the rule in words."""

import itertools

import pytest

from kheops.domain.export_policy import export, export_from_album, export_series
from kheops.domain.policy import Denied, Reason, read_series
from kheops.domain.principals import Principal
from kheops.domain.resources import AlbumFlags, AlbumRole, SeriesFacts
from tests.unit.test_policy_totality import ALBUM, INBOX, LETTERS, OTHER, PERSON, REF, album_token, user_token

PRINCIPALS: list[tuple[str, str, Principal]] = [
    ("person", "rd", PERSON),
    *(("user", letters, user_token(letters)) for letters in LETTERS),
    *(("album", letters, album_token(letters)) for letters in LETTERS),
]
ROLES = [
    AlbumRole(INBOX, is_inbox=True, is_admin=False, flags=AlbumFlags(download_series=False)),
    *(
        AlbumRole(album, is_inbox=False, is_admin=is_admin, flags=AlbumFlags(download_series=flag))
        for album, is_admin, flag in itertools.product((ALBUM, OTHER), (False, True), (False, True))
    ),
]
HELD = [held for size in range(3) for held in itertools.combinations(ROLES, size)]


def permits(role: AlbumRole) -> bool:
    return role.is_inbox or role.is_admin or role.flags.download_series


@pytest.mark.parametrize("kind", ["person", "user", "album"])
def test_a_series_is_taken_away_by_a_holding_that_is_read_and_permits_it(kind: str) -> None:
    outcomes = set()
    for each, letters, principal in PRINCIPALS:
        if each != kind:
            continue
        for held in HELD:
            facts = SeriesFacts(REF, held) if held else None
            reach = [role for role in held if kind != "album" or (role.album == ALBUM and role.is_admin)]
            may = {"r", "d"} <= set(letters) and any(permits(role) for role in reach)
            decided = export_series(principal, facts)
            assert decided == REF if may else isinstance(decided, Denied), (letters, held)
            outcomes.add(may)
            if may:
                assert read_series(principal, facts) == REF
    assert outcomes == {False, True}


def test_what_a_token_lacks_is_told_from_the_token_alone() -> None:
    assert export(PERSON) is None
    for letters in LETTERS:
        lacking = Reason.TOKEN_LACKS_READ if "r" not in letters else Reason.TOKEN_LACKS_DOWNLOAD
        expected = None if {"r", "d"} <= set(letters) else Denied(lacking)
        assert export(user_token(letters)) == expected
        assert export(album_token(letters)) == expected
        assert lacking.visible_to_caller


def test_an_albums_flag_is_for_plain_members() -> None:
    for role in ROLES:
        assert (export_from_album(role) is None) == permits(role)
    refused = export_from_album(ROLES[1])
    assert refused == Denied(Reason.ALBUM_ROLE)
