"""npm's dicomweb-client in Chromium, on a page of another origin: what OHIF and most viewers call through."""

import hashlib
import io
import json
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from local.smoke.dicom_files import DicomFile, new_uid
from tests.dicom_files import a_file
from tests.system.chromium import CHROMIUM, Tab, open_tab
from tests.system.clients.other_origin import Page
from tests.system.clients.scene import Credential, Scene

NPM = Path(__file__).with_name("npm")
SCRIPT = NPM / "node_modules/dicomweb-client/build/dicomweb-client.js"
# Digests, so that only little travels from the page to the test.
PAGE = """<!doctype html><meta charset="utf-8"><title>Viewer</title>
<script src="dicomweb-client.js"></script>
<script>
  const hex = buffer => Array.from(new Uint8Array(buffer), byte => byte.toString(16).padStart(2, '0')).join('');
  const digest = async data => hex(await crypto.subtle.digest('SHA-256', data));
  const digests = parts => Promise.all(parts.map(digest));
  const bytes = text => Uint8Array.from(atob(text), character => character.charCodeAt(0)).buffer;
  const connect = (url, authorization) => new DICOMwebClient.api.DICOMwebClient({
    url, verbose: false, headers: authorization ? {Authorization: authorization} : {},
  });
  const status = async promise => {
    try { await promise; return 'success'; } catch (error) { return error.status; }
  };
</script>
"""
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: local/setup.sh clients")


@pytest.fixture(scope="module")
def tab(page: Page, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    if not SCRIPT.exists():
        npm = shutil.which("npm")
        assert npm is not None, "these tests need npm on the PATH"
        subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=NPM, timeout=120, check=True)
    shutil.copy(SCRIPT, page.folder / SCRIPT.name)
    (page.folder / "index.html").write_text(PAGE)
    with open_tab(tmp_path_factory.mktemp("chromium")) as opened:
        opened.go(f"{page.origin}/index.html")
        yield opened


class Client:
    """The client in the page, for one way in."""

    def __init__(self, tab: Tab, credential: Credential) -> None:
        self.tab = tab
        authorization = "''"
        if credential.bearer is not None:
            authorization = json.dumps(f"Bearer {credential.bearer}")
        if credential.password is not None:
            authorization = f"'Basic ' + btoa({json.dumps(f'any:{credential.password}')})"
        self._client = f"connect({json.dumps(credential.base)}, {authorization})"

    def run(self, expression: str, **values: object) -> Any:
        """Return what an expression comes to, in which ``client`` is the client and ``v`` the values."""
        return self.tab.run(
            f"(async () => {{ const client = {self._client}, v = {json.dumps(values)}; return {expression}; }})()"
        )


@pytest.fixture(params=["bearer", "password", "link-bearer", "link-password", "link-address"])
def anyway(request: pytest.FixtureRequest, scene: Scene, tab: Tab) -> Client:
    return Client(tab, scene.credentials[request.param])


@pytest.fixture
def bob(scene: Scene, tab: Tab) -> Client:
    return Client(tab, scene.credentials["bearer"])


@pytest.fixture
def erin(scene: Scene, tab: Tab) -> Client:
    return Client(tab, scene.credentials["writer"])


def place(file: DicomFile) -> dict[str, str]:
    return {"studyInstanceUID": file.study, "seriesInstanceUID": file.series, "sopInstanceUID": file.instance}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_searches_find_what_may_be_read(scene: Scene, anyway: Client) -> None:
    file = scene.shared[0]
    studies = anyway.run(
        "await client.searchForStudies({queryParams: v})",
        limit=101,
        offset=0,
        fuzzymatching=False,
        includefield="00081030,00080060,00080090,00100030",
    )
    assert {row["0020000D"]["Value"][0] for row in studies} == scene.studies
    series = anyway.run("await client.searchForSeries({studyInstanceUID: v.study})", study=file.study)
    assert [row["0020000E"]["Value"] for row in series] == [[file.series]]
    instances = anyway.run("await client.searchForInstances(v)", studyInstanceUID=file.study)
    assert {row["00080018"]["Value"][0] for row in instances} == {each.instance for each in scene.shared}


def test_files_come_byte_for_byte_at_each_level(scene: Scene, anyway: Client) -> None:
    file = scene.shared[0]
    wanted = sorted(sha256(each.body) for each in scene.shared)
    assert anyway.run("await digest(await client.retrieveInstance(v))", **place(file)) == sha256(file.body)
    assert sorted(anyway.run("await digests(await client.retrieveSeries(v))", **place(file))) == wanted
    assert sorted(anyway.run("await digests(await client.retrieveStudy(v))", **place(file))) == wanted


def test_metadata_and_frames_come_as_viewers_ask_for_them(scene: Scene, anyway: Client) -> None:
    file = scene.multi_frame
    for method in ("retrieveStudyMetadata", "retrieveSeriesMetadata", "retrieveInstanceMetadata"):
        (row,) = anyway.run(f"await client.{method}(v)", **place(file))
        assert row["00080018"]["Value"] == [file.instance], method
    frames = anyway.run(
        "await digests(await client.retrieveInstanceFrames({...v, frameNumbers: [3, 1]}))", **place(file)
    )
    assert frames == [sha256(file.frame(3)), sha256(file.frame(1))]


