"""The command line of PyPI's dicomweb-client."""

import io
import json
from pathlib import Path

import pydicom
import pytest

from local.smoke.dicom_files import new_uid
from tests.dicom_files import a_file
from tests.system.clients.commands import run
from tests.system.clients.scene import Scene

WAYS_IN = ("bearer", "password", "link-bearer", "link-password", "link-address")


def dicomweb_client(scene: Scene, way: str, *arguments: str, fails: bool = False) -> str:
    credential = scene.credentials[way]
    options = ["--url", credential.base]
    if credential.bearer is not None:
        options += ["--bearer-token", credential.bearer]
    if credential.password is not None:
        options += ["--user", "any", "--password", credential.password]
    return run("dicomweb_client", *options, *arguments, fails=fails)


@pytest.mark.parametrize("way", WAYS_IN)
def test_searches_print_what_may_be_read(scene: Scene, way: str) -> None:
    found = json.loads(dicomweb_client(scene, way, "search", "studies", "--limit", "10", "--fuzzy"))
    assert {row["0020000D"]["Value"][0] for row in found} == scene.studies


def test_searches_take_filters_and_fields(scene: Scene) -> None:
    study = scene.shared[0].study
    series = dicomweb_client(
        scene, "bearer", "search", "series", "--study", study, "--filter", "Modality=MR", "--field", "BodyPartExamined"
    )
    assert [row["0020000E"]["Value"] for row in json.loads(series)] == [[scene.shared[0].series]]
    shown = dicomweb_client(scene, "bearer", "search", "instances", "--study", study, "--dicomize")
    assert all(file.instance in shown for file in scene.shared)
    assert not any(file.instance in shown for file in scene.hidden)


def test_files_are_saved_as_they_were_stored(scene: Scene, tmp_path: Path) -> None:
    file = scene.shared[0]
    place = ("--study", file.study, "--series", file.series)
    saving = ("full", "--save", "--output-dir", str(tmp_path))
    dicomweb_client(scene, "bearer", "retrieve", "series", *place, *saving)
    assert len(list(tmp_path.iterdir())) == len(scene.shared)
    for each in scene.shared:
        (saved,) = tmp_path.glob(f"{each.instance}*")
        assert pydicom.dcmread(saved) == pydicom.dcmread(io.BytesIO(each.body))
        saved.unlink()
    dicomweb_client(scene, "link-address", "retrieve", "instances", *place, "--instance", file.instance, *saving)
    assert [saved.name.removesuffix(".dcm") for saved in tmp_path.iterdir()] == [file.instance]


@pytest.mark.parametrize("way", ["bearer", "link-address"])
def test_metadata_is_printed_at_each_level(scene: Scene, way: str) -> None:
    file = scene.shared[0]
    study, series, instance = (
        ("--study", file.study),
        ("--series", file.series),
        ("--instance", file.instance),
    )
    for level, place in (("studies", study), ("series", study + series), ("instances", study + series + instance)):
        found = json.loads(dicomweb_client(scene, way, "retrieve", level, *place, "metadata"))
        rows = [found] if isinstance(found, dict) else found
        wanted = {file.instance} if level == "instances" else {each.instance for each in scene.shared}
        assert {row["00080018"]["Value"][0] for row in rows} == wanted, level


def test_frames_are_saved(scene: Scene, tmp_path: Path) -> None:
    file = scene.jpeg_2000
    dicomweb_client(
        scene,
        "bearer",
        "retrieve",
        *("instances", "--study", file.study, "--series", file.series, "--instance", file.instance),
        *("frames", "--numbers", "1", "--save", "--output-dir", str(tmp_path)),
        *("--media-type", "image/jp2", "1.2.840.10008.1.2.4.91"),
    )
    (saved,) = tmp_path.iterdir()
    frame = next(pydicom.encaps.generate_frames(pydicom.dcmread(io.BytesIO(file.body)).PixelData, number_of_frames=1))
    assert saved.read_bytes().rstrip(b"\0") == frame.rstrip(b"\0")


def test_files_are_stored(scene: Scene, tmp_path: Path) -> None:
    study, series = new_uid(), new_uid()
    files = [tmp_path / f"{number}.dcm" for number in range(2)]
    for file in files:
        file.write_bytes(a_file(study=study, series=series, instance=new_uid()))
    dicomweb_client(scene, "writer", "store", "instances", "--study", study, *map(str, files))
    found = json.loads(dicomweb_client(scene, "writer", "search", "instances", "--study", study))
    assert len(found) == len(files)


def test_what_is_hidden_ends_with_an_error(scene: Scene) -> None:
    file = scene.hidden[0]
    said = dicomweb_client(
        scene, "bearer", "retrieve", "series", "--study", file.study, "--series", file.series, "metadata", fails=True
    )
    assert "404" in said
