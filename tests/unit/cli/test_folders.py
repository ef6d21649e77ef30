"""Which files of a folder are sent, and where objects may be written."""

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from typing_extensions import override

from kheops.cli.api import Api, Parameters
from kheops.cli.dicom_folder import find_dicom
from kheops.cli.download import objects_of
from kheops.cli.failure import CommandError
from kheops.cli.progress import Progress
from kheops.cli.upload import REASONS
from kheops.services.store_report import FailureReason
from tests.dicom_files import a_file, new_uid


def test_only_dicom_files_count_and_each_object_once(tmp_path: Path) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    body = a_file(study=study, series=series, instance=instance)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "IM1").write_bytes(body)
    (tmp_path / "copy").write_bytes(body)
    (tmp_path / "other").write_bytes(a_file(study=study, series=series, instance=instance, modality="MR"))
    (tmp_path / "cut").write_bytes(body[:150])
    (tmp_path / "text.txt").write_text("DICM", "utf-8")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = find_dicom([tmp_path])
    (file,) = found.files
    assert (file.study, file.series, file.instance, file.size) == (study, series, instance, len(body))
    assert (found.copies, found.others) == (1, 3)
    assert set(found.unreadable) == {tmp_path / "cut", tmp_path / "other"}


def test_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no file or folder"):
        find_dicom([tmp_path / "absent"])


class _Lying(Api):
    """A server that names objects as it likes; nothing of it runs but its lists."""

    def __init__(self, **names: str) -> None:
        self._names = names

    @override
    def listed(
        self, path: str, query: Parameters = (), *, most: int | None = None, offset: int = 0
    ) -> Iterator[Mapping[str, object]]:
        tag, name = {
            "studies": ("0020000D", "study"),
            "series": ("0020000E", "series"),
            "instances": ("00080018", "instance"),
        }[path.rpartition("/")[2]]
        yield {tag: {"vr": "UI", "Value": [self._names.get(name, "1.2.3")]}}


def test_server_chooses_no_path_on_our_disk() -> None:
    (wanted,) = objects_of(_Lying(), study=None, series=None, source=())
    assert wanted.path == Path("1.2.3/1.2.3/1.2.3.dcm")
    for name in ("study", "series", "instance"):
        for evil in ("../../.ssh/config", "/etc/passwd", "..", ""):
            with pytest.raises(CommandError, match="no UID"):
                list(objects_of(_Lying(**{name: evil}), study=None, series=None, source=()))


def test_every_failure_reason_has_words() -> None:
    assert set(REASONS) == set(FailureReason)


def test_progress_is_a_line_that_is_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = io.StringIO()
    monkeypatch.setattr("sys.stderr", seen)
    with Progress("Uploading", files=2, size=4 * 1024 * 1024, shown=True) as progress:
        progress.add(files=1, size=3 * 1024 * 1024)
        assert f"[{'#' * 22}........] 1/2 files, 3.0 MiB" in seen.getvalue()
        progress.add(files=1, size=1024 * 1024)
    last = seen.getvalue().rpartition("\r")[2]
    assert last == f"Uploading [{'#' * 30}] 2/2 files, 4.0 MiB\n"
    seen.truncate(0)
    with Progress("Uploading", files=1) as quiet:
        quiet.add(files=1)
    assert seen.getvalue().strip("\0") == ""
