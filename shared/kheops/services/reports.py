"""Reports: a member hands studies of an album to one of its report providers, which comes for them with a token."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.policy import Denied, ReportGrant, Source
from kheops.domain.principals import Principal, UserCapability
from kheops.domain.report_configuration import ProviderConfiguration, ProviderConfigurationError, ResponseType
from kheops.domain.report_providers import (
    REPORT_CODE_LIFETIME,
    REPORT_TOKEN_LIFETIME,
    CodeExchange,
    ReportDraft,
    same_origin,
)
from kheops.domain.uses import Use, User
from kheops.errors import (
    BadRequestError,
    IdentityProviderUnavailableError,
    InvalidTokenError,
    NotFoundError,
    OAuthError,
    ReportProviderNotFoundError,
    TooManyRequestsError,
)
from kheops.identity.client_assertions import ASSERTION_ALGORITHM, claimed_client, verify_assertion
from kheops.identity.keyring import Keyring
from kheops.identity.own_tokens import hash_secret, hashes, new_report_code, new_report_secret
from kheops.ids import ReportProviderId
from kheops.observability import get_logger
from kheops.services.denials import granted, refuse
from kheops.services.provider_keys import ProviderKeys
from kheops.services.report_providers import ReportProviders
from kheops.storage import audit, people, report_providers, report_tokens, roles
from kheops.storage.engine import Database
from kheops.storage.people import UserRecord
from kheops.storage.report_providers import ProviderRecord
from kheops.storage.report_tokens import NewReport, OpenCode, ReportOwner

__all__ = ["Destination", "IssuedReport", "Reports"]

_LOG = get_logger(__name__)

_AT_ONCE: Final = 1_000
"""Codes and tokens of one person that have not ended."""
_FEWER_AFTER: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the browser goes on to: the provider, with a code or a token that is never to be had again."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class IssuedReport:
    """A new report token with its secret, which is never to be had again."""

    secret: str = field(repr=False)
    lifetime: timedelta
    read: bool
    write: bool


@dataclass(frozen=True, slots=True)
class _Opened:
    provider: ProviderRecord
    grant: ReportGrant


class Reports:
    """What report providers are given. Codes and tokens are shown once and kept as keyed hashes only.

    Parameters
    ----------
    database
        Where they are.
    clock
        The current time.
    providers
        Whose configuration is read at each request.
    keys
        By which their assertions are verified.
    pepper
        The key of the hash.
    public_url
        The public root, which is named to providers.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        providers: ReportProviders,
        keys: ProviderKeys,
        pepper: Keyring,
        public_url: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._providers = providers
        self._keys = keys
        self._pepper = pepper
        self._public_url = public_url

    async def request(
        self, principal: Principal, provider: ReportProviderId, draft: ReportDraft, *, asked: Use
    ) -> Destination:
        """Hand studies to a provider and return where the browser must go with that.

        Raises
        ------
        ForbiddenError
            If the caller is neither a person nor has a token of user scope that reads.
        ReportProviderNotFoundError
            If there is no such provider in an album of which the caller is a member.
        NotFoundError
            If the album does not have one of the studies, hidden and absent alike.
        BadRequestError
            If the provider's configuration is not one that can be used now.
        OutboundError
            If it cannot be read now.
        TooManyRequestsError
            If too many of the person's codes and tokens have not ended.
        """
        opened = await self._database.run(lambda tx: self._open(tx, principal, provider, draft))
        try:
            configuration = await self._providers.configuration(opened.provider.url)
        except ProviderConfigurationError:
            raise BadRequestError("The report provider's configuration cannot be used.") from None
        return await self._database.run(
            lambda tx: self._hand_over(tx, principal, opened.provider, draft, configuration, asked)
        )

    async def client(self, assertion: str, *, client_id: str, audience: str) -> ProviderRecord:
        """Return the provider that signed an assertion; each assertion is good once.

        Parameters
        ----------
        assertion
            A JWT as ``private_key_jwt`` says.
        client_id
            The client that the request names.
        audience
            The address of the endpoint that got it.

        Raises
        ------
        OAuthError
            ``invalid_client``, whatever is wrong with it.
        """
        try:
            return await self._client(assertion, client_id, audience)
        except (InvalidTokenError, IdentityProviderUnavailableError) as error:
            reason = error.reason if isinstance(error, InvalidTokenError) else type(error).__name__
            _LOG.info("report.client_refused", reason=reason)
        raise OAuthError("invalid_client", "The client's assertion is not good here.")

    async def exchange(self, provider: ProviderRecord, exchange: CodeExchange, *, asked: Use) -> IssuedReport:
        """Exchange a code for a token, once. A second use of the code ends the token of the first.

        Parameters
        ----------
        provider
            What `client` returned.
        exchange
            What it brings.
        asked
            The use; the person, the studies and the token are filled in.

        Raises
        ------
        OAuthError
            ``invalid_grant``, whatever is wrong with the code or what goes with it.
        """
        secret = new_report_secret()

        def work(tx: Connection) -> IssuedReport | None:
            at = self._clock()
            code = None
            for code_hash in hashes(exchange.code, self._pepper):
                code = code or report_tokens.find_code(tx, code_hash=code_hash, provider_pk=provider.pk, at=at)
            if code is None:
                return None
            if code.used:
                report_tokens.revoke(tx, code.report, at=at)
                _LOG.warning("report.code_used_again", report=code.report)
                return None
            if code.revoked or at >= code.expires_at or not _fits(exchange, code):
                return None
            secret_hash = hash_secret(secret, self._pepper.current)
            until = at + REPORT_TOKEN_LIFETIME
            ends = report_tokens.exchange_code(tx, code.report, secret_hash=secret_hash, at=at, until=until)
            name = f"report:{code.report}"
            user = User(*code.user, name, provider.provider)
            audit.insert_use(tx, replace(asked, user=user, studies=code.studies, subject=provider.provider), at)
            return IssuedReport(secret, ends - at, code.read, code.write)

        # Not raised inside: what a second use ends must stay ended.
        issued = await self._database.run(work)
        if issued is None:
            raise OAuthError("invalid_grant", "The code is not good here, or no longer.")
        return issued

    async def userinfo(self, principal: Principal) -> UserRecord:
        """Return the person who asked for a report, to the provider that has its token.

        Raises
        ------
        ForbiddenError
            For every other kind of token.
        """
        user = granted(policy.tell_userinfo(principal))
        return await self._database.run(lambda tx: people.get_user(tx, user))

    async def clear(self) -> int:
        """Delete codes, tokens and assertions that are past their time; return how many."""
        cleared = 0
        while some := await self._database.run(
            lambda tx: (
                report_tokens.delete_ended(tx, at=self._clock())
                + report_providers.clear_assertions(tx, at=self._clock())
            )
        ):
            cleared += some
        return cleared

    def _open(self, tx: Connection, principal: Principal, provider: ReportProviderId, draft: ReportDraft) -> _Opened:
        record = report_providers.find_provider(tx, provider)
        # Without the groups that the caller presents: the token cannot present them, and would be good for nothing.
        role = None if record is None else roles.role_in(tx, principal.user, record.album)
        grant = policy.open_report(principal, role)
        if isinstance(grant, Denied):
            if grant.reason.visible_to_caller:
                refuse(grant)
            raise ReportProviderNotFoundError
        assert record is not None
        scope = granted(policy.read_scope(principal, Source(album=grant.album)))
        if report_tokens.studies_present(tx, scope, draft.studies) != frozenset(draft.studies):
            raise NotFoundError
        return _Opened(record, grant)

    def _hand_over(  # noqa: PLR0917 - each is of a different type
        self,
        tx: Connection,
        principal: Principal,
        provider: ProviderRecord,
        draft: ReportDraft,
        configuration: ProviderConfiguration,
        asked: Use,
    ) -> Destination:
        # Decided again: reading the configuration took its time.
        opened = self._open(tx, principal, provider.provider, draft)
        if opened.provider.url != provider.url or not same_origin(configuration.redirect_uri, provider.url):
            raise ReportProviderNotFoundError
        at = self._clock()
        if report_tokens.number_of_live(tx, principal.user, at) >= _AT_ONCE:
            raise TooManyRequestsError(
                "Too many reports have not ended yet.", retry_after=int(_FEWER_AFTER.total_seconds())
            )
        by_code = configuration.response_type is ResponseType.CODE
        secret = new_report_code() if by_code else new_report_secret()
        secret_hash = hash_secret(secret, self._pepper.current)
        made = report_tokens.create_report(
            tx,
            opened.grant,
            NewReport(
                provider_pk=opened.provider.pk,
                owner=ReportOwner(
                    principal.user,
                    principal.capability if isinstance(principal, UserCapability) else None,
                    principal.acting_party,
                ),
                studies=draft.studies,
                redirect_uri=configuration.redirect_uri,
                code_hash=secret_hash if by_code else None,
                code_challenge=draft.code_challenge,
                secret_hash=None if by_code else secret_hash,
                at=at,
                until=at + (REPORT_CODE_LIFETIME if by_code else REPORT_TOKEN_LIFETIME),
            ),
        )
        if made is None:
            raise ReportProviderNotFoundError
        audit.insert_use(tx, replace(asked, studies=draft.studies, subject=provider.provider), at)
        return self._destination(configuration, opened, draft, secret)

    def _destination(
        self, configuration: ProviderConfiguration, opened: _Opened, draft: ReportDraft, secret: str
    ) -> Destination:
        both = [
            ("client_id", opened.provider.provider),
            ("conf_uri", f"{self._public_url}/api/.well-known/report-provider-configuration"),
            ("return_uri", f"{self._public_url}/albums/{opened.provider.album_id}"),
            *(("studyUID", study) for study in draft.studies),
        ]
        if configuration.response_type is ResponseType.CODE:
            query = urlencode([("code", secret), *both])
            separator = "&" if "?" in configuration.redirect_uri else "?"
            return Destination(f"{configuration.redirect_uri}{separator}{query}")
        words = (*(["read"] if opened.grant.read else []), *(["write"] if opened.grant.write else []))
        token = [
            ("access_token", secret),
            ("token_type", "bearer"),
            ("expires_in", str(int(REPORT_TOKEN_LIFETIME.total_seconds()))),
            ("scope", " ".join(words)),
        ]
        return Destination(f"{configuration.redirect_uri}#{urlencode([*token, *both])}")

    async def _client(self, assertion: str, client_id: str, audience: str) -> ProviderRecord:
        unverified, kid, client = claimed_client(assertion)
        if client != client_id:
            raise InvalidTokenError("assertion-of-another-client")
        provider = await self._database.run(lambda tx: report_providers.find_provider(tx, client))
        if provider is None:
            raise InvalidTokenError("assertion-client-unknown")
        key, _ = await self._keys.of(provider).find(kid, ASSERTION_ALGORITHM)
        verified = verify_assertion(unverified, client, key, audience=audience, at=self._clock())

        def remember(tx: Connection) -> bool:
            return report_providers.remember_assertion(
                tx, provider.pk, jti_hash=verified.jti_hash, until=verified.until
            )

        if not await self._database.run(remember):
            raise InvalidTokenError("assertion-used-again")
        return provider


def _fits(exchange: CodeExchange, code: OpenCode) -> bool:
    if exchange.redirect_uri != code.redirect_uri:
        return False
    if code.code_challenge is None or exchange.code_verifier is None:
        # A verifier without a challenge is a sign of a code that was injected (RFC 9700 section 2.1.1).
        return code.code_challenge is None and exchange.code_verifier is None
    digest = hashlib.sha256(exchange.code_verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(challenge, code.code_challenge)
