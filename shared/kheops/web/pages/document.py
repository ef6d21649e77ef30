"""A page: a template filled in, with the headers that keep it to its reader."""

from collections.abc import Mapping
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from kheops.services.sessions import Session
from kheops.web.call import Call
from kheops.web.pages.wording import iso_date, listed, moment, person_name
from kheops.web.sessions import public_origin

__all__ = ["page", "redirect"]

_HEADERS: Final = {
    "Cache-Control": "no-store",
    # With no-referrer, browsers send `Origin: null` with forms, and the check of the origin could not be made. To
    # other sites this says as little.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def page(
    call: Call,
    template: str,
    values: Mapping[str, object],
    *,
    session: Session | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a page.

    Parameters
    ----------
    call
        The request.
    template
        The file's name.
    values
        What it shows; all of it is escaped.
    session
        Whose page it is; the page has their name and what they can go to.
    status
        The status.
    headers
        More headers.
    """
    text = _environment().get_template(template).render(**values, session=session)
    response = HTMLResponse(text, status, headers={**_HEADERS, **(headers or {})})
    response.headers["Content-Security-Policy"] = _policy(call)
    if urlsplit(call.process.settings.public_url).scheme == "https":
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def redirect(address: str) -> Response:
    """Return an answer that sends the browser to ``address`` by GET (RFC 9110 section 15.4.4)."""
    return Response(status_code=303, headers={**_HEADERS, "Location": address})


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("kheops.web.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(person_name=person_name, iso_date=iso_date, listed=listed, moment=moment)
    return environment


def _policy(call: Call) -> str:
    # Browsers hold redirects after a form to `form-action` as well, and logout goes on to the issuer.
    issuers = {_origin(issuer.issuer) for issuer in call.process.settings.issuers}
    return (
        "default-src 'none'; style-src 'self'; img-src 'self'; "
        f"form-action 'self' {' '.join(sorted(issuers))}; base-uri 'none'; frame-ancestors 'none'"
    )


def _origin(url: str) -> str:
    return public_origin(url) if urlsplit(url).hostname else ""
