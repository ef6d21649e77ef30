"""What the threads of the database log belongs to the request that they work for."""

import asyncio

import pg8000.dbapi
import pytest

from kheops.errors import DatabaseUnavailableError
from kheops.request_context import RequestContext, current_request, set_request
from kheops.storage.engine import Database, connection_arguments
from kheops.storage.prepared_statements import PreparedStatements
from tests.postgres import Server


def test_a_unit_of_work_knows_its_request(postgres: Server) -> None:
    url = postgres.migrated()
    database = Database(connection_arguments(url), size=1)

    async def asked(context: RequestContext | None) -> RequestContext | None:
        set_request(context)
        return await database.run(lambda _: current_request())

    async def all_at_once() -> list[RequestContext | None]:
        return await asyncio.gather(*(asked(each) for each in contexts))

    contexts = [RequestContext("1", ()), None, RequestContext("2", ())]
    try:
        assert asyncio.run(all_at_once()) == contexts
    finally:
        database.close()
        postgres.drop(url)


def test_a_lookup_knows_its_request() -> None:
    known: list[RequestContext | None] = []

    class Unreachable:
        def open(self) -> pg8000.dbapi.Connection:
            known.append(current_request())
            raise OSError

        def close(self) -> None:
            pass

    async def asked() -> None:
        statements = PreparedStatements(Unreachable(), {"one": "SELECT 1"}, {}, threads=1)
        for each in contexts:
            set_request(each)
            with pytest.raises(DatabaseUnavailableError):
                await statements.run("one", {})
        await statements.aclose()

    contexts = [RequestContext("1", ()), None, RequestContext("2", ())]
    asyncio.run(asked())
    assert known == contexts
