"""How a stream that fails after its first byte ends."""

__all__ = ["CutError"]


class CutError(BaseException):
    """The answer has begun and cannot be completed: the connection must be cut, so that nobody takes it for whole.

    A ``BaseException``, since functions-framework catches ``Exception``, logs its text and tries to begin a second
    answer. Our ASGI wrapper turns it into a silent return without a last chunk, upon which the server cuts the
    connection (HTTP/1.1) or resets the stream (HTTP/2).
    """
