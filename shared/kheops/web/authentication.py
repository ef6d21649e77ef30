"""Who calls: the token of the link path or of ``Authorization``, or else the session of our own pages' browser."""

from kheops.errors import MissingCredentialsError
from kheops.web.call import Call
from kheops.web.credentials import authorization_token

__all__ = ["authenticate"]


async def authenticate(call: Call) -> None:
    """Set the caller of ``call``.

    A token wins over a cookie, which browsers send unasked. The session counts only where no other page can have made
    the browser ask, and for nothing that changes anything: see `kheops.web.sessions.session_principal`.

    Raises
    ------
    MissingCredentialsError
        If there is no credential.
    InvalidTokenError
        If there is a token and it is not good.
    UnavailableError
        If that cannot be found out now.
    """
    token = call.link_token if call.link_token is not None else authorization_token(call.request)
    if token is not None:
        call.caller = await call.process.authenticator.identify(token, request_id=call.request_id)
        return
    if "cookie" in call.request.headers:
        from kheops.web.sessions import session_principal  # the data plane hardly ever needs what it brings along

        call.caller = await session_principal(call)
    if call.caller is None:
        raise MissingCredentialsError
