"""The configuration document of a report provider, read as strictly as what is done with it deserves."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kheops.domain.report_providers import same_origin

__all__ = ["ProviderConfiguration", "ProviderConfigurationError", "ResponseType", "parse_configuration"]

_URL_LENGTH: Final = 2048
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_WORDS_LENGTH: Final = 1024
_LIST_LENGTH: Final = 64
_TEXTS: Final = (
    "client_name",
    "client_uri",
    "logo_uri",
    "scope",
    "tos_uri",
    "policy_uri",
    "software_id",
    "software_version",
    "introspection_endpoint_auth_method",
    "introspection_endpoint_auth_signing_alg",
)
_LISTS: Final = ("grant_types", "contacts", "supported_modalities")


class ResponseType(StrEnum):
    """How a provider gets its token: by a code (RFC 6749 section 4.1), or in the URL's fragment (section 4.2)."""

    CODE = "code"
    TOKEN = "token"  # noqa: S105 - a name of OAuth, no password


class ProviderConfigurationError(Exception):
    """A document is no configuration that can be used; its text says why, and quotes nothing of the document."""


@dataclass(frozen=True, slots=True)
class ProviderConfiguration:
    """What a report provider says of itself. All addresses are of the document's own origin."""

    redirect_uri: str
    response_type: ResponseType
    jwks_uri: str | None
    """Where its keys are; of a provider that gets codes only."""
    described: Mapping[str, str | tuple[str, ...]]
    """What only people read, under the document's names."""


def parse_configuration(body: bytes, url: str) -> ProviderConfiguration:
    """Read a provider's configuration document.

    Parameters
    ----------
    body
        The document.
    url
        Where it was read.

    Raises
    ------
    ProviderConfigurationError
        If it is no JSON object, lacks what is needed, or names an address of another origin than its own.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ProviderConfigurationError("The document is not a JSON object.")
    redirect_uri = _address(document, "redirect_uri", url)
    try:
        response_type = ResponseType(_text(document, "response_type") or "")
    except ValueError:
        raise ProviderConfigurationError("'response_type' must be code or token.") from None
    jwks_uri = None
    if response_type is ResponseType.CODE:
        for name, value in (
            ("token_endpoint_auth_method", "private_key_jwt"),
            ("token_endpoint_auth_signing_alg", "RS256"),
        ):
            if _text(document, name) != value:
                raise ProviderConfigurationError(f"'{name}' must be {value}.")
        jwks_uri = _address(document, "jwks_uri", url)
    return ProviderConfiguration(redirect_uri, response_type, jwks_uri, _described(document))


def _described(document: Mapping[str, object]) -> dict[str, str | tuple[str, ...]]:
    texts = {name: _text(document, name) for name in _TEXTS}
    lists = {name: _list(document, name) for name in _LISTS}
    return {name: value for name, value in (*texts.items(), *lists.items()) if value is not None}


def _address(document: Mapping[str, object], name: str, url: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or len(value) > _URL_LENGTH or _VISIBLE.fullmatch(value) is None or "#" in value:
        raise ProviderConfigurationError(f"'{name}' must be a URL without a fragment.")
    if not same_origin(value, url):
        raise ProviderConfigurationError(f"'{name}' must have the scheme, host and port of the document.")
    return value


def _text(document: Mapping[str, object], name: str) -> str | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _WORDS_LENGTH or not value.isprintable():
        raise ProviderConfigurationError(f"'{name}' must be a text of {_WORDS_LENGTH} characters at most.")
    return value


def _list(document: Mapping[str, object], name: str) -> tuple[str, ...] | None:
    value = document.get(name)
    if value is None:
        return None
    values = value if isinstance(value, list) and len(value) <= _LIST_LENGTH else [None]
    texts = [each for each in values if isinstance(each, str) and each.isprintable() and len(each) <= _WORDS_LENGTH]
    if len(texts) != len(values):
        raise ProviderConfigurationError(f"'{name}' must be a list of {_LIST_LENGTH} texts at most.")
    return tuple(texts)
