import pytest

from kheops.archive.client import NoAuthorization
from kheops.archive.dicomweb_server import DicomwebServer
from kheops.archive.google_healthcare import GoogleHealthcare
from kheops.archive.port import ArchiveAbsentError
from kheops.domain.policy import ReadableInstance
from kheops.domain.resources import InstanceRef
from kheops.errors import ConfigurationError
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from tests.contract.archive.real_stores import Adapter
from tests.contract.archive.scripted_store import Request, answer, run_scripted

REF = InstanceRef(StudyInstanceUID("1.2"), SeriesInstanceUID("1.2.3"), SopInstanceUID("1.2.3.4"))
STORE = "/v1/projects/p/locations/l/datasets/d/dicomStores/s"


def _server(origin: str) -> Adapter:
    return DicomwebServer(f"{origin}/dicom-web")


def _google(origin: str) -> Adapter:
    return GoogleHealthcare(origin + STORE, authorization=NoAuthorization())


ADAPTERS = [
    pytest.param(_server, "https://pacs.example/dicom-web", "bulk/", "bulk/", id="orthanc"),
    pytest.param(_server, "https://pacs.example/dicom-web", "bulkdata/", "bulkdata/", id="dicomweb"),
    pytest.param(_google, f"https://pacs.example{STORE}/dicomWeb", "bulkdata/", "", id="google"),
]


@pytest.mark.parametrize(("new", "root", "written", "public"), ADAPTERS)
def test_own_bulk_data_uri_gives_its_path(new: object, root: str, written: str, public: str) -> None:
    assert callable(new)
    archive = new("https://pacs.example")
    instance = f"{root}/studies/1.2/series/1.2.3/instances/1.2.3.4"
    assert archive.public_bulkdata_path(REF, f"{instance}/{written}7FE00010") == f"{public}7FE00010"
    assert (
        archive.public_bulkdata_path(REF, f"{instance}/{written}00081140/0/7FE00010") == f"{public}00081140/0/7FE00010"
    )
    explicit_port = instance.replace("pacs.example", "PACS.example:443")
    assert archive.public_bulkdata_path(REF, f"{explicit_port}/{written}7FE00010") == f"{public}7FE00010"


@pytest.mark.parametrize(("new", "root", "written", "public"), ADAPTERS)
def test_any_other_bulk_data_uri_is_dropped(new: object, root: str, written: str, public: str) -> None:
    assert callable(new)
    archive = new("https://pacs.example")
    below = f"/studies/1.2/series/1.2.3/instances/1.2.3.4/{written}"
    good = f"{root}{below}7FE00010"
    foreign = [
        good.replace("pacs.example", "evil.example"),
        good.replace("https:", "http:"),
        good.replace("pacs.example", "pacs.example:8443"),
        good.replace("pacs.example", "pacs.example@evil.example"),
        good.replace("pacs.example", "user@pacs.example"),
        good.replace("/studies/1.2/", "/studies/1.3/"),
        good.replace("/series/1.2.3/", "/series/1.2.4/"),
        good.replace("/instances/1.2.3.4/", "/instances/1.2.3.5/"),
        good.replace("/instances/1.2.3.4/", "/instances/1.2.3.4/../1.2.3.5/"),
        f"{root}{below}../../1.2.3.5/{written}7FE00010",
        f"{root}{below}./7FE00010",
        f"{root}{below}",
        f"{root}{below}/7FE00010",
        f"{root}{below}7FE00010/",
        f"{good}?x=1",
        f"{good}#x",
        f"{root}{below}7FE00010%2e%2e",
        f"{root}{below}7FE 00010",
        f"{root}{below}7FE00010\r\nX: y",
        f"{root}{below}" + "a" * 2000,
        f"{root}/studies/1.2/series/1.2.3/instances/1.2.3.4/frames/1",
        f"{root}/studies/1.2/series/1.2.3/instances/1.2.3.4",
        below + "7FE00010",
        "//" + good.removeprefix("https://"),
        "https://[bad",
        "https://pacs.example:port/",
        "data:application/octet-stream;base64,AAAA",
        "file:///etc/passwd",
        "",
    ]
    assert [uri for uri in foreign if archive.public_bulkdata_path(REF, uri) is not None] == []


@pytest.mark.parametrize(("new", "root", "written", "public"), ADAPTERS)
@pytest.mark.parametrize("path", ["", "..", "a/../b", "./a", "a//b", "/a", "a/", "a?b", "a%2fb", "a b", "é", "a\r\nb"])
def test_bulk_data_path_outside_the_grammar_is_absent_without_a_request(
    new: object, root: str, written: str, public: str, path: str
) -> None:
    assert callable(new)

    async def use(origin: str, requests: list[Request]) -> int:
        archive = new(origin)
        for candidate in {path, public + path} - {f"{public}7FE00010"}:
            with pytest.raises(ArchiveAbsentError):
                await archive.open_bulkdata(
                    ReadableInstance(REF), candidate, accept="application/octet-stream", byte_range=None
                )
        await archive.aclose()
        return len(requests)

    assert run_scripted([answer("200 OK", b"x")], use) == 0


@pytest.mark.parametrize("path", ["frames/1", "metadata", "rendered", "bulkx/1", "bulk"])
def test_bulk_data_path_reaches_nothing_but_bulk_data(path: str) -> None:
    async def use(origin: str, requests: list[Request]) -> int:
        archive = _server(origin)
        with pytest.raises(ArchiveAbsentError):
            await archive.open_bulkdata(
                ReadableInstance(REF), path, accept="application/octet-stream", byte_range=None
            )
        await archive.aclose()
        return len(requests)

    assert run_scripted([answer("200 OK", b"x")], use) == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://healthcare.googleapis.com",
        "https://healthcare.googleapis.com/v1/projects/p/locations/l/datasets/d",
        "https://healthcare.googleapis.com/v1/projects/p/locations/l/datasets/d/dicomStores/s/dicomWeb",
        "https://healthcare.googleapis.com/v1/projects/p/locations/l/datasets/d/dicomStores/s?x=1",
    ],
)
def test_url_that_names_no_dicom_store_is_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="KHEOPS_STORE_URL"):
        GoogleHealthcare(url, authorization=NoAuthorization())
