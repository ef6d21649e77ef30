"""Paths to resources and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kheops.dicomweb.resources import (
    Bulkdata,
    Comments,
    Favorites,
    Frames,
    InAlbum,
    InstancesOf,
    Metadata,
    OfUser,
    OhifMetadata,
    Rendered,
    Resource,
    Series,
    SeriesOf,
    SopInstance,
    Studies,
    Study,
    Thumbnail,
    is_bulkdata_path,
    parse,
    to_path,
)
from kheops.ids import AlbumId, SeriesInstanceUID, SopInstanceUID, StudyInstanceUID

uids = st.lists(st.integers(0, 10**9).map(str), min_size=1, max_size=6).map(".".join)
studies = st.builds(Study, uids.map(StudyInstanceUID))
series = st.builds(Series, uids.map(StudyInstanceUID), uids.map(SeriesInstanceUID))
instances = st.builds(SopInstance, uids.map(StudyInstanceUID), uids.map(SeriesInstanceUID), uids.map(SopInstanceUID))
frames = st.builds(Frames, instances, st.lists(st.integers(1, 10**6), min_size=1, max_size=5).map(tuple))
of_both = studies | series
of_three = of_both | instances
albums = st.text("abcXYZ019", min_size=10, max_size=10).map(AlbumId)
users = st.text(min_size=1, max_size=40).filter(
    lambda text: "/" not in text and text.isprintable() and text not in {".", ".."}
)
segments = st.text("abc019_-.", min_size=1, max_size=8).filter(lambda text: ".." not in text and text != ".")
paths = st.lists(segments, min_size=1, max_size=4).map("/".join).filter(is_bulkdata_path)
resources = st.one_of(
    st.just(Studies()),
    of_three,
    frames,
    st.builds(SeriesOf, studies),
    st.builds(InstancesOf, of_both),
    st.builds(Metadata, of_three),
    st.builds(Bulkdata, instances, paths),
    st.builds(Rendered, of_three | frames),
    st.builds(Thumbnail, of_three | frames),
    st.builds(InAlbum, of_both, albums),
    st.builds(OfUser, of_both, users),
    st.builds(Favorites, of_both),
    st.builds(Comments, studies),
    st.builds(OhifMetadata, studies),
)


@settings(max_examples=500, deadline=None)
@given(resources)
def test_every_resource_has_a_path_that_leads_back(resource: Resource) -> None:
    path = to_path(resource)
    assert parse(path) == resource
    assert parse(path.encode()) == resource


@settings(max_examples=300, deadline=None)
@given(
    resources,
    st.integers(0),
    st.sampled_from(["%2e", "%2F", "%00", ":", "..", "//", "\\", ";", "?", "#", " ", "\u0663"]),
)
def test_a_hostile_piece_is_refused_or_stays_inside_a_user_reference(resource: Resource, at: int, piece: str) -> None:
    path = to_path(resource)
    cut = at % (len(path) + 1)
    parsed = parse(path[:cut] + piece + path[cut:])
    assert parsed is None or isinstance(parsed, OfUser)
    if isinstance(parsed, OfUser):
        assert "/" not in parsed.user
        assert "\0" not in parsed.user
        assert parsed.user not in {".", ".."}


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/studies", Studies()),
        ("/studies/1.2", Study(StudyInstanceUID("1.2"))),
        ("/studies/1.2/series", SeriesOf(Study(StudyInstanceUID("1.2")))),
        ("/studies/1.2/series/3/favorites/", Favorites(Series(StudyInstanceUID("1.2"), SeriesInstanceUID("3")))),
        ("/studies/1.2/users/a%40b.ch", OfUser(Study(StudyInstanceUID("1.2")), "a@b.ch")),
        ("/studies/1.2/users/auth0%7C1", OfUser(Study(StudyInstanceUID("1.2")), "auth0|1")),
        (
            "/studies/1/series/2/instances/3/frames/2,1",
            Frames(SopInstance(StudyInstanceUID("1"), SeriesInstanceUID("2"), SopInstanceUID("3")), (2, 1)),
        ),
        (
            "/studies/1/series/2/instances/3/bulkdata/00420011/1/x.bin",
            Bulkdata(
                SopInstance(StudyInstanceUID("1"), SeriesInstanceUID("2"), SopInstanceUID("3")), "00420011/1/x.bin"
            ),
        ),
    ],
)
def test_paths_mean_what_the_standard_says(path: str, resource: Resource) -> None:
    assert parse(path) == resource


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "studies",
        "/Studies",
        "/studies/",
        "//studies",
        "/studies//series",
        "/studies/1.2/",
        "/studies/1.2/series/",
        "/studies/1.2:getStudyMetrics",
        "/studies/1..2",
        "/studies/.1",
        "/studies/1.",
        "/studies/1.2%2e3",
        "/studies/1.2%2Fseries",
        "/studies/1.2/../1.3",
        "/studies/..",
        "/studies/" + "1" * 65,
        "/studies/\u0661.2",
        "/studies/1.2\n",
        "/studies/1.2/series/3/instances/4/frames/0",
        "/studies/1.2/series/3/instances/4/frames/01",
        "/studies/1.2/series/3/instances/4/frames/1,",
        "/studies/1.2/series/3/instances/4/frames/1%2C2",
        "/studies/1.2/series/3/instances/4/frames/-1",
        "/studies/1.2/series/3/instances/4/frames/" + ",".join(["1"] * 1001),
        "/studies/1.2/series/3/instances/4/bulkdata",
        "/studies/1.2/series/3/instances/4/bulkdata/",
        "/studies/1.2/series/3/instances/4/bulkdata/a//b",
        "/studies/1.2/series/3/instances/4/bulkdata/a/../b",
        "/studies/1.2/series/3/instances/4/bulkdata/a/./b",
        "/studies/1.2/series/3/instances/4/bulkdata/a..b",
        "/studies/1.2/series/3/instances/4/bulkdata/a%2fb",
        "/studies/1.2/series/3/instances/4/bulkdata/" + "a" * 513,
        "/studies/1.2/albums/short",
        "/studies/1.2/albums/abcdefghi%41",
        "/studies/1.2/users/",
        "/studies/1.2/users/a%2Fb",
        "/studies/1.2/users/a%00b",
        "/studies/1.2/users/a%0Ab",
        "/studies/1.2/users/%2e%2e",
        "/studies/1.2/users/a%ffb",
        "/studies/1.2/users/a%4",
        "/studies/1.2/users/" + "a" * 321,
        "/studies/1.2/series/3/instances/4/users/a",
        "/studies/1.2/series/3/comments",
        "/studies?a=b",
        "/wado",
    ],
)
def test_everything_else_is_no_resource(path: str) -> None:
    assert parse(path) is None
    assert parse(path.encode()) is None


@settings(max_examples=500, deadline=None)
@given(
    uids=st.lists(
        st.sampled_from(
            ("1", "0", "1.2", "1.02.3", "9" * 64, "9" * 65, "1." * 31 + "22", "1." * 32 + "2", "", ".", "1.")
        )
        | st.text(st.sampled_from("01.\u0661\n/%"), max_size=6),
        min_size=3,
        max_size=3,
    ),
    number=st.sampled_from(("1", "999999999", "0", "01", "1000000000", "", "+1", "1\n", "\u0661", "1/", "1,", "-1")),
)
def test_one_frame_is_a_resource_where_the_same_twice_is(uids: list[str], number: str) -> None:
    path = "/studies/{}/series/{}/instances/{}/frames/".format(*uids)
    one, two = parse(path + number), parse(f"{path}{number},{number}")
    # Several frames go by the table of forms alone.
    if isinstance(two, Frames):
        assert one == Frames(two.instance, two.frames[:1])
    else:
        assert not isinstance(one, Frames)
