"""The forms of a store request besides plain PS3.10 parts: forms' fields, and metadata with bulk data."""

import asyncio
import io
import json
from collections.abc import AsyncIterator

import pydicom
import pytest

from kheops.dicomweb.native_xml import native_model
from kheops.dicomweb.store_body import BodyForm
from kheops.domain.principals import Principal
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import BadMultipartError, BadRequestError, ClientGoneError, PayloadTooLargeError
from kheops.services import metadata_upload
from kheops.services.store import Storing
from kheops.services.store_report import FailureReason, StoreReport
from tests.dicom_files import a_file, new_uid, ref_of
from tests.service.store.conftest import StoreWorld, reasons, stored, whole

JSON_TYPE, XML_TYPE, OCTETS = "application/dicom+json", "application/dicom+xml", "application/octet-stream"


def send(
    world: StoreWorld,
    principal: Principal,
    form: BodyForm,
    body: bytes | AsyncIterator[bytes],
    *,
    storing: Storing | None = None,
) -> StoreReport:
    async def run() -> StoreReport:
        service = storing or world.storing()
        return await service.store(
            principal=principal,
            target=await service.target(principal, None),
            study=None,
            body=whole(body) if isinstance(body, bytes) else body,
            boundary=b"b0undary",
            form=form,
            use=Use(
                user=User(principal.iss, principal.sub, principal.token_id),
                kind=UseKind.STORE,
                outcome=Outcome.GRANTED,
                source_address=None,
                request_id="r",
            ),
        )

    return asyncio.run(run())


def parts(*each: tuple[dict[str, str], bytes], close: bool = True) -> bytes:
    """Return a multipart body of these parts."""
    body = b"".join(
        b"--b0undary\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items()) + b"\r\n"
        b"%b\r\n" % data
        for headers, data in each
    )
    return b"preamble\r\n" + body + (b"--b0undary--\r\nepilogue" if close else b"")


def field(
    name: str, data: bytes, *, media_type: str | None = "application/octet-stream"
) -> tuple[dict[str, str], bytes]:
    headers = {"Content-Disposition": f'form-data; name="{name}"; filename="a.dcm"'}
    return headers | ({} if media_type is None else {"Content-Type": media_type}), data


def bulk(location: str, data: bytes, media_type: str = OCTETS) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": media_type, "Content-Location": location}, data


def an_instance(study: str, series: str, instance: str, uri: str | None = "bulk/1") -> dict[str, dict[str, object]]:
    file = a_file(study=study, series=series, instance=instance)
    data_set: dict[str, dict[str, object]] = pydicom.dcmread(io.BytesIO(file)).to_json_dict()
    del data_set["7FE00010"]
    return data_set | ({} if uri is None else {"7FE00010": {"vr": "OB", "BulkDataURI": uri}})


def metadata(form: BodyForm, *instances: dict[str, dict[str, object]]) -> list[tuple[dict[str, str], bytes]]:
    """Return the parts with metadata: one list, or a document for each."""
    if form is BodyForm.JSON:
        return [({"Content-Type": JSON_TYPE}, json.dumps(instances).encode())]
    return [({"Content-Type": XML_TYPE + "; charset=utf-8"}, native_model(each)) for each in instances]


BOTH = pytest.mark.parametrize("form", [BodyForm.JSON, BodyForm.XML])


