"""Credentials of google-auth that need no server: a token that always holds."""

from datetime import UTC, datetime, timedelta
from typing import Self

from google.auth.credentials import Credentials, Scoped
from typing_extensions import override

__all__ = ["StaticToken"]


class StaticToken(Scoped, Credentials):
    """A token named after its scopes, so that a fake can tell which it got."""

    def __init__(self, scopes: tuple[str, ...] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._named = scopes
        self.refresh(None)

    @override
    def refresh(self, request: object) -> None:
        self.token = f"token-for {' '.join(self._named)}"
        self.expiry = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)

    @property
    @override
    def requires_scopes(self) -> bool:
        return not self._named

    @override
    def with_scopes(self, scopes: list[str], default_scopes: list[str] | None = None) -> Self:
        return type(self)(tuple(scopes))
