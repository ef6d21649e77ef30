"""What `kheops import` is told by its options, and what it says while it runs."""

import json
from typing import TextIO

from kheops.cli.output import say
from kheops.clock import monotonic
from kheops.errors import BadRequestError
from kheops.services.import_rules import ImportRule, parse_rules
from kheops.services.importing import Taken

__all__ = ["Reporter", "chosen_rules"]

_PAUSE_SECONDS = 5.0


class Reporter:
    """Says every few seconds how far an import has come, on standard error."""

    def __init__(self) -> None:
        self._said_at = monotonic()

    def __call__(self, taken: Taken) -> None:
        """Say it, if it is time."""
        if monotonic() - self._said_at >= _PAUSE_SECONDS:
            self._said_at = monotonic()
            counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(taken.series.items()))
            of = "" if taken.expected is None else f" of {taken.expected}"
            say(f"{taken.series.total()}{of} series: {counts}")


def chosen_rules(*, to_user: str | None, to_album: str | None, rules: TextIO | None) -> tuple[ImportRule, ...]:
    """Return the rules that the options mean; none if none is given.

    Raises
    ------
    BadRequestError
        If more than one option is given, or one is malformed.
    """
    if sum(each is not None for each in (to_user, to_album, rules)) > 1:
        raise BadRequestError("Give one of --to-user, --to-album and --rules.")
    if rules is not None:
        try:
            document = json.load(rules)
        except (ValueError, RecursionError):
            raise BadRequestError("The file of --rules is not JSON.") from None
        return parse_rules(document)
    if to_user is not None:
        return parse_rules([{"user": to_user}])
    if to_album is not None:
        return parse_rules([{"album": to_album}])
    return ()