def test_the_fields_of_a_form_are_files_whatever_their_media_type(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series = new_uid(), new_uid()
    uids = [new_uid() for _ in range(3)]
    files = [a_file(study=study, series=series, instance=uid, number=n) for n, uid in enumerate(uids)]
    body = parts(
        field("a", files[0]), field("b", files[1], media_type=None), field("c", files[2], media_type="text/x")
    )
    report = send(world, alice, BodyForm.FORM_DATA, body)
    assert (stored(report), report.is_whole) == (set(uids), True)


def test_a_failure_names_the_field_of_its_file(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, uid, large = new_uid(), new_uid(), new_uid(), new_uid()
    good = a_file(study=study, series=series, instance=uid)
    other = a_file(study=study, series=series, instance=uid, pixels=b"\1\2\3\5")
    broken = a_file(study=study, series=series, instance=uid)[:-3]
    world.store(alice, a_file(study=study, series=series, instance=large))
    big = a_file(study=study, series=series, instance=large, pixels=b"\1" * (5 * 1024 * 1024))
    body = parts(
        field("first", good),
        field('second \\"quoted\\"', other),
        field("third" * 20, b"no file"),
        field("fourth", broken),
        field("fifth", big),
    )
    report = send(world, alice, BodyForm.FORM_DATA, body)
    assert stored(report) == {uid}
    assert {item.file_id: item.reason for item in report.failed} == {
        'second "quoted"': FailureReason.DUPLICATE_SOP_INSTANCE,
        "fourth": FailureReason.CANNOT_UNDERSTAND,
        "fifth": FailureReason.DUPLICATE_SOP_INSTANCE,
    }
    assert [(item.file_id, item.reason) for item in report.other] == [(("third" * 20)[:64], 0x0110)]


@BOTH
def test_metadata_and_bulk_data_become_a_file_that_the_store_gets(world: StoreWorld, form: BodyForm) -> None:
    alice = world.person("alice")
    study, series, first, second = (new_uid() for _ in range(4))
    body = parts(
        *metadata(
            form, an_instance(study, series, first), an_instance(study, series, second, "https://a.example/x?y=1")
        ),
        bulk("https://a.example/x?y=1", b"\7\7\7\7"),
        bulk("bulk/1", b"\1\2\3\4"),
        ({"Content-Type": OCTETS}, b"nothing refers to it"),
    )
    storing = world.storing()
    report = send(world, alice, form, body, storing=storing)
    assert (stored(report), report.is_whole) == ({first, second}, True)
    assert storing.budget.held == 0
    made = pydicom.dcmread(io.BytesIO(world.archive.files[ref_of(study, series, second)]))
    assert (made.PixelData, str(made.PatientName), made.file_meta.TransferSyntaxUID) == (
        b"\7\7\7\7",
        "Doe^Jane",
        "1.2.840.10008.1.2.1",
    )
    assert world.rows("SELECT patient_name FROM series") == [("Doe^Jane",)]
    assert send(world, alice, form, body).is_whole, "the same request makes the same bytes"
    assert list(map(str, world.archive.sent)).count(second) == 1


@BOTH
def test_an_address_that_no_part_has_is_refused_and_never_fetched(world: StoreWorld, form: BodyForm) -> None:
    alice = world.person("alice")
    study, series, good, bad = (new_uid() for _ in range(4))
    body = parts(
        *metadata(
            form,
            an_instance(study, series, good),
            an_instance(study, series, bad, "http://169.254.169.254/"),
            {"00080018": {"vr": "UI", "Value": ["not a UID"]}},
        ),
        bulk("bulk/1", b"\1\2\3\4"),
    )
    report = send(world, alice, form, body)
    assert stored(report) == {good}
    assert reasons(report) == {bad: FailureReason.CANNOT_UNDERSTAND}
    assert [item.reason for item in report.other] == [FailureReason.CANNOT_UNDERSTAND]


@BOTH
def test_who_may_store_is_decided_from_the_bytes_that_were_made(world: StoreWorld, form: BodyForm) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    study, series, uid = new_uid(), new_uid(), new_uid()
    world.store(alice, a_file(study=study, series=series, instance=new_uid()))
    body = parts(*metadata(form, an_instance(study, series, uid)), bulk("bulk/1", b"\1\2\3\4"))
    assert reasons(send(world, carol, form, body)) == {uid: FailureReason.NOT_AUTHORIZED}
    assert uid not in world.archive.sent


def test_bulk_data_larger_than_a_held_part_goes_the_way_of_large_parts(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    pixels = bytes(9 * 1024 * 1024)
    body = parts(*metadata(BodyForm.JSON, an_instance(study, series, uid)), bulk("bulk/1", pixels))
    assert stored(send(world, alice, BodyForm.JSON, body)) == {uid}
    assert pydicom.dcmread(io.BytesIO(world.archive.files[ref_of(study, series, uid)])).PixelData == pixels


@pytest.mark.parametrize("what", ["bulk data", "metadata"])
def test_more_than_is_held_is_told_with_the_limit(
    world: StoreWorld, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(metadata_upload, "METADATA_UPLOAD_BYTES" if what == "bulk data" else "METADATA_BYTES", 1000)
    alice = world.person("alice")
    instance = an_instance(new_uid(), new_uid(), new_uid())
    body = parts(*metadata(BodyForm.JSON, instance), bulk("bulk/1", bytes(2000)))
    storing = world.storing()
    with pytest.raises(PayloadTooLargeError):
        send(world, alice, BodyForm.JSON, body, storing=storing)
    assert storing.budget.held == 0
    assert world.archive.sent == []


GOOD = an_instance("1.2", "1.2.3", "1.2.3.4")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (parts(), BadMultipartError),
        (parts(bulk("a", b"b")), BadMultipartError),
        (parts(*metadata(BodyForm.JSON, GOOD), bulk("bulk/1", b"ab"), close=False), BadMultipartError),
        (parts(*metadata(BodyForm.JSON, GOOD), bulk("a", b"ab"), bulk("a", b"ab")), BadMultipartError),
        (parts(*metadata(BodyForm.JSON, GOOD), ({"Content-Type": "?"}, b"")), BadMultipartError),
        (parts(({"Content-Type": JSON_TYPE}, b"[{")), BadRequestError),
        (parts(({"Content-Type": JSON_TYPE}, b'"text"')), BadRequestError),
        (parts(({"Content-Type": JSON_TYPE}, b"[" * 100_000)), BadRequestError),
    ],
)
def test_what_is_no_such_request_is_a_bad_request_and_stores_nothing(
    world: StoreWorld, body: bytes, error: type[Exception]
) -> None:
    alice = world.person("alice")
    storing = world.storing()
    with pytest.raises(error):
        send(world, alice, BodyForm.JSON, body, storing=storing)
    assert storing.budget.held == 0
    assert world.archive.sent == []


def test_a_client_that_leaves_stores_nothing_of_metadata(world: StoreWorld) -> None:
    alice = world.person("alice")

    async def leaving() -> AsyncIterator[bytes]:
        yield parts(*metadata(BodyForm.JSON, GOOD), close=False)
        raise ClientGoneError

    storing = world.storing()
    with pytest.raises(ClientGoneError):
        send(world, alice, BodyForm.JSON, leaving(), storing=storing)
    assert (storing.budget.held, world.archive.sent) == (0, [])
