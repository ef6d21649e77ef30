"""Secrets of browser sessions: made, hashed for keeping, and what is sealed for the way through a browser.

Everything here hangs on one key of the installation (``KHEOPS_SESSION_KEY``), from which a key of its own is derived
for each purpose, so that what was made for one is worth nothing for another.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
from datetime import datetime, timedelta
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from kheops.identity.base64url import decode_base64url
from kheops.identity.login import LoginRequest

__all__ = ["LOGIN_LIFETIME", "LoginUnderWay", "SessionSecrets"]

LOGIN_LIFETIME: Final = timedelta(minutes=10)
"""How long somebody may take at the issuer's pages; RFC 6749 section 4.1.2 gives a code as long."""

_SECRET_BYTES: Final = 32
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
"""32 random bytes in base64url: 256 bits."""
_KEY_BYTES: Final = 32
_LOGIN_FIELDS: Final = ("issuer", "redirect_uri", "state", "nonce", "code_verifier", "return_to")


class LoginUnderWay:
    """A login that a browser has begun: what the relying party has to see again, and where the person wants to go.

    Parameters
    ----------
    request
        What `kheops.identity.login.RelyingParty.start` returned; its ``url`` is not kept.
    return_to
        A path of ours.
    """

    __slots__ = ("request", "return_to")

    def __init__(self, request: LoginRequest, return_to: str) -> None:
        self.request = request
        self.return_to = return_to


class SessionSecrets:
    """Makes and checks what a session's security rests on.

    Parameters
    ----------
    key
        The installation's session key, 32 bytes at least.
    others
        Keys from before, and one that is about to be the current one: what was made with them still holds.

    Raises
    ------
    ValueError
        If the key is too short to protect anything.
    """

    def __init__(self, key: bytes, *others: bytes) -> None:
        if len(key) < _KEY_BYTES:
            raise ValueError(f"the session key must have {_KEY_BYTES} bytes at least")
        self._key = key
        self._others = tuple(SessionSecrets(other) for other in others if other != key)

    @property
    def accepted(self) -> "tuple[SessionSecrets, ...]":
        """What hashes with each key by itself, the current one first. A session belongs to the one that finds it."""
        return self, *self._others

    @staticmethod
    def new_secret() -> str:
        """Return a new session's secret: 256 random bits in 43 characters. Only its browser ever has it."""
        return secrets.token_urlsafe(_SECRET_BYTES)

    def hash_secret(self, secret: str) -> bytes | None:
        """Return the keyed hash under which a session is kept: HMAC-SHA-256; ``None`` for what is no secret of ours.

        Whoever reads the database can neither use the hash nor try guesses.
        """
        if _SECRET.fullmatch(secret) is None:
            return None
        return hmac.digest(self._derived("session"), secret.encode(), hashlib.sha256)

    def form_token(self, secret: str) -> str:
        """Return the token that each form of this session carries, so that no other site can post in its name."""
        digest = hmac.digest(self._derived("form"), secret.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def seal_login(self, login: LoginUnderWay, *, at: datetime) -> str:
        """Return a login under way for the keeping of its browser, encrypted and authenticated."""
        request = login.request
        values = (request.issuer, request.redirect_uri, request.state, request.nonce, request.code_verifier)
        content = dict(zip(_LOGIN_FIELDS, (*values, login.return_to), strict=True))
        return self._box("login").encrypt_at_time(json.dumps(content).encode(), _seconds(at)).decode()

    def open_login(self, sealed: str, *, at: datetime) -> LoginUnderWay | None:
        """Return what `seal_login` sealed; ``None`` if it is not of our making or older than `LOGIN_LIFETIME`."""
        lifetime = int(LOGIN_LIFETIME.total_seconds())
        # Fernet's decoder passes over letters that are none of its alphabet: one login, one text.
        unpadded = sealed.rstrip("=")
        if decode_base64url(unpadded) is None or sealed != unpadded + "=" * (-len(unpadded) % 4):
            return None
        try:
            content = json.loads(self._boxes("login").decrypt_at_time(sealed.encode(), lifetime, _seconds(at)))
        except InvalidToken:
            return None
        issuer, redirect_uri, state, nonce, code_verifier, return_to = (content[name] for name in _LOGIN_FIELDS)
        request = LoginRequest(
            issuer=issuer, redirect_uri=redirect_uri, url="", state=state, nonce=nonce, code_verifier=code_verifier
        )
        return LoginUnderWay(request, return_to)

    def seal_id_token(self, id_token: str) -> str:
        """Return an ID token for the keeping of the database, which is to hold no token in the clear."""
        return self._box("id-token").encrypt(id_token.encode()).decode()

    def open_id_token(self, sealed: str) -> str | None:
        """Return what `seal_id_token` sealed; ``None`` if its key is accepted no longer."""
        try:
            return self._boxes("id-token").decrypt(sealed.encode()).decode()
        except InvalidToken:
            return None

    def _derived(self, purpose: str) -> bytes:
        return hmac.digest(self._key, b"kheops browser session: " + purpose.encode(), hashlib.sha256)

    def _box(self, purpose: str) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(self._derived(purpose)))

    def _boxes(self, purpose: str) -> MultiFernet:
        return MultiFernet([secrets_of._box(purpose) for secrets_of in self.accepted])  # noqa: SLF001 - of our own


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
