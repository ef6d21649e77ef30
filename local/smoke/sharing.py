"""Steps 4 to 7: an album with one series, its reader, its link, and the end of both."""

import base64
from typing import Any, Final

import httpx

from local.smoke.caller import Caller, dicom_bodies, expect, parts_of, within_five_seconds
from local.smoke.scene import Scene

__all__ = ["alice_removes_bob", "alice_shares_one_series", "bytes_are_the_same", "link_reads_until_revoked"]

_OCTETS: Final = 'multipart/related; type="application/octet-stream"'
_PIXEL_DATA: Final = "7FE00010"


def alice_shares_one_series(scene: Scene) -> None:
    """Alice puts one series into an album and adds Bob, who sees exactly that series of the study."""
    alice, shared = scene.alice, scene.data.shared
    album = alice.call(
        "POST", "/albums", form={"name": "Tumour board", "description": "One series"}, status=201
    ).json()
    scene.album = album["album_id"]
    alice.call("PUT", f"{shared[0].series_path}/albums/{scene.album}", status=201)
    alice.call("PUT", f"/albums/{scene.album}/users/{scene.email('bob')}", status=201)
    (listed,) = scene.bob.call("GET", "/albums", status=200).json()
    expect(listed["album_id"] == scene.album and not listed["is_admin"], f"bob is a plain member, not {listed}")
    _sees_shared_alone(scene, scene.bob)
    _reads_parts_of_an_instance(scene)


def bytes_are_the_same(scene: Scene) -> None:
    """Study, series and instance come back byte for byte, to Bob what is shared and to Alice everything."""
    shared = scene.data.shared
    for path in (f"/studies/{shared[0].study}", shared[0].series_path):
        expect(sorted(scene.bob.retrieve(path)) == dicom_bodies(shared), f"bob retrieves what alice stored at {path}")
    for file in shared:
        expect(scene.bob.retrieve(file.path) == [file.body], "bob retrieves each instance as alice stored it")
    for file in scene.data.singles:
        expect(
            scene.alice.retrieve(f"/studies/{file.study}") == [file.body],
            f"the {file.modality} study comes back as it was stored",
        )
    cine = scene.data.multi_frame
    frames = parts_of(scene.alice.call("GET", f"{cine.path}/frames/2,15", status=200, accept=_OCTETS))
    expect([body for _, body in frames] == [cine.frame(2), cine.frame(15)], "alice reads two frames of fifteen")
    scene.alice.call("GET", f"{cine.path}/frames/16", status=404)
    everything = scene.alice.retrieve(f"/studies/{shared[0].study}")
    expect(sorted(everything) == dicom_bodies(scene.data.multi_series), "alice retrieves the whole study")


def link_reads_until_revoked(scene: Scene) -> None:
    """Read the series with a capability token of the album in three ways, and with none once it is revoked."""
    form = {
        "title": "For the referring doctor",
        "scope_type": "album",
        "album": scene.album,
        "read_permission": "true",
    }
    capability = scene.alice.call("POST", "/capabilities", form=form, status=201).json()
    token = capability["access_token"]
    basic = base64.b64encode(f"x:{token}".encode()).decode()
    callers = (
        scene.with_token("the link by Bearer", token),
        Caller("the link by Basic", scene.api, headers={"authorization": f"Basic {basic}"}),
        Caller("the link by path", f"{scene.api}/link/{token}"),
    )
    for caller in callers:
        _sees_shared_alone(scene, caller)
        for file in scene.data.shared:
            expect(caller.retrieve(file.path) == [file.body], f"{caller.name} reads what alice stored")
        hidden = caller.call("GET", f"/studies/{scene.data.japanese.study}", status=404)
        expect(token not in hidden.text, "an error does not tell the token")
        caller.call("GET", "/albums", status=403)
        caller.call("POST", "/albums", form={"name": "Not for a link"}, status=403)
    _urls_lead_back(callers)
    scene.alice.call("POST", f"/capabilities/{capability['id']}/revoke", status=200)
    within_five_seconds(
        lambda: all(
            caller.call("GET", path).status_code == httpx.codes.UNAUTHORIZED
            for caller in callers
            for path in ("/studies", scene.data.shared[0].path)
        ),
        "a revoked link is refused",
    )


