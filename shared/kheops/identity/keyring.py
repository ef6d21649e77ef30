"""Keys of one purpose: the one that new things are made with, and those that old things were made with."""

from typing import Final

__all__ = ["Keyring"]

_KEY_BYTES: Final = 32


class Keyring:
    """The keys of one purpose, exchanged as a whole when the installation rotates them.

    Parameters
    ----------
    current
        What new things are hashed, signed or sealed with.
    others
        What else is accepted: keys from before, and one that is about to be the current one.

    Raises
    ------
    ValueError
        If a key has fewer than 32 bytes.
    """

    __slots__ = ("_keys",)

    def __init__(self, current: bytes, *others: bytes) -> None:
        self._keys: tuple[bytes, ...] = ()
        self.exchange(current, *others)

    @property
    def current(self) -> bytes:
        """The key for new things."""
        return self._keys[0]

    @property
    def accepted(self) -> tuple[bytes, ...]:
        """All keys, the current one first. Take it once for what has to fit together."""
        return self._keys

    def exchange(self, current: bytes, *others: bytes) -> None:
        """Put other keys in the place of these, from one moment to the next; as for the class."""
        keys = tuple(dict.fromkeys((current, *others)))
        if min(map(len, keys)) < _KEY_BYTES:
            raise ValueError(f"a key must have {_KEY_BYTES} bytes at least")
        self._keys = keys
