"""What the clients come to: Alice's studies, of which Bob reads some series through an album."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom

from local.smoke.dicom_files import DicomFile, load, new_uid
from tests.dicom_files import a_file, bundled, multipart
from tests.postgres import Server
from tests.system.clients import slide
from tests.system.running import StoreKind, System, start_system

__all__ = ["Credential", "Scene", "set_scene"]

_LARGE_VALUE = bytes(range(256)) * 8
"""More than either store puts into metadata itself."""


@dataclass(frozen=True)
class Credential:
    """One of the ways in which a client may say for whom it calls."""

    base: str
    """What the client is given as the address."""
    bearer: str | None = None
    password: str | None = None


@dataclass(frozen=True)
class Scene:
    """A running system with Alice's studies in it.

    Bob, and everybody with the album's link, reads of the study of three series the largest alone, and the other
    shared series whole.
    """

    system: System
    store: StoreKind
    album: str
    link: str
    """Token of the album's link, which reads."""
    shared: tuple[DicomFile, ...]
    """The series that Bob reads of the study of three, in the order of their instance numbers."""
    hidden: tuple[DicomFile, ...]
    """The other two series of the same study."""
    multi_frame: DicomFile
    jpeg_2000: DicomFile
    run_length: DicomFile
    jpeg_ls: DicomFile
    palette: DicomFile
    """An object with bulk data besides its pixels."""
    slide: tuple[DicomFile, ...]
    """Two levels of a whole-slide image; the study has a third file, of a hidden series."""

    @property
    def api(self) -> str:
        """The address of DICOMweb."""
        return f"{self.system.url}/api"

    @property
    def bob(self) -> str:
        """Bob's access token."""
        return self.system.tokens.setdefault("bob", self.system.token("bob"))

    @property
    def writer(self) -> str:
        """The access token of Erin, who stores: what Bob reads stays as it is."""
        return self.system.tokens.setdefault("erin", self.system.token("erin"))

    @property
    def studies(self) -> set[str]:
        """The studies of which Bob reads something."""
        single = (self.multi_frame, self.jpeg_2000, self.run_length, self.jpeg_ls, self.palette)
        return {file.study for file in (self.shared[0], *single, self.slide[0])}

    @property
    def credentials(self) -> dict[str, Credential]:
        """The ways in: Bob's token and a link's by bearer and password, the latter in the address too; and Erin's."""
        return {
            "bearer": Credential(self.api, bearer=self.bob),
            "writer": Credential(self.api, bearer=self.writer),
            "password": Credential(self.api, password=self.bob),
            "link-bearer": Credential(self.api, bearer=self.link),
            "link-password": Credential(self.api, password=self.link),
            "link-address": Credential(f"{self.api}/link/{self.link}"),
        }


@contextmanager
def set_scene(postgres: Server, folder: Path, *, store: StoreKind, origin: str) -> Iterator[Scene]:
    """Start a system, store Alice's studies and share what Bob is to read.

    Parameters
    ----------
    postgres, folder, store
        As `start_system` has them.
    origin
        The one from which pages may call.
    """
    data = load()
    with start_system(postgres, folder, store=store, settings={"KHEOPS_ALLOWED_ORIGINS": origin}) as system:
        slide_study, slide_series = new_uid(), new_uid()
        levels = [
            slide.level(study=slide_study, series=slide_series, instance=new_uid(), factor=factor) for factor in (1, 2)
        ]
        hidden_of_the_slide = a_file(study=slide_study, series=new_uid(), instance=new_uid(), modality="SM")
        palette = a_file(
            study=new_uid(),
            series=new_uid(),
            instance=new_uid(),
            modality="CT",
            pixels=bytes(range(256)) * 4,
            RedPaletteColorLookupTableData=_LARGE_VALUE,
            RedPaletteColorLookupTableDescriptor=[1024, 0, 16],
        )
        with system.client("alice") as alice, system.client("bob") as bob:
            assert bob.get("/albums").status_code == 200
            run_length, jpeg_ls = (
                _described(bundled(name)).with_uids(study=new_uid(), series=new_uid(), instance=new_uid())
                for name in ("MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm")
            )
            single = (data.multi_frame, data.jpeg_2000, run_length, jpeg_ls)
            bodies = [file.body for file in (*data.multi_series, *single)]
            stored = alice.post(
                "/studies",
                content=multipart(*bodies, *levels, hidden_of_the_slide, palette),
                headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b0undary'},
            )
            assert stored.status_code == 200, stored.text
            album = alice.post("/albums", data={"name": "Tumour board"}).json()["album_id"]
            scene_files = tuple(_described(body) for body in (*levels, palette))
            for file in (data.shared[0], *single, *scene_files):
                assert alice.put(f"{file.series_path}/albums/{album}").status_code == 201
            assert alice.put(f"/albums/{album}/users/bob").status_code == 201
            link = alice.post(
                "/capabilities",
                data={"title": "Link", "scope_type": "album", "album": album, "read_permission": "true"},
            ).json()["access_token"]
        system.secrets_used.add(link)
        yield Scene(
            system=system,
            store=store,
            album=album,
            link=link,
            shared=data.shared,
            hidden=data.withheld,
            multi_frame=data.multi_frame,
            jpeg_2000=data.jpeg_2000,
            run_length=run_length,
            jpeg_ls=jpeg_ls,
            palette=scene_files[2],
            slide=scene_files[:2],
        )


def _described(body: bytes) -> DicomFile:
    data = pydicom.dcmread(io.BytesIO(body), stop_before_pixels=True)
    return DicomFile(
        body=body,
        study=data.StudyInstanceUID,
        series=data.SeriesInstanceUID,
        instance=data.SOPInstanceUID,
        modality=data.Modality,
        patient_name=str(data.PatientName),
    )
