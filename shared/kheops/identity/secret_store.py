"""The values of secret settings, wherever they are kept, read again while the process runs."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import SecretStr

from kheops.clock import Clock, now
from kheops.config import Settings
from kheops.domain.secret_references import FileReference, SecretReference, is_strong, parse_reference
from kheops.errors import ConfigurationError
from kheops.identity.keyring import Keyring
from kheops.identity.secret_manager import SecretManager
from kheops.identity.secret_versions import SecretUnreadableError, SecretVersion, in_use, signing
from kheops.observability import get_logger

__all__ = ["SecretStore"]

_LOG = get_logger(__name__)

_KEYS: Final = ("KHEOPS_TOKEN_PEPPER", "KHEOPS_SESSION_KEY")
_SETTLE_READINGS: Final = 2
"""Readings after which every process has seen a new version: one may just have read when it was made, and the next
reading may be late by as much."""


class SecretStore:
    """Tells the values of secret settings.

    A value that is kept in the setting itself is that. One in a file or in Secret Manager is read at `open`, and again
    every ``KHEOPS_SECRET_REFRESH_SECONDS``. A reading that fails leaves what is known as it is.

    Parameters
    ----------
    settings
        The settings.
    manager
        Secret Manager; tests bring one that talks to a fake.
    clock
        The current time.
    reads
        The variables whose secrets are read, where this process has no use for others and may not be allowed to read
        them; all if not given. Whoever asks for one that is not read gets an error, and never the reference.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        manager: SecretManager | None = None,
        clock: Clock = now,
        reads: Collection[str] | None = None,
    ) -> None:
        self._clock = clock
        self._manager = manager or SecretManager()
        self._overlap = timedelta(days=settings.secret_overlap_days)
        self._period = settings.secret_refresh_seconds
        self._secrets = _secrets(settings)
        self._references: dict[str, SecretReference] = {}
        for secret in self._secrets.values():
            reference = parse_reference(secret)
            if reference is not None:
                self._references[secret] = reference
        wanted = self._secrets.keys() if reads is None else reads
        wanted_texts = {text for variable, text in self._secrets.items() if variable in wanted}
        self._read_texts = [text for text in self._references if text in wanted_texts]
        self._versions: dict[str, tuple[SecretVersion, ...]] = {}
        self._rings: dict[str, Keyring] = {}
        self._schedule: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read what is kept elsewhere, and begin to read it again on a schedule.

        Raises
        ------
        ConfigurationError
            If a secret cannot be read, or a key is weak, or both keys are the same; all faults at once, each by its
            variable, none with a value.
        """
        if not self._read_texts or self._schedule is not None:
            return
        await asyncio.to_thread(self.read)
        self._schedule = asyncio.create_task(self._read_again())

    def read(self) -> None:
        """Read what is kept elsewhere, once; blocks.

        Raises
        ------
        ConfigurationError
            As for `open`.
        """
        read = self._read()
        faults = [f"{self._variable(text)}: {error}" for text, error in read.items() if isinstance(error, Exception)]
        faults = faults or self._faults({text: one for text, one in read.items() if not isinstance(one, Exception)})
        if faults:
            raise ConfigurationError(faults)
        self._take(read)

    async def aclose(self) -> None:
        """End the schedule."""
        if self._schedule is not None:
            self._schedule.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._schedule
            self._schedule = None

    def reveal(self, secret: SecretStr) -> str:
        """Return the newest value of a secret setting, to be used at once and not kept.

        Raises
        ------
        ConfigurationError
            If it is kept elsewhere and has not been read.
        """
        text = secret.get_secret_value()
        if text not in self._references:
            return text
        versions = self._versions.get(text)
        if versions is None:
            raise ConfigurationError([f"{self._variable(text)} has not been read."])
        return versions[0].value

    def keyring(self, secret: SecretStr) -> Keyring:
        """Return the keys that a secret setting stands for; the same object keeps up with rotation.

        Raises
        ------
        ConfigurationError
            If it is kept elsewhere and has not been read.
        """
        text = secret.get_secret_value()
        ring = self._rings.get(text)
        if ring is None:
            ring = self._rings[text] = Keyring(*self._keys(text, self.reveal(secret)))
        return ring

    def refresh(self) -> None:
        """Read what is kept elsewhere again, and take what is good; blocks."""
        read = self._read()
        for text, one in read.items():
            if isinstance(one, Exception):
                _LOG.error("secret.not_refreshed", variable=self._variable(text), reason=str(one))
        good = {text: one for text, one in read.items() if not isinstance(one, Exception)}
        faults = self._faults(good)
        if faults:
            _LOG.error("secret.unsafe", faults=faults)
            return
        self._take(read)

    async def _read_again(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            try:
                await asyncio.to_thread(self.refresh)
            except Exception:  # noqa: BLE001 - whatever it is, the next reading must come
                _LOG.exception("secret.refresh_failed")

    def _read(self) -> dict[str, tuple[SecretVersion, ...] | SecretUnreadableError]:
        read: dict[str, tuple[SecretVersion, ...] | SecretUnreadableError] = {}
        at = self._clock()
        for text in self._read_texts:
            reference = self._references[text]
            try:
                if isinstance(reference, FileReference):
                    read[text] = self._file_versions(text, reference, at)
                else:
                    read[text] = self._manager.versions(reference, now=at, overlap=self._overlap)
            except SecretUnreadableError as error:
                read[text] = error
        return read

    def _file_versions(self, text: str, reference: FileReference, at: datetime) -> tuple[SecretVersion, ...]:
        known = self._versions.get(text, ())
        try:
            value = reference.path.read_text("utf-8").removesuffix("\n")
            since = datetime.fromtimestamp(reference.path.stat().st_mtime, UTC)
        except (OSError, ValueError) as error:
            raise SecretUnreadableError(f"the file cannot be read ({type(error).__name__})") from None
        if not value:
            raise SecretUnreadableError("the file is empty")
        if known and known[0].value == value:
            versions = known
        else:
            versions = (SecretVersion(value, since), *(one for one in known if one.value != value))
        kept = in_use([(one, one.since) for one in versions], now=at, overlap=self._overlap)
        return tuple(one for one, _ in kept)

    def _take(self, read: Mapping[str, tuple[SecretVersion, ...] | SecretUnreadableError]) -> None:
        for text, versions in read.items():
            if isinstance(versions, SecretUnreadableError):
                continue
            before = self._versions.get(text)
            self._versions[text] = versions
            if before is not None and before != versions:
                _LOG.warning("secret.rotated", variable=self._variable(text), versions=len(versions))
        for text, ring in self._rings.items():
            if text in self._versions:
                ring.exchange(*self._keys(text, self._versions[text][0].value))

    def _keys(self, text: str, newest: str) -> tuple[bytes, ...]:
        versions = self._versions.get(text)
        if versions is None:
            return (newest.encode(),)
        settle = timedelta(seconds=_SETTLE_READINGS * self._period)
        first = signing(versions, now=self._clock(), settle=settle)
        return first.value.encode(), *(one.value.encode() for one in versions)

    def _faults(self, read: Mapping[str, tuple[SecretVersion, ...]]) -> list[str]:
        faults = []
        values: dict[str, set[str]] = {}
        for variable, text in self._secrets.items():
            versions = read.get(text) or self._versions.get(text) or ()
            values[variable] = {one.value for one in versions} if text in self._references else {text}
            if not all(values[variable]) and text in self._references:
                faults.append(f"{variable}: is empty")
            elif variable in _KEYS and not all(map(is_strong, values[variable])):
                faults.append(f"{variable}: must be random and at least 32 characters long")
        if values[_KEYS[0]] & values[_KEYS[1]]:
            faults.append(f"{_KEYS[0]} and {_KEYS[1]} must differ")
        return faults

    def _variable(self, text: str) -> str:
        return ", ".join(variable for variable, secret in self._secrets.items() if secret == text)


def _secrets(settings: Settings) -> dict[str, str]:
    """Return what the secret settings say, by their variables."""
    named: dict[str, SecretStr | None] = {
        "KHEOPS_TOKEN_PEPPER": settings.token_pepper,
        "KHEOPS_SESSION_KEY": settings.session_key,
        "KHEOPS_DATABASE_PASSWORD": settings.database_password,
        "KHEOPS_STORE_PASSWORD": settings.store_password,
        "KHEOPS_MAIL_SMTP_PASSWORD": settings.mail_smtp_password,
    }
    for number, issuer in enumerate(settings.issuers):
        named[f"KHEOPS_ISSUERS[{number}].client_secret"] = issuer.client_secret
    return {variable: secret.get_secret_value() for variable, secret in named.items() if secret is not None}
