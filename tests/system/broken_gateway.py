"""The gateway with the policy broken on purpose, one way at a time: ``BREAK`` names which.

The property test must fail over each of them; else it would prove nothing.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kheops.domain import policy
from kheops.domain.policy import Admission, Denied, PermittedAlbum, ReadScope, Scope
from kheops.domain.principals import AlbumCapability, ViewerToken

BREAKS: dict[str, Callable[[], None]] = {}
"""Ways to break it, by name."""


def breaks(function: Callable[[], None]) -> Callable[[], None]:
    """Register a way to break it."""
    BREAKS[function.__name__] = function
    return function


@breaks
def reading_needs_the_inbox() -> None:
    """Let series of albums be listed and not served."""
    right = policy.read_series

    def wrong(principal: Any, facts: Any) -> Any:
        if facts is not None and not any(holding.is_inbox for holding in facts.holdings):
            return Denied(policy.Reason.NO_GRANT)
        return right(principal, facts)

    policy.read_series = wrong


@breaks
def links_list_everything_of_their_owner() -> None:
    """Let a search through a link run under its owner's whole scope."""
    right = policy.read_scope

    def wrong(principal: Any, source: Any) -> Any:
        if isinstance(principal, AlbumCapability):
            return ReadScope(Scope(principal.user))
        return right(principal, source)

    policy.read_scope = wrong


@breaks
def viewers_list_every_study_of_their_source() -> None:
    """Let a search by a viewer token run under its parent's scope."""
    right = policy.read_scope

    def wrong(principal: Any, source: Any) -> Any:
        scope = right(principal, source)
        if isinstance(principal, ViewerToken) and not isinstance(scope, Denied):
            return ReadScope(replace(scope, studies=None))
        return scope

    policy.read_scope = wrong


@breaks
def viewers_store_into_any_study() -> None:
    """Let a viewer token add to studies that it is not of."""
    right = policy.admit

    def wrong(principal: Any, target: Any, series: Any, facts: Any) -> Any:
        if isinstance(principal, ViewerToken):
            principal = principal.parent
        return right(principal, target, series, facts)

    policy.admit = wrong


@breaks
def any_member_may_do_anything() -> None:
    """Let a role in an album be enough for every action."""

    def wrong(principal: Any, action: Any, role: Any) -> Any:
        if role is None or role.is_inbox:
            return Denied(policy.Reason.NO_GRANT)
        return PermittedAlbum(role.album)

    policy.act_on_album = wrong


@breaks
def whoever_knows_the_uids_may_add() -> None:
    """Let uploads go into anybody's series."""
    policy.admit = lambda principal, target, series, facts: (
        Admission.NEW_SERIES if facts.series is None else Admission.ADD
    )


if __name__ != "__main__" and "BREAK" in os.environ:
    BREAKS[os.environ["BREAK"]]()
    from local.gateway import app

    __all__ = ["app"]
