"""Copies of the leak test's world: as it is, and without what a principal cannot reach."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
from sqlalchemy import Connection, CursorResult, text

from kheops.storage.engine import Database, connection_arguments
from local.emulator import start_emulator
from local.ports import kept_ports
from local.processes import Processes
from tests.postgres import Server
from tests.system.leaks.world import World
from tests.system.running import _start_services

__all__ = ["PEOPLE", "REACH", "TOKENS", "as_it_is", "without_the_hidden"]


@contextmanager
def as_it_is(postgres: Server, world: World, principal: str) -> Iterator[str]:
    """Run a copy of the world as it is, since the requests change it."""
    folder = world.folder / f"{principal.replace(' ', '-')}-whole"
    shutil.copytree(world.folder / "store", folder / "store")
    name = str(connection_arguments(world.system.environment["KHEOPS_DATABASE_URL"])["database"])
    url = postgres.url(postgres.create(template=name))
    with ExitStack() as ending:
        ending.callback(postgres.drop, url)
        ports = kept_ports(folder, ["services", "store"])
        processes = ending.enter_context(Processes(folder / "logs"))
        store = start_emulator(processes, folder / "store", port=ports["store"])
        environment = {**world.system.environment, **store.settings, "KHEOPS_DATABASE_URL": url}
        _start_services(processes, ports["services"], environment)
        yield f"http://127.0.0.1:{ports['services']}"


REACH = {
    "member": "SELECT m.album_pk FROM album_members m JOIN users u ON u.pk = m.user_pk WHERE u.sub = 'bob'",
    "outsider": "SELECT m.album_pk FROM album_members m JOIN users u ON u.pk = m.user_pk WHERE u.sub = 'carol'",
    "member by a group": "SELECT pk FROM albums WHERE name = 'Shared' UNION SELECT inbox_pk FROM users "
    "WHERE sub = 'dora'",
    "link": "SELECT pk FROM albums WHERE name = 'Shared'",
    "viewer": "SELECT pk FROM albums WHERE name = 'Shared'",
    "report": "SELECT pk FROM albums WHERE name = 'Shared'",
    "visitor": "SELECT inbox_pk FROM users WHERE sub = 'alice'",
}
"""The albums and inboxes that each principal reaches; the others reach none."""
PEOPLE = ("member", "outsider", "member by a group")
TOKENS = ("link", "viewer", "report", "visitor")
SUBJECTS = {"member": "bob", "outsider": "carol", "member by a group": "dora"}
"""Who sees private comments; tokens of ours see none here."""


@contextmanager
def without_the_hidden(postgres: Server, world: World, principal: str) -> Iterator[str]:
    """Run a copy of the world from which what ``principal`` cannot reach is removed; give its address."""
    source = world.system
    folder = world.folder / principal.replace(" ", "-")
    shutil.copytree(world.folder / "store", folder / "store")
    name = str(connection_arguments(source.environment["KHEOPS_DATABASE_URL"])["database"])
    url = postgres.url(postgres.create(template=name))
    with ExitStack() as ending:
        ending.callback(postgres.drop, url)
        ports = kept_ports(folder, ["services", "store"])
        processes = ending.enter_context(Processes(folder / "logs"))
        database = Database(connection_arguments(url), size=1)
        reach = REACH.get(principal, "SELECT pk FROM albums WHERE false")
        hidden = (
            f"SELECT s.pk FROM series s WHERE NOT EXISTS (SELECT 1 FROM album_series x WHERE x.series_pk = s.pk "
            f"AND x.album_pk IN ({reach}))"
        )
        if principal in {"viewer", "report"}:
            hidden += f" OR s.study_instance_uid <> '{world.places['shared'].study}'"
        if principal == "visitor":
            hidden += f" OR s.series_instance_uid <> '{world.places['shared'].series}'"

        def remove(tx: Connection) -> list[tuple[str, str]]:
            def run(sql: str) -> CursorResult[Any]:
                return tx.execute(text(sql))

            gone = run(f"SELECT study_instance_uid, series_instance_uid FROM series WHERE pk IN ({hidden})").all()
            run(f"DELETE FROM series WHERE pk IN ({hidden})")
            me = f"SELECT pk FROM users WHERE sub = '{SUBJECTS.get(principal, '')}'"
            # Who reads of a study only series that are hidden said nothing of it.
            run(
                "DELETE FROM comments c WHERE c.study_instance_uid IS NOT NULL AND NOT c.is_private AND c.user_pk NOT "
                f"IN ({me}) AND NOT EXISTS (SELECT 1 FROM album_members m JOIN album_series x USING (album_pk) "
                "JOIN series s ON s.pk = x.series_pk AND s.study_instance_uid = c.study_instance_uid "
                "WHERE m.user_pk = c.user_pk)"
            )
            run(f"DELETE FROM albums WHERE kind = 'album' AND pk NOT IN ({reach})")
            run(f"DELETE FROM comments WHERE is_private AND user_pk NOT IN ({me}) AND to_user_pk NOT IN ({me})")
            run(f"UPDATE album_series SET is_favorite = false WHERE album_pk NOT IN ({reach})")
            keep = "'link'" if principal == "link" else "''"
            run(f"DELETE FROM capabilities WHERE title NOT IN ({keep})")
            run("DELETE FROM invitations")
            run(f"DELETE FROM links WHERE id <> '{world.links[0] if principal == 'visitor' else ''}'")
            return [(str(row.study_instance_uid), str(row.series_instance_uid)) for row in gone]

        gone = database.run_blocking(remove)
        database.close()
        store = start_emulator(processes, folder / "store", port=ports["store"])
        with httpx.Client(trust_env=False, headers={"Authorization": store.authorization()}) as direct:
            for study, series in gone:
                answer = direct.delete(f"{store.dicomweb}/studies/{study}/series/{series}")
                assert answer.status_code == 200, answer.text
        environment = {
            **source.environment,
            **store.settings,
            "KHEOPS_DATABASE_URL": url,
            "KHEOPS_PUBLIC_URL": source.url,
        }
        _start_services(processes, ports["services"], environment)
        yield f"http://127.0.0.1:{ports['services']}"
