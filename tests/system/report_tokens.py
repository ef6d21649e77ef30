"""Report tokens on a running system, without the provider's server: its rows and what it would have been given."""

from collections.abc import Sequence

from kheops.identity.own_tokens import hash_secret, new_report_secret
from kheops.ids import new_report_provider_id
from tests.system.running import System

__all__ = ["ask_for_a_report", "register"]

_URL = "https://127.0.0.1:1/"
"""Of every provider here; the outbound guard refuses it, so that nothing is ever fetched."""


def register(system: System, album: str) -> str:
    """Give an album a report provider and return its ``client_id``."""
    client = new_report_provider_id()
    system.run_sql(
        "INSERT INTO report_providers (client_id, album_pk, name, url, created_at) "
        "SELECT :client, pk, 'A provider', :url, now() FROM albums WHERE id = :album",
        client=client,
        url=_URL,
        album=album,
    )
    return client


def ask_for_a_report(system: System, sub: str, client: str, studies: Sequence[str]) -> str:
    """Return the secret of a token that a provider has since ``sub`` handed studies to it."""
    secret = new_report_secret()
    system.secrets_used.add(secret)
    system.run_sql(
        "INSERT INTO report_tokens (provider_pk, user_pk, study_instance_uids, read_permission, write_permission, "
        "redirect_uri, secret_hash, issued_at, expires_at) "
        "SELECT p.pk, u.pk, :studies, true, true, :url, :secret_hash, now(), now() + interval '1 hour' "
        "FROM report_providers p, users u WHERE p.client_id = :client AND u.sub = :sub",
        studies=list(studies),
        url=_URL,
        secret_hash=hash_secret(secret, system.environment["KHEOPS_TOKEN_PEPPER"].encode()),
        client=client,
        sub=sub,
    )
    return secret
