"""How a command ends when it does not end well: an exit code, and words that say what to do."""

from enum import IntEnum

__all__ = ["CommandError", "ExitCode"]


class ExitCode(IntEnum):
    """Exit codes of every command; ``docs/command-line.md`` lists them."""

    DONE = 0
    NOT_DONE = 1
    """Some or all of what was asked for could not be done; the output says what."""
    WRONG_USE = 2
    """The command, an option or a file is not what it must be; nothing was done."""
    UNSAFE_SETTINGS = 3
    """The settings of the environment are incomplete or unsafe."""
    NOT_LOGGED_IN = 4
    """There is no login or token, or the server does not take it."""
    REFUSED = 5
    """The server refused: no right to it, or it does not exist."""
    UNREACHABLE = 6
    """The server or the login provider does not answer, or asks to wait. The same command may do later."""
    INTERRUPTED = 130
    """Ended by Ctrl-C, as shells say it: 128 and the number of SIGINT."""


class CommandError(Exception):
    """A command ends here.

    Parameters
    ----------
    message
        What is wrong and what would be right, for a person. It holds no token.
    code
        The exit code.
    """

    def __init__(self, message: str, *, code: ExitCode = ExitCode.NOT_DONE) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
