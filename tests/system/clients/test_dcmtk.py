"""DCMTK's dcmdump, which reads more strictly than most, on what curl stored and retrieved."""

import json
from pathlib import Path

import pytest

from local.smoke.dicom_files import DicomFile, new_uid
from tests.system.clients.commands import run
from tests.system.clients.scene import Scene


def curl(scene: Scene, way: str, path: str, *options: str) -> str:
    """Call as the README does."""
    credential = scene.credentials[way]
    given: tuple[str, ...] = ()
    if credential.bearer is not None:
        given = ("-H", f"Authorization: Bearer {credential.bearer}")
    if credential.password is not None:
        given = ("-u", f"any:{credential.password}")
    return run("curl", "-sS", *given, *options, f"{credential.base}{path}")


def dump(file: Path) -> str:
    return run("dcmdump", "--quiet", "--load-all", str(file))


@pytest.mark.parametrize("way", ["bearer", "password", "link-bearer", "link-password", "link-address"])
def test_a_retrieved_file_is_read_and_is_the_one_that_was_stored(scene: Scene, tmp_path: Path, way: str) -> None:
    kinds: dict[str, DicomFile] = {
        "uncompressed": scene.shared[0],
        "multi-frame": scene.multi_frame,
        "JPEG 2000": scene.jpeg_2000,
        "whole slide": scene.slide[0],
    }
    for kind, file in kinds.items():
        retrieved, stored = tmp_path / "retrieved.dcm", tmp_path / "stored.dcm"
        stored.write_bytes(file.body)
        curl(scene, way, file.path, "-H", "Accept: application/dicom", "-o", str(retrieved))
        shown = dump(retrieved)
        assert f"[{file.instance}]" in shown, kind
        assert shown == dump(stored), kind
        assert retrieved.read_bytes() == file.body, kind


def test_a_file_is_stored_by_one_line_of_curl_and_comes_back_the_same(scene: Scene, tmp_path: Path) -> None:
    sent, back = tmp_path / "sent.dcm", tmp_path / "back.dcm"
    file = scene.shared[0].with_uids(study=new_uid(), series=new_uid(), instance=new_uid())
    sent.write_bytes(file.body)
    answer = json.loads(
        curl(
            scene,
            "writer",
            "/studies",
            *("-H", "Content-Type: application/dicom", "--data-binary", f"@{sent}"),
        )
    )
    assert "00081198" not in answer
    curl(scene, "writer", file.path, "-H", "Accept: application/dicom", "-o", str(back))
    assert dump(back) == dump(sent)
