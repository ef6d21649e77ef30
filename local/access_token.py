"""An access token of one of a stack's people, for curl: ``python -m local.access_token ADDRESS NAME``.

It logs in as a browser would, with the password that every stack gives out, and prints the token. What the web page
gives is a capability token, which may neither share nor make links; this one may do all that the person may.
"""

import argparse
import sys

import httpx

from local.oidc_login import LoginError, log_in
from local.provider import Client
from local.stack import SCRIPT_REDIRECT, demo_people

__all__ = ["main"]


def main() -> int:
    """Print the token and return the exit status: 0, or 1 with a reason on standard error."""
    people = {person.user_name: person for person in demo_people()}
    parser = argparse.ArgumentParser(prog="python -m local.access_token", description=__doc__)
    parser.add_argument("address", help="what `make demo` printed, such as http://127.0.0.1:20000")
    parser.add_argument("name", choices=sorted(people))
    arguments = parser.parse_args()
    person = people[arguments.name]
    client = Client(client_id="kheops-curl", name="KHEOPS scripts", redirect_uris=(SCRIPT_REDIRECT,))
    try:
        issuer = _issuer(arguments.address)
        print(log_in(issuer, client, user_name=person.user_name, password=person.password))
    except (LoginError, httpx.HTTPError, LookupError, ValueError) as error:
        print(f"access_token: no login at {arguments.address}: {error}", file=sys.stderr)
        return 1
    return 0


def _issuer(address: str) -> str:
    """Return the first issuer that an address trusts, by its protected resource metadata (RFC 9728)."""
    answer = httpx.get(f"{address.rstrip('/')}/.well-known/oauth-protected-resource", timeout=20, trust_env=False)
    return str(answer.raise_for_status().json()["authorization_servers"][0])


if __name__ == "__main__":
    sys.exit(main())