def test_compressed_frames_come_in_any_of_the_types_that_slide_viewers_list(scene: Scene, bob: Client) -> None:
    file = scene.slide[0]
    # What dicom-microscopy-viewer, and OHIF with it, accept.
    media_types = [
        {"mediaType": "image/jls", "transferSyntaxUID": "1.2.840.10008.1.2.4.80"},
        {"mediaType": "image/jls", "transferSyntaxUID": "1.2.840.10008.1.2.4.81"},
        {"mediaType": "image/jp2", "transferSyntaxUID": "1.2.840.10008.1.2.4.90"},
        {"mediaType": "image/jp2", "transferSyntaxUID": "1.2.840.10008.1.2.4.91"},
        {"mediaType": "image/jpx", "transferSyntaxUID": "1.2.840.10008.1.2.4.92"},
        {"mediaType": "image/jpx", "transferSyntaxUID": "1.2.840.10008.1.2.4.93"},
        {"mediaType": "image/jpeg", "transferSyntaxUID": "1.2.840.10008.1.2.4.50"},
        {"mediaType": "application/octet-stream", "transferSyntaxUID": "*"},
    ]
    got = bob.run(
        "await digests(await client.retrieveInstanceFrames(v))",
        **place(file),
        frameNumbers=[2],
        mediaTypes=media_types,
    )
    assert got in [[sha256(frame)] for frame in _frame_spellings(file, 2)]


def test_bulk_data_comes_from_the_links_in_metadata(scene: Scene, anyway: Client) -> None:
    file = scene.palette
    got = anyway.run(
        "await client.retrieveInstanceMetadata(v).then(rows => client.retrieveBulkData("
        "{BulkDataURI: rows[0]['00281201'].BulkDataURI})).then(digests)",
        **place(file),
    )
    assert got == [sha256(pydicom.dcmread(io.BytesIO(file.body)).RedPaletteColorLookupTableData)]


def test_images_and_thumbnails_are_rendered(scene: Scene, bob: Client) -> None:
    file = scene.shared[0]
    head = "new Uint8Array((x => x[0] || x)(await client.{})).slice(0, 2).join()"
    for call, signature in (
        ("retrieveInstanceRendered(v)", "255,216"),
        ("retrieveInstanceRendered({...v, mediaTypes: [{mediaType: 'image/png'}]})", "137,80"),
        (
            "retrieveInstanceFramesRendered({...v, frameNumbers: [1], mediaTypes: [{mediaType: 'image/jpeg'}]})",
            "255,216",
        ),
        ("retrieveInstanceThumbnail(v)", "255,216"),
    ):
        assert bob.run(head.format(call), **place(file)) == signature, call


def test_the_address_that_the_client_makes_for_wado_uri_is_understood(scene: Scene, bob: Client) -> None:
    file = scene.jpeg_2000
    address = bob.run("client.buildInstanceWadoURIUrl(v)", **place(file))
    assert "transferSyntax=*" in address
    with scene.system.client("bob") as client:
        answer = client.get(address.replace("/api?", "/api/wado?"))
    assert answer.status_code == 200
    assert answer.content == file.body


def test_what_the_page_stores_is_found(scene: Scene, erin: Client) -> None:
    study = new_uid()
    files = [a_file(study=study, series=new_uid(), instance=new_uid()) for _ in range(2)]
    stored = erin.run(
        "JSON.parse(await client.storeInstances({datasets: v.files.map(bytes)}))",
        files=[b64encode(file).decode() for file in files],
    )
    assert len(stored["00081199"]["Value"]) == len(files)
    assert "00081198" not in stored
    assert len(erin.run("await client.searchForSeries({studyInstanceUID: v.study})", study=study)) == len(files)


def test_the_page_sees_why_it_is_refused(scene: Scene, bob: Client, tab: Tab) -> None:
    assert bob.run("await status(client.retrieveSeriesMetadata(v))", **place(scene.hidden[0])) == 404
    wrong = Client(tab, Credential(scene.api, bearer="not-a-token"))
    assert wrong.run("await status(client.searchForStudies())") == 401
    nobody = Client(tab, Credential(scene.api))
    assert nobody.run("await status(client.searchForStudies())") == 401


def test_the_browser_asked_for_leave_first(scene: Scene, bob: Client, tab: Tab) -> None:
    tab.seen.clear()
    bob.run("await client.searchForStudies({queryParams: v})", limit=1, StudyDescription=new_uid())
    sent = [event["params"]["request"] for event in tab.seen if event["method"] == "Network.requestWillBeSent"]
    assert {request["method"] for request in sent} == {"GET", "OPTIONS"}, "the page and the system have one origin"


def test_a_page_of_an_origin_that_is_not_allowed_reads_nothing(scene: Scene, page: Page, tab: Tab) -> None:
    # The same site under its other name, which is another origin.
    tab.go(page.origin.replace("127.0.0.1", "localhost") + "/index.html")
    try:
        stranger = Client(tab, scene.credentials["bearer"])
        assert stranger.run("await status(client.searchForStudies())") == 0
    finally:
        tab.go(f"{page.origin}/index.html")


def _frame_spellings(file: DicomFile, number: int) -> list[bytes]:
    """Return a compressed frame with and without the padding to an even length that files have."""
    data = pydicom.dcmread(io.BytesIO(file.body))
    frames = pydicom.encaps.generate_frames(data.PixelData, number_of_frames=data.NumberOfFrames)
    frame = list(frames)[number - 1]
    return [frame, frame.rstrip(b"\0"), frame.rstrip(b"\0") + b"\0"]
