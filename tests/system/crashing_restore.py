"""The ``kheops`` command, killed as by ``kill -9`` amid a replay, before the transaction named in CRASH_AT."""

import os
import signal
from datetime import datetime

from sqlalchemy import Connection

from kheops.domain.grant_log import GrantEntity
from kheops.jobs.command_line import main
from kheops.storage import restored_grants

STEPS = ("ends", *(entity.value for entity in restored_grants.FINAL_ORDER))

_apply_ends, _apply_final = restored_grants.apply_ends, restored_grants.apply_final

_begun: list[bool] = []


def _crash(step: str) -> None:
    if os.environ["CRASH_AT"] == step:
        os.kill(os.getpid(), signal.SIGKILL)


def apply_ends(tx: Connection, *, at: datetime, limit: int) -> int:
    del limit
    if _begun:
        _crash("ends")
    _begun.append(True)
    return _apply_ends(tx, at=at, limit=2)


def apply_final(
    tx: Connection, entity: GrantEntity, *, after: str, at: datetime, limit: int
) -> tuple[str | None, int]:
    del limit
    if after:
        _crash(entity.value)
    return _apply_final(tx, entity, after=after, at=at, limit=1)


if __name__ == "__main__":
    restored_grants.apply_ends = apply_ends
    restored_grants.apply_final = apply_final
    main()
