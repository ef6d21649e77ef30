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

__all__ = ["bare_page", "page", "redirect"]

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
    sent_to: str | None = None,
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
    sent_to
        The address of another site to which a form of this page goes; it goes there by itself where the browser runs
        scripts (``leave.js``).
    """
    response = bare_page(template, values, session=session, status=status, headers=headers, sent_to=sent_to)
    if urlsplit(call.process.settings.public_url).scheme == "https":
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def bare_page(
    template: str,
    values: Mapping[str, object],
    *,
    session: Session | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    sent_to: str | None = None,
) -> Response:
    """Return a page where there is no process to ask about anything; parameters as for `page`."""
    text = _environment().get_template(template).render(**values, session=session)
    response = HTMLResponse(text, status, headers={**_HEADERS, **(headers or {})})
    response.headers["Content-Security-Policy"] = _policy(sent_to)
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


def _policy(sent_to: str | None) -> str:
    # The one script is on the one page whose form leads elsewhere. Browsers hold redirects after a form to
    # `form-action` as well.
    script = "" if sent_to is None else "script-src 'self'; "
    forms = "'self'" if sent_to is None else f"'self' {public_origin(sent_to)}"
    return (
        f"default-src 'none'; {script}style-src 'self'; img-src 'self'; "
        f"form-action {forms}; base-uri 'none'; frame-ancestors 'none'"
    )
