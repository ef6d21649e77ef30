"""People: known at the first sight of a valid token, found by reference."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from sqlalchemy import Connection

from kheops.clock import Clock, monotonic
from kheops.config import RoleRule
from kheops.domain.groups import is_group_name
from kheops.domain.principals import Person, Role
from kheops.domain.profiles import Profile
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import InvalidTokenError, UnavailableError
from kheops.identity.access_tokens import VerifiedToken
from kheops.identity.profile import completed
from kheops.observability import get_logger
from kheops.services.invitations import accept_invitations
from kheops.storage import audit, erasure, people
from kheops.storage.engine import Database
from kheops.storage.people import UserRecord

__all__ = ["ProfileSource", "Registry"]

_LOG = get_logger(__name__)

_STANDING_SECONDS: Final = 5
"""How long a person's good standing is believed: a suspended person's tokens end within it."""
_REMEMBERED: Final = 10_000
_GROUPS_LIMIT: Final = 1_000
_NO_CLAIMS: Final[Mapping[str, str]] = {}


class ProfileSource(Protocol):
    """Asks an issuer who the bearer of a token is (OpenID Connect Core 5.3)."""

    async def fetch(self, token: str, verified: VerifiedToken) -> Profile | None:
        """Return the profile, or ``None`` if the issuer has no userinfo endpoint."""


class Registry:
    """Turns verified tokens into persons.

    Parameters
    ----------
    database
        Where people are.
    clock
        The current time.
    profiles
        Where name and e-mail come from when a token carries none; ``None`` asks nobody.
    administrators
        Who administers the installation: whoever presents one of these claims.
    group_claims
        The claim that lists a person's groups, by issuer.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        profiles: ProfileSource | None,
        *,
        administrators: Sequence[RoleRule] = (),
        group_claims: Mapping[str, str] = _NO_CLAIMS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._profiles = profiles
        self._administrators = administrators
        self._group_claims = group_claims
        self._standing: OrderedDict[tuple[str, str], tuple[float, UserRecord]] = OrderedDict()

    async def person(self, token: str, verified: VerifiedToken, *, request_id: str) -> Person:
        """Return the person of a verified token, creating them at first sight.

        Raises
        ------
        InvalidTokenError
            If the person is suspended.
        DatabaseUnavailableError
            If the database does not answer.
        """
        record = await self._record(token, verified, request_id)
        if record.suspended_at is not None:
            raise InvalidTokenError("suspended")
        return Person(
            user=record.user,
            iss=verified.iss,
            sub=verified.sub,
            token_id=verified.token_id,
            acting_party=verified.acting_party,
            roles=self._roles(verified),
            groups=self.groups(verified.iss, verified.claims),
            groups_until=verified.expires_at,
        )

    def groups(self, iss: str, claims: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
        """Return the groups of verified claims of an issuer; none where its settings name no claim for them.

        What cannot be the name of a group here, and what goes beyond the first 1,000, is left out.
        """
        values = claims.get(self._group_claims.get(iss, ""), ())
        return frozenset(value for value in values[:_GROUPS_LIMIT] if is_group_name(value))

    async def register(self, token: str, verified: VerifiedToken, *, request_id: str) -> UserRecord:
        """Create or update a person from what the issuer says now (KHEOPS ``POST /register``).

        Raises
        ------
        InvalidTokenError
            If the issuer's userinfo endpoint refuses the token, or the person is suspended.
        IdentityProviderUnavailableError
            If the issuer does not answer.
        """
        profile = await self._profile(token, verified)
        return await self._login(_user(verified), profile, request_id, issued_at=verified.issued_at)

    async def login(self, user: User, profile: Profile, *, request_id: str) -> UserRecord:
        """Create or update a person who has just logged in, in the browser or by ``/register``.

        Parameters
        ----------
        user
            Who, and how the audit trail names their session.
        profile
            What the issuer says of them. What it leaves out stays as it was.
        request_id
            Of the request, for the audit trail.

        Raises
        ------
        InvalidTokenError
            If the person is suspended.
        DatabaseUnavailableError
            If the database does not answer.
        """
        return await self._login(user, profile, request_id, issued_at=None)

    async def _login(self, user: User, profile: Profile, request_id: str, *, issued_at: datetime | None) -> UserRecord:
        assert user.iss is not None
        assert user.sub is not None
        known = await self._database.run(partial(people.find_by_identity, iss=user.iss, sub=user.sub))
        return await self._created_or_updated(user, _completed(profile, known), request_id, issued_at)

    def forget(self, *, iss: str, sub: str) -> None:
        """Ask the database anew at the next sight of somebody, in this process."""
        self._standing.pop((iss, sub), None)

    def _roles(self, verified: VerifiedToken) -> frozenset[Role]:
        is_administrator = any(
            rule.issuer == verified.iss and rule.value in verified.claims.get(rule.claim, ())
            for rule in self._administrators
        )
        return frozenset({Role.ADMINISTRATOR}) if is_administrator else frozenset()

    async def _created_or_updated(
        self, user: User, profile: Profile, request_id: str, issued_at: datetime | None
    ) -> UserRecord:
        record = await self._create(user, profile, request_id, issued_at)
        if record.suspended_at is not None:
            raise InvalidTokenError("suspended")
        known = record.user

        def update(tx: Connection) -> UserRecord:
            updated = people.update_profile(tx, known, profile)
            accept_invitations(tx, updated, request_id=request_id, at=self._clock())
            return updated

        record = await self._database.run(update)
        self._remember(record)
        return record

    async def _record(self, token: str, verified: VerifiedToken, request_id: str) -> UserRecord:
        key = (verified.iss, verified.sub)
        known = self._standing.get(key)
        if known is not None and monotonic() - known[0] < _STANDING_SECONDS:
            return known[1]
        record = await self._database.run(partial(people.find_by_identity, iss=verified.iss, sub=verified.sub))
        if record is None:
            try:
                profile = await self._profile(token, verified)
            except (UnavailableError, InvalidTokenError) as error:
                # The token is good all the same; KHEOPS's /register fills name and e-mail in later.
                _LOG.warning("people.profile_missing", iss=verified.iss, error=type(error).__name__)
                profile = _of_token(verified)
            record = await self._create(_user(verified), profile, request_id, verified.issued_at)
        self._remember(record)
        return record

    async def _profile(self, token: str, verified: VerifiedToken) -> Profile:
        if self._profiles is not None:
            profile = await self._profiles.fetch(token, verified)
            if profile is not None:
                return profile
        return _of_token(verified)

    async def _create(self, user: User, profile: Profile, request_id: str, issued_at: datetime | None) -> UserRecord:
        """Create somebody, unless by a token of a time before they were erased; ``None`` has just logged in."""
        iss, sub = user.iss, user.sub
        assert iss is not None
        assert sub is not None
        at = self._clock()
        use = Use(
            user=user,
            kind=UseKind.PERSON_CREATED,
            outcome=Outcome.GRANTED,
            source_address=None,
            request_id=request_id,
        )

        def create(tx: Connection) -> UserRecord:
            existing = people.find_by_identity(tx, iss=iss, sub=sub)
            if existing is not None:
                return existing
            erased = erasure.erased_at(tx, iss=iss, sub=sub) if issued_at is not None else None
            if issued_at is not None and erased is not None and issued_at <= erased:
                raise InvalidTokenError("erased")
            record = people.create_user(tx, iss=iss, sub=sub, profile=profile, at=at)
            audit.insert_use(tx, use, at)
            accept_invitations(tx, record, request_id=request_id, at=at)
            return record

        return await self._database.run(create)

    def _remember(self, record: UserRecord) -> None:
        at = monotonic()
        key = (record.iss, record.sub)
        self._standing[key] = (at, record)
        self._standing.move_to_end(key)
        # In the order of time: what is no longer believed is not kept either.
        while len(self._standing) > _REMEMBERED or at - next(iter(self._standing.values()))[0] >= _STANDING_SECONDS:
            self._standing.popitem(last=False)


def _of_token(verified: VerifiedToken) -> Profile:
    return Profile(email=verified.email, email_verified=verified.email_verified, name=verified.name)


def _user(verified: VerifiedToken) -> User:
    return User(verified.iss, verified.sub, verified.token_id, verified.acting_party)


def _completed(profile: Profile, known: UserRecord | None) -> Profile:
    if known is None:
        return profile
    return completed(profile, Profile(email=known.email, email_verified=known.email_verified, name=known.name))