def alice_removes_bob(scene: Scene) -> None:
    """Alice removes Bob from the album, and to him it is gone."""
    shared = scene.data.shared[0]
    scene.alice.call("DELETE", f"/albums/{scene.album}/users/{scene.email('bob')}", status=204)
    within_five_seconds(
        lambda: scene.bob.call("GET", shared.path).status_code == httpx.codes.NOT_FOUND, "bob's reading is refused"
    )
    expect(scene.bob.search("/studies") == [], "bob finds nothing any more")
    scene.bob.call("GET", f"/studies/{shared.study}", status=404)
    scene.bob.call("GET", f"/albums/{scene.album}", status=404)
    expect(scene.alice.retrieve(shared.path) == [shared.body], "alice still reads her own")


def _sees_shared_alone(scene: Scene, caller: Caller) -> None:
    """Expect one study with one series in lists, counts and metadata, and 404 for the study's other series."""
    shared, study = scene.data.shared, scene.data.shared[0].study
    instances = {file.instance for file in shared}
    studies = caller.search("/studies")
    expect(len(studies) == 1, f"{caller.name} finds one study, not {len(studies)}")
    counts = (_value(studies[0], "0020000D"), _value(studies[0], "00201206"), _value(studies[0], "00201208"))
    expect(counts == (study, 1, len(shared)), f"{caller.name} sees 1 series of {len(shared)} instances, not {counts}")
    expect(studies[0]["00080061"]["Value"] == ["MR"], f"{caller.name} sees the modality of that series")
    series = [_value(item, "0020000E") for item in caller.search(f"/studies/{study}/series")]
    expect(series == [shared[0].series], f"{caller.name} finds that series alone, not {series}")
    for path in (f"/studies/{study}/instances", f"{shared[0].series_path}/instances"):
        found = {_value(item, "00080018") for item in caller.search(path)}
        expect(found == instances, f"{caller.name} finds that series's instances alone at {path}")
    for path in (f"/studies/{study}/metadata", f"{shared[0].series_path}/metadata"):
        metadata = caller.call("GET", path, status=200, accept="application/dicom+json").json()
        expect(
            {_value(item, "00080018") for item in metadata} == instances,
            f"{caller.name} gets that series's metadata alone at {path}",
        )
    for file in scene.data.withheld:
        expect(
            caller.search(f"{file.series_path}/instances") == [], f"{caller.name} finds no other series's instances"
        )
        for path in (file.series_path, f"{file.series_path}/metadata", file.path, f"{file.path}/frames/1"):
            caller.call("GET", path, status=404)
        mixed = file.path.replace(file.series, shared[0].series)
        caller.call("GET", mixed, status=404)


def _reads_parts_of_an_instance(scene: Scene) -> None:
    bob, file = scene.bob, scene.data.shared[0]
    (frame,) = parts_of(bob.call("GET", f"{file.path}/frames/1", status=200, accept=_OCTETS))
    expect(frame[1] == file.pixel_data, "bob reads a frame's pixels")
    (metadata,) = bob.call("GET", f"{file.path}/metadata", status=200, accept="application/dicom+json").json()
    uri = metadata[_PIXEL_DATA]["BulkDataURI"]
    expect(uri.startswith(f"{scene.api}{file.path}/"), f"the bulk data's address is ours, not {uri}")
    (bulk,) = parts_of(bob.call("GET", uri, status=200, accept=_OCTETS))
    expect(bulk[1] == file.pixel_data, "bob reads the pixels as bulk data")
    scene.carol.call("GET", uri, status=404)


def _urls_lead_back(callers: tuple[Caller, ...]) -> None:
    """Expect the addresses in answers to lead back to where they were asked for: only the link's hold its token."""
    for caller in callers:
        (study,) = caller.search("/studies")
        (series,) = caller.search(f"/studies/{_value(study, '0020000D')}/series")
        address = _value(series, "00081190")
        expect(address.startswith(f"{caller.root}/studies/"), f"{caller.name} gets addresses below its own root")
        expect(len(caller.retrieve(address)) > 0, f"{caller.name} follows the address")


def _value(dataset: dict[str, Any], tag: str) -> Any:
    return dataset[tag]["Value"][0]
