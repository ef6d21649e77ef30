"""People as requests name them."""

from dataclasses import dataclass

from kheops.domain.mailboxes import mailbox_of

__all__ = ["NamedPerson"]


@dataclass(frozen=True, slots=True)
class NamedPerson:
    """How a request names somebody.

    A ``sub`` means somebody only together with its issuer. Without one it means the default issuer's, and nobody
    where another issuer has the same: who wrote it down may have seen it of either.
    """

    reference: str
    """With ``@``, and without an issuer, an e-mail address; else a ``sub``."""
    issuer: str | None = None
    """Of the ``sub``; ``None`` for the default issuer."""

    @property
    def is_address(self) -> bool:
        """Whether it is an e-mail address; a ``sub`` with ``@`` in it needs its issuer beside it."""
        return self.issuer is None and "@" in self.reference

    @property
    def mailbox(self) -> str | None:
        """The address as addresses are compared; ``None`` for a ``sub``, and for an address that is nobody's."""
        return mailbox_of(self.reference) if self.is_address else None

    def issuer_or(self, default: str) -> str:
        """Return whose ``sub`` it is, where ``default`` is the default issuer."""
        return default if self.issuer is None else self.issuer
