"""The tree of errors.

::

    KheopsError
    ├── ConfigurationError            the process must not start
    ├── InvalidIdentifierError        text that is no UID or id
    ├── BadRequestError               a request that cannot be understood
    │   ├── BadQueryParameterError
    │   ├── BadFormParameterError
    │   ├── BadMultipartError
    │   └── OAuthError                refused by the token endpoint, in OAuth's own words
    ├── UnauthenticatedError          no credential, or one that is not good
    │   ├── MissingCredentialsError
    │   ├── InvalidTokenError
    │   └── LoginRefusedError         a login in the browser did not succeed
    ├── ForbiddenError                refused for a reason visible from the token or the album role alone
    │   ├── PasscodeRequiredError
    │   └── WrongPasscodeError
    ├── NotFoundError                 hidden or absent: never told apart
    │   ├── AlbumNotFoundError
    │   ├── UserNotFoundError
    │   ├── CapabilityNotFoundError
    │   ├── ReportProviderNotFoundError
    │   ├── LinkNotFoundError
    │   ├── InvitationNotFoundError
    │   ├── WebhookNotFoundError
    │   └── RouteNotFoundError
    ├── MethodNotAllowedError
    ├── NotAcceptableError
    ├── UnsupportedMediaTypeError
    ├── PayloadTooLargeError
    ├── ConflictError
    ├── TooManyRequestsError          slow down
    ├── ClientGoneError               the client left before its body was complete
    └── UnavailableError              try again later
        ├── ArchiveUnavailableError
        ├── DatabaseUnavailableError
        ├── RestoringError
        └── IdentityProviderUnavailableError
    ├── ArchiveProtocolError          the store answered what it must not
    └── OutboundError                 an address that somebody chose is refused, or did not answer as it must

The domain knows nothing of HTTP; `kheops.web.errors` maps each class to a status. ``message`` and ``detail`` go
to the caller and therefore never contain a UID, a path, a secret or a cause's text.
"""

from typing import ClassVar

__all__ = [
    "AlbumNotFoundError",
    "ArchiveProtocolError",
    "ArchiveUnavailableError",
    "BadFormParameterError",
    "BadMultipartError",
    "BadQueryParameterError",
    "BadRequestError",
    "CapabilityNotFoundError",
    "ClientGoneError",
    "ConfigurationError",
    "ConflictError",
    "DatabaseUnavailableError",
    "ForbiddenError",
    "IdentityProviderUnavailableError",
    "InvalidIdentifierError",
    "InvalidTokenError",
    "InvitationNotFoundError",
    "KheopsError",
    "LinkNotFoundError",
    "LoginRefusedError",
    "MethodNotAllowedError",
    "MissingCredentialsError",
    "NotAcceptableError",
    "NotFoundError",
    "OAuthError",
    "OutboundError",
    "PasscodeRequiredError",
    "PayloadTooLargeError",
    "ReportProviderNotFoundError",
    "RestoringError",
    "RouteNotFoundError",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnsupportedMediaTypeError",
    "UserNotFoundError",
    "WebhookNotFoundError",
    "WrongPasscodeError",
]


class KheopsError(Exception):
    """Root of everything that this package raises on purpose.

    Parameters
    ----------
    detail
        One sentence for the caller: what was wrong and what would be right.
    """

    code: ClassVar[str] = "internal"
    """Stable name of the error, the last part of the problem document's ``type``."""
    message: ClassVar[str] = "Internal server error"
    """KHEOPS's ``message``; the problem document's ``title``."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class ConfigurationError(KheopsError):
    """The settings are unsafe or incomplete; ``faults`` has one plain sentence for each, naming its variable."""

    code = "configuration"
    message = "Configuration error"

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class InvalidIdentifierError(KheopsError):
    """A text is not a UID or id of the kind asked for."""

    code = "invalid-identifier"
    message = "Invalid identifier"


class BadRequestError(KheopsError):
    """The request cannot be understood."""

    code = "bad-request"
    message = "Bad Request"


class BadQueryParameterError(BadRequestError):
    """A query parameter is unknown, repeated, missing or malformed."""

    code = "bad-query-parameter"
    message = "Bad Query Parameter"


class BadFormParameterError(BadRequestError):
    """A form parameter is unknown, repeated, missing or malformed."""

    code = "bad-form-parameter"
    message = "Bad Form Parameter"


class BadMultipartError(BadRequestError):
    """A multipart body breaks RFC 2046."""

    code = "bad-multipart"
    message = "Bad multipart body"


class OAuthError(BadRequestError):
    """The token endpoint refuses; ``error`` is the word of RFC 6749 section 5.2 or RFC 8693 section 2.2.2 for it."""

    code = "oauth"

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error = error


class UnauthenticatedError(KheopsError):
    """The caller is nobody: no credential, or one that is not good."""

    code = "unauthenticated"
    message = "Authorization error"


class MissingCredentialsError(UnauthenticatedError):
    """No credential was sent."""

    code = "missing-credentials"

    def __init__(self) -> None:
        super().__init__("Send a token in the Authorization header: as Bearer, or as the password of Basic.")


class InvalidTokenError(UnauthenticatedError):
    """A credential was sent that is malformed, unknown, expired, revoked or not for us.

    ``reason`` is for the log only; callers see the same answer for all of them, but who is suspended is told
    so by the page of their login.
    """

    code = "invalid-token"

    def __init__(self, reason: str) -> None:
        super().__init__("The token is not valid here, or no longer.")
        self.reason = reason


class LoginRefusedError(UnauthenticatedError):
    """A login in the browser did not come to its end; ``reason`` is a stable name for the log.

    Browsers get the same words for all reasons, but for ``denied``: the person, or the issuer for them, said no.
    """

    code = "login-refused"

    def __init__(self, reason: str) -> None:
        super().__init__("The login did not succeed. Please start again.")
        self.reason = reason


class ForbiddenError(KheopsError):
    """Refused for a reason visible from the token or the album role alone, before any UID was looked up."""

    code = "forbidden"
    message = "Authorization error"


class PasscodeRequiredError(ForbiddenError):
    """The link's secret is right, and the link has a passcode, which was not sent."""

    code = "passcode-required"

    def __init__(self) -> None:
        super().__init__("This link has a passcode.")


