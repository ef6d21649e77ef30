"""The page that a link leads to. The server learns nothing from its address but the link's public id."""

from typing import Final

from kheops.web.call import AsgiResponse, Call
from kheops.web.pages.document import page
from kheops.web.pages.gate import parameters

__all__ = ["link"]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""The script is a file of ours and makes no markup of texts; nothing is asked for from anywhere else."""


async def link(call: Call) -> AsgiResponse:
    """Return the page, which is the same for any link and does not look whether there is one.

    Its script reads the secret behind ``#``, which browsers send to nobody, and posts it in a body. A robot that
    follows links opens nothing: that takes somebody who presses the button.
    """
    parameters(call)
    response = page(call, "link.html", {"link": call.params["link"], "api": f"{call.process.settings.public_url}/api"})
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response
