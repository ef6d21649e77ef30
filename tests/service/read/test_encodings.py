"""A store that is not to transcode is asked for what it holds, and for nothing else."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from kheops.archive.port import Archive, ArchiveStream
from kheops.domain.policy import ReadableInstance
from tests.contract.archive.objects import Stored, stored_object
from tests.contract.archive.real_stores import RealStore
from tests.service.read.catalog import Somebody
from tests.service.read.conftest import Running, Service
from tests.service.read.test_retrieve import path_of, put

RAW, J2K, JLS = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.80"
PARTS = "multipart/related; type="


@pytest.fixture
def alice(service: Service) -> Somebody:
    return service.catalog.person("alice")


@pytest.fixture
def bob(service: Service) -> Somebody:
    return service.catalog.person("bob")


class Recording:
    """A store that notes the Accept with which it is asked for instances and frames."""

    def __init__(self, inner: Archive) -> None:
        self._inner = inner
        self.accepts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def open_instance(self, ref: ReadableInstance, *, accept: str) -> ArchiveStream:
        self.accepts.append(accept)
        return await self._inner.open_instance(ref, accept=accept)

    async def open_frames(self, ref: ReadableInstance, frames: Sequence[int], *, accept: str) -> ArchiveStream:
        self.accepts.append(accept)
        return await self._inner.open_frames(ref, frames, accept=accept)


def put_with_syntaxes(service: Service, store: RealStore, alice: Somebody) -> tuple[Stored, Stored]:
    j2k, raw = stored_object("JPEG2000.dcm"), stored_object("CT_small.dcm")
    put(service, store, [j2k, raw], alice)
    for item, syntax in ((j2k, J2K), (raw, RAW)):
        uid = item.ref.sop_instance_uid
        service.catalog.execute(
            "UPDATE instances SET transfer_syntax_uid = :syntax WHERE sop_instance_uid = :uid", syntax=syntax, uid=uid
        )
    return j2k, raw


def test_a_transfer_syntax_is_asked_for_where_it_is_the_stored_one_and_nowhere_else(
    service: Service, store: RealStore, alice: Somebody, bob: Somebody
) -> None:
    j2k, raw = put_with_syntaxes(service, store, alice)

    async def use(running: Running) -> None:
        archive = Recording(running.process.archive)
        running.process.archive = cast("Archive", archive)

        async def asked(path: str, accept: str) -> str | None:
            """Return the Accept that the store was sent; ``None`` if we answered 406 ourselves."""
            archive.accepts.clear()
            answer = await running.get(path, alice.token, headers={"accept": accept})
            if not archive.accepts:
                assert answer.status == 406
                return None
            (sent,) = archive.accepts
            return sent

        octets, dicom = (
            f'{PARTS}"application/octet-stream"; transfer-syntax=',
            f'{PARTS}"application/dicom"; transfer-syntax=',
        )
        of_j2k, of_raw = f"{path_of(j2k)}/frames/1", f"{path_of(raw)}/frames/1"
        assert await asked(of_j2k, "*/*") == f"{octets}*"
        assert await asked(of_j2k, f"{PARTS}image/jp2") == f'{PARTS}"image/jp2"; transfer-syntax={J2K}'
        assert await asked(of_j2k, octets + J2K) == octets + J2K
        assert await asked(of_j2k, octets + RAW) is None
        assert await asked(of_raw, octets + RAW) == octets + RAW
        for accept in (f"{PARTS}image/jls", octets + JLS):
            assert await asked(of_j2k, accept) is None
        assert await asked(of_raw, f"{PARTS}image/jp2") is None
        # Of several that are accepted, one that is stored.
        assert (
            await asked(of_j2k, f"{PARTS}image/jls, {PARTS}image/jp2;q=0.5")
            == f'{PARTS}"image/jp2"; transfer-syntax={J2K}'
        )
        assert await asked(of_raw, f"{PARTS}image/jls, */*;q=0.1") == f"{octets}*"
        assert await asked(path_of(raw), dicom + RAW) == dicom + RAW
        assert await asked(path_of(raw), dicom + J2K) is None
        assert await asked(path_of(j2k), dicom + J2K) == dicom + J2K

    service.run(use, store.new())


def test_several_instances_come_as_stored(service: Service, store: RealStore, alice: Somebody) -> None:
    _, raw = put_with_syntaxes(service, store, alice)
    dicom = f'{PARTS}"application/dicom"; transfer-syntax='

    async def use(running: Running) -> None:
        for level in ("series", "study"):
            path = path_of(raw, level)
            refused = await running.get(path, alice.token, headers={"accept": dicom + J2K})
            assert refused.status == 406
            accept = f"{dicom}{J2K}, {dicom}*; q=0.5"
            assert (await running.get(path, alice.token, headers={"accept": accept})).status == 200

    service.run(use, store.new())


def test_who_may_not_read_learns_nothing_of_transfer_syntaxes(
    service: Service, store: RealStore, alice: Somebody, bob: Somebody
) -> None:
    j2k, _ = put_with_syntaxes(service, store, alice)

    async def use(running: Running) -> None:
        headers = {"accept": f"{PARTS}image/jls"}
        hidden = await running.get(f"{path_of(j2k)}/frames/1", bob.token, headers=headers)
        unknown = await running.get("/studies/1.2/series/1.3/instances/1.4/frames/1", bob.token, headers=headers)
        assert (hidden.status, hidden.told) == (404, unknown.told)

    service.run(use, store.new())


def test_a_store_that_may_transcode_is_asked_to(
    service: Service, alice: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ref,) = service.catalog.series(alice, study="1.2", series="1.3")
    monkeypatch.setenv("KHEOPS_STORE_TRANSCODES", "true")

    async def use(running: Running) -> None:
        # No real store: this very wish is one of those that Orthanc dies of.
        archive = Recording(running.process.archive)
        running.process.archive = cast("Archive", archive)
        accept = f'{PARTS}"application/dicom"; transfer-syntax={JLS}'
        path = f"/studies/1.2/series/1.3/instances/{ref.sop_instance_uid}"
        await running.get(path, alice.token, headers={"accept": accept})
        assert archive.accepts == [accept]

    service.run(use)
