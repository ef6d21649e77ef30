"""dicomtrolley, which research pipelines use."""

import io

import pydicom
import pytest
import requests
from dicomtrolley.core import Query, QueryLevels, SeriesReference
from dicomtrolley.exceptions import DICOMTrolleyError
from dicomtrolley.qido_rs import HierarchicalQuery, QidoRS, RelationalQuery
from dicomtrolley.trolley import Trolley
from dicomtrolley.wado_rs import WadoRS, WadoRSMetaData

from tests.system.clients.scene import Scene
from tests.system.clients.test_dicomweb_client import WAYS_IN


@pytest.fixture(params=WAYS_IN)
def trolley(request: pytest.FixtureRequest, scene: Scene) -> Trolley:
    credential = scene.credentials[request.param]
    session = requests.Session()
    session.trust_env = False
    if credential.bearer is not None:
        session.headers["Authorization"] = f"Bearer {credential.bearer}"
    if credential.password is not None:
        session.auth = ("any", credential.password)
    return Trolley(searcher=QidoRS(session, credential.base), downloader=WadoRS(session, credential.base))


def test_studies_are_found_by_name_and_uid(scene: Scene, trolley: Trolley) -> None:
    file = scene.shared[0]
    found = trolley.find_studies(Query(PatientName=f"{file.patient_name[:4].lower()}*", StudyInstanceUID=file.study))
    assert [study.uid for study in found] == [file.study]
    assert trolley.find_studies(Query(PatientName="Nobody*")) == []


def test_series_and_instances_are_found_below_a_study_and_everywhere(scene: Scene, trolley: Trolley) -> None:
    file = scene.shared[0]
    for query in (
        HierarchicalQuery(
            StudyInstanceUID=file.study, SeriesInstanceUID=file.series, query_level=QueryLevels.INSTANCE
        ),
        RelationalQuery(StudyInstanceUID=file.study, query_level=QueryLevels.INSTANCE),
    ):
        (study,) = trolley.find_studies(query)
        assert {series.uid for series in study.series} == {file.series}
        assert {instance.uid for series in study.series for instance in series.instances} == {
            each.instance for each in scene.shared
        }


def test_a_series_is_downloaded_whole(scene: Scene, trolley: Trolley) -> None:
    file = scene.shared[0]
    (study,) = trolley.find_studies(HierarchicalQuery(StudyInstanceUID=file.study, query_level=QueryLevels.SERIES))
    got = {str(dataset.SOPInstanceUID): dataset for dataset in trolley.fetch_all_datasets([study])}
    assert got == {each.instance: pydicom.dcmread(io.BytesIO(each.body)) for each in scene.shared}


def test_a_study_is_downloaded_without_naming_its_series(scene: Scene) -> None:
    credential = scene.credentials["bearer"]
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {credential.bearer}"
    wado = WadoRS(session, credential.base, request_per_series=False)
    metadata = WadoRSMetaData(session, credential.base)
    (study,) = QidoRS(session, credential.base).find_studies(Query(StudyInstanceUID=scene.shared[0].study))
    wanted = {each.instance for each in scene.shared}
    assert {str(dataset.SOPInstanceUID) for dataset in wado.datasets([study])} == wanted
    assert {str(dataset.SOPInstanceUID) for dataset in metadata.datasets([study])} == wanted


def test_a_hidden_series_cannot_be_downloaded(scene: Scene, trolley: Trolley) -> None:
    file = scene.hidden[0]
    query = RelationalQuery(StudyInstanceUID=file.study, SeriesInstanceUID=file.series, query_level=QueryLevels.SERIES)
    assert trolley.find_studies(query) == []
    with pytest.raises(DICOMTrolleyError, match="404"):
        list(trolley.fetch_all_datasets([SeriesReference(study_uid=file.study, series_uid=file.series)]))
