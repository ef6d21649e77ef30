"""The part of the one rule source that is about people: who may look them up, and act on them.

Pure functions of facts, as all of `kheops.domain.policy`, by whose name everybody calls them.
"""

from typing import assert_never

from kheops.domain.grants import Denied, Reason
from kheops.domain.principals import (
    AlbumCapability,
    LinkVisit,
    Person,
    Principal,
    ReportToken,
    Role,
    UserCapability,
    ViewerToken,
)
from kheops.ids import UserPk

__all__ = ["act_on_another", "administer", "is_acquainted", "look_up_people", "tell_userinfo"]


def look_up_people(principal: Principal) -> UserPk | Denied:
    """Decide whether ``principal`` may look up people, and as whom: only people may, with a login of their own.

    A token is handed to programs and viewers; names and addresses of others are nothing that they need.
    """
    return principal.user if isinstance(principal, Person) else Denied(Reason.TOKEN_KIND)


def is_acquainted(asker: UserPk, person: UserPk, *, by_address: bool, share_an_album: bool) -> bool:
    """Decide whether somebody who looks a person up is told that person's name and address.

    Parameters
    ----------
    asker
        Who may look up people (`look_up_people`).
    person
        Whom they found.
    by_address
        Whether it was by the address, which they then know already.
    share_an_album
        Whether both are members of one album.
    """
    return by_address or share_an_album or asker == person


def act_on_another(principal: Principal, person: UserPk) -> UserPk | Denied:
    """Decide whether it is somebody else: nobody adds, promotes, suspends or erases themself, whatever their role."""
    return Denied(Reason.ONESELF) if principal.user == person else person


def administer(principal: Principal) -> UserPk | Denied:
    """Decide whether ``principal`` may see and do what concerns the installation as a whole.

    Only people who present the claim that the settings name, with an access token of their own; no token of ours.
    """
    match principal:
        case Person():
            return principal.user if Role.ADMINISTRATOR in principal.roles else Denied(Reason.NOT_ADMINISTRATOR)
        case UserCapability() | AlbumCapability() | ViewerToken() | ReportToken() | LinkVisit():
            return Denied(Reason.TOKEN_KIND)
        case _:
            assert_never(principal)


def tell_userinfo(principal: Principal) -> UserPk | Denied:
    """Decide whether ``principal`` may learn name and address of its person: report tokens may, as in KHEOPS."""
    return principal.user if isinstance(principal, ReportToken) else Denied(Reason.TOKEN_KIND)