class WrongPasscodeError(ForbiddenError):
    """The link's secret is right, and its passcode is wrong."""

    code = "wrong-passcode"

    def __init__(self) -> None:
        super().__init__("The passcode is wrong.")


class NotFoundError(KheopsError):
    """What was asked for is hidden from the caller or does not exist; nobody can tell which."""

    code = "not-found"
    message = "Not Found"

    def __init__(self) -> None:
        super().__init__("There is nothing here that you may see.")


class RouteNotFoundError(NotFoundError):
    """No route has this path."""


class AlbumNotFoundError(NotFoundError):
    """The album is hidden from the caller or does not exist."""

    code = "album-not-found"
    message = "Album Not Found"


class UserNotFoundError(NotFoundError):
    """No one person answers to this reference."""

    code = "user-not-found"
    message = "User Not Found"


class CapabilityNotFoundError(NotFoundError):
    """The capability token is not the caller's to see or does not exist."""

    code = "capability-not-found"
    message = "Capability Not Found"


class ReportProviderNotFoundError(NotFoundError):
    """The report provider is of an album that is hidden from the caller, was removed, or does not exist."""

    code = "report-provider-not-found"
    message = "Report Provider Not Found"


class WebhookNotFoundError(NotFoundError):
    """The album has no such webhook."""

    code = "webhook-not-found"
    message = "Webhook Not Found"


class LinkNotFoundError(NotFoundError):
    """No such link, a wrong secret, a link that has ended, or one that is not the caller's: never told apart."""

    code = "link-not-found"
    message = "Link Not Found"


class InvitationNotFoundError(NotFoundError):
    """The invitation is not the caller's to see or does not exist."""

    code = "invitation-not-found"
    message = "Invitation Not Found"


class MethodNotAllowedError(KheopsError):
    """The path exists, but not with this method."""

    code = "method-not-allowed"
    message = "Method Not Allowed"

    def __init__(self, allowed: frozenset[str]) -> None:
        super().__init__("This path does not take that method.")
        self.allowed = allowed


class NotAcceptableError(KheopsError):
    """Nothing that can be produced is acceptable; ``available`` lists the media types that can."""

    code = "not-acceptable"
    message = "Not Acceptable"

    def __init__(self, available: list[str]) -> None:
        super().__init__("Available media types: " + ", ".join(available))
        self.available = available


class UnsupportedMediaTypeError(KheopsError):
    """The body's media type is not one that this route takes."""

    code = "unsupported-media-type"
    message = "Unsupported Media Type"


class PayloadTooLargeError(KheopsError):
    """The body, or a part that has to be held, is larger than the documented limit."""

    code = "payload-too-large"
    message = "Payload Too Large"


class ConflictError(KheopsError):
    """The request contradicts the present state, and the caller may know that state."""

    code = "conflict"
    message = "Conflict"


class TooManyRequestsError(KheopsError):
    """The caller must slow down; ``retry_after`` seconds is a fair wait."""

    code = "too-many-requests"
    message = "Too Many Requests"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ClientGoneError(KheopsError):
    """The client left before its body was complete; or the body's transfer coding is malformed, which looks alike."""

    code = "client-gone"
    message = "Client closed the request"

    def __init__(self) -> None:
        super().__init__("The body broke off, or its transfer coding is malformed.")


class UnavailableError(KheopsError):
    """Something that is needed does not answer now; ``retry_after`` seconds is a fair wait."""

    code = "unavailable"
    message = "Service Unavailable"

    def __init__(self, detail: str = "Try again in a moment.", *, retry_after: int = 5) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ArchiveUnavailableError(UnavailableError):
    """The DICOM store does not answer, or asked us to slow down."""

    code = "archive-unavailable"
    message = "PACS error"


class DatabaseUnavailableError(UnavailableError):
    """The database does not answer, or has no connection left."""

    code = "database-unavailable"


class RestoringError(UnavailableError):
    """The database is being restored from a backup, and nothing is served from it until that is finished."""


class IdentityProviderUnavailableError(UnavailableError):
    """An issuer's keys cannot be had and none are kept."""

    code = "identity-provider-unavailable"


class ArchiveProtocolError(KheopsError):
    """The DICOM store answered with something that it must not; the reason is logged, never relayed."""

    code = "archive-protocol"
    message = "PACS error"


class OutboundError(KheopsError):
    """An address that somebody chose is not one that we reach, or did not answer as it must; never told apart."""

    code = "outbound"
    message = "Bad Gateway"

    def __init__(self) -> None:
        super().__init__("The address did not answer as it must.")
