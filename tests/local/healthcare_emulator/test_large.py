"""An object of a gibibyte, through adapter and emulator, both in constant memory."""

import io
import resource
import struct
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from kheops.archive.port import StoreOutcome
from tests.contract.archive.objects import stored_object
from tests.contract.archive.real_stores import Adapter, emulator

GIBIBYTE = 1024 * 1024 * 1024
MOST_RESIDENT = 200 * 1024
"""KiB."""


def _peak_of_self() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_gibibyte_is_stored_and_retrieved_in_constant_memory(tmp_path: Path) -> None:
    item = stored_object("CT_small.dcm")
    dataset = item.dataset
    del dataset.PixelData
    del dataset[0xFFFCFFFC]
    stream = io.BytesIO()
    dataset.save_as(stream)
    head = stream.getvalue() + struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, GIBIBYTE)
    piece = bytes(64 * 1024)

    async def body() -> AsyncGenerator[bytes, None]:
        yield head
        for _ in range(GIBIBYTE // len(piece)):
            yield piece

    async def use(archive: Adapter) -> tuple[StoreOutcome, int]:
        outcome = await archive.store_stream(item.admitted, body())
        size = 0
        async for chunk in (await archive.inspect_bytes(item.ref)).chunks():
            size += len(chunk)
        return outcome, size

    before = _peak_of_self()
    with emulator(tmp_path) as store:
        outcome, size = store.run(use)
        pid = int((tmp_path / "pid").read_text())
        peak = next(
            int(line.split()[1])
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
    assert outcome == StoreOutcome(frozenset({item.ref.sop_instance_uid}))
    assert size == len(head) + GIBIBYTE
    assert peak < MOST_RESIDENT
    assert _peak_of_self() - before < 32 * 1024
