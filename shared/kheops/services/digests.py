"""Mails that tell members what is new: one a person and interval, with names of albums and counts only.

A mail leaves our protection. So it names no patient, study or person, and what it counts is looked up when it is sent:
of albums that the person is a member of then.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain.mail import Mail, one_line
from kheops.ids import UserPk
from kheops.outbound.mailers import Mailer
from kheops.services.deliveries import send_mail
from kheops.services.outbox import Sent
from kheops.storage import digests
from kheops.storage.digests import News
from kheops.storage.engine import Database
from kheops.storage.outbox import Task

__all__ = ["Digests"]

_NAME_SHOWN: Final = 255
"""Characters of an album's name in a mail: all that it may have."""


class Digests:
    """Adds digests to the outbox when they are due, and sends them.

    Parameters
    ----------
    database, clock
        Where news is, and the current time.
    mailer
        What sends mails.
    interval
        From one digest of a person to the next.
    public_url
        Where people find their albums.
    """

    def __init__(
        self, database: Database, clock: Clock, mailer: Mailer, *, interval: timedelta, public_url: str
    ) -> None:
        self._database = database
        self._clock = clock
        self._mailer = mailer
        self._interval = interval
        self._public_url = public_url

    async def add_due(self) -> int:
        """Add the digests that are due now, and return how many."""
        return await self._database.run(
            lambda tx: digests.add_due_digests(tx, at=self._clock(), interval=self._interval)
        )

    async def send(self, task: Task) -> Sent:
        """Send one digest, unless nothing is left to tell."""
        mail = await self._database.run(lambda tx: self._compose(tx, task))
        if mail is None:
            return Sent(delivered=True)
        return await send_mail(self._mailer, mail, task, self._clock())

    def _compose(self, tx: Connection, task: Task) -> Mail | None:
        user = UserPk(int(str(task.payload["user"])))
        since, until = (datetime.fromisoformat(str(task.payload[name])) for name in ("since", "until"))
        to = digests.addressee(tx, user)
        if to is None:
            return None
        news = digests.news(tx, user, since=since, until=until)
        return Mail(to.email, _subject(news), self._text(news)) if news else None

    def _text(self, news: Sequence[News]) -> str:
        lines = "\n".join(f"- {one_line(each.name, most=_NAME_SHOWN)}: {_counts(each)}" for each in news)
        return (
            f"There is something new in your albums:\n\n{lines}\n\n"
            f"{self._public_url}/\n\n"
            "You get this mail because you asked for notifications in these albums; turn them off in the album.\n"
        )


def _subject(news: Sequence[News]) -> str:
    albums = "an album" if len(news) == 1 else f"{len(news)} albums"
    return f"News in {albums}"


def _counts(news: News) -> str:
    parts = [
        f"{number} new {singular if number == 1 else plural}"
        for number, singular, plural in (
            (news.new_series, "series", "series"),
            (news.new_comments, "comment", "comments"),
        )
        if number
    ]
    return ", ".join(parts)
