"""Which paths and methods the data plane has."""

from kheops.dicomweb.resources import Series, Study, parse
from kheops.web.dicomweb_service import TABLE
from tests.service.read.conftest import Running, Service

BASE = "/studies/1.2/series/1.2.3"
ALLOWED = {
    "/studies": "GET, HEAD, POST",
    "/series": "GET, HEAD",
    "/instances": "GET, HEAD",
    "/studies/1.2": "DELETE, GET, HEAD, POST, PUT",
    "/studies/1.2/series": "GET, HEAD",
    "/studies/1.2/instances": "GET, HEAD",
    "/studies/1.2/metadata": "GET, HEAD",
    BASE: "DELETE, GET, HEAD, PUT",
    f"{BASE}/metadata": "GET, HEAD",
    f"{BASE}/instances": "GET, HEAD",
    f"{BASE}/instances/1.2.3.4": "GET, HEAD",
    f"{BASE}/instances/1.2.3.4/metadata": "GET, HEAD",
    f"{BASE}/instances/1.2.3.4/frames/1,2": "GET, HEAD",
    f"{BASE}/instances/1.2.3.4/bulkdata/7FE00010": "GET, HEAD",
    **{
        f"{of}/{shown}": "GET, HEAD"
        for of in ("/studies/1.2", BASE, f"{BASE}/instances/1.2.3.4", f"{BASE}/instances/1.2.3.4/frames/1,2")
        for shown in ("rendered", "thumbnail")
    },
    "/wado": "GET, HEAD",
    f"{BASE}/albums/0123456789": "DELETE, PUT",
    f"{BASE}/users/bob": "PUT",
    "/studies/1.2/albums/0123456789": "DELETE, PUT",
    "/studies/1.2/users/bob%40example.org": "PUT",
    "/studies/1.2/comments": "GET, HEAD, POST",
    "/studies/1.2/ohifmetadata": "GET, HEAD",
    "/studies/1.2/fetch": "POST",
    "/studies/1.2/series/fetch": "POST",
    "/studies/1.2/favorites": "DELETE, PUT",
    f"{BASE}/favorites": "DELETE, PUT",
}
ABSENT = [
    "/",
    "/albums",
    "/studies/",
    "/studies//series",
    "/studies/1.2/",
    "/studies/abc",
    "/studies/1.2:getStudyMetrics",
    "/studies/1.2%2Fseries",
    "/studies/1.2/../1.3",
    "/series/",
    "/wado/",
    "/wado/1.2",
    "/series/1.2.3",
    f"{BASE}/instances/1.2.3.4/frames/0",
    f"{BASE}/instances/1.2.3.4/frames/",
    f"{BASE}/instances/1.2.3.4/bulkdata/..",
    f"{BASE}/instances/1.2.3.4/pixeldata",
]


def test_each_path_has_its_methods_and_no_others(service: Service) -> None:
    async def use(running: Running) -> None:
        for path, allowed in ALLOWED.items():
            # OPTIONS is for preflights alone, which name the method that is to come.
            for method in ("PATCH", "OPTIONS"):
                refused = await running.get(path, None, method=method)
                assert (refused.status, refused.header("allow")) == (405, allowed), (path, method)
            for method in set(allowed.split(", ")):
                assert (await running.get(path, None, method=method)).status == 401, (path, method)
        for path in ABSENT:
            for method in ("GET", "PUT", "DELETE"):
                assert (await running.get(path, None, method=method)).status == 404, (path, method)

    service.run(use)


def test_every_resource_of_the_table_is_reached_by_a_path() -> None:
    reached = {type(parse(path)) for path in ALLOWED}
    assert set(TABLE) <= reached
    assert {Study, Series} <= reached


def test_a_refused_write_is_recorded_with_the_uids_of_its_path(service: Service) -> None:
    alice = service.catalog.person("alice")
    answer = service.get(f"{BASE}/albums/0123456789", alice.token, method="PUT")
    assert answer.status in {403, 404}
    assert service.catalog.rows(
        "SELECT kind, outcome, study_instance_uids, series_instance_uids, subject FROM audit"
    ) == [("share", "refused", ["1.2"], ["1.2.3"], "0123456789")]
