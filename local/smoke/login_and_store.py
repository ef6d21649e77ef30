"""Steps 1 to 3: log in, store, find; and to everybody else it is as if nothing were there."""

import base64
import json
from itertools import product
from typing import Any, Final

from local.smoke.caller import Answer, Caller, StepError, expect
from local.smoke.dicom_files import DicomFile, new_uid
from local.smoke.scene import Scene

__all__ = ["alice_finds_and_bob_does_not", "alice_stores", "log_in"]

_METHODS: Final = ("GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS")
_VARYING_HEADERS: Final = frozenset({"date", "x-request-id"})

_STUDY_PATHS: Final = ("", "/metadata", "/series", "/instances", "/users/{user}", "/albums/{album}", "/favorites")
_STUDY_QUERIES: Final = ("?inbox=true", "/users/{user}?inbox=true", "/albums/{album}?inbox=true", "?album={album}")
_SERIES_PATHS: Final = ("", "/metadata", "/instances", "/thumbnail", "/users/{user}", "/albums/{album}", "/favorites")
_INSTANCE_PATHS: Final = ("", "/metadata", "/frames/1", "/bulkdata/7fe00010", "/rendered", "/thumbnail")


def log_in(scene: Scene) -> None:
    """Alice, Bob and Carol log in by code and PKCE at the provider, and the API knows them."""
    for name in ("alice", "bob", "carol"):
        token = scene.stack.access_token(name)
        scene.callers[name] = scene.with_token(name, token)
        person = scene.callers[name].call("POST", "/register", form={"access_token": token}, status=200).json()
        registered = (person["sub"], person["email"])
        expect(registered == (_subject(token), scene.email(name)), f"{name} is registered, not as {person}")
        inbox = scene.callers[name].call("GET", "/inboxinfo", status=200).json()
        expect(inbox["number_of_series"] == 0, f"{name}'s inbox is empty, not {inbox}")
    anonymous = Caller("anonymous", scene.api)
    refused = anonymous.call("GET", "/studies", status=401)
    expect("bearer" in refused.headers["www-authenticate"].lower(), "401 comes with a challenge")
    Caller.with_bearer("somebody with a made-up token", scene.api, "x" * 22).call("GET", "/studies", status=401)


def _subject(token: str) -> str:
    """Return whom the provider's token is about; canaille's subjects are user names, Keycloak's are not."""
    claims = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"])


def alice_stores(scene: Scene) -> None:
    """Alice stores a study of three series in one request, and four studies of one file each."""
    scene.alice.store_whole(scene.data.multi_series)
    for file in scene.data.singles:
        scene.alice.store_whole([file], f"/studies/{file.study}")


def alice_finds_and_bob_does_not(scene: Scene) -> None:
    """Alice finds everything at every level; each UID answers Bob as a UID never used does."""
    _alice_finds(scene)
    for path in ("/studies", f"/studies/{scene.data.multi_frame.study}/series"):
        expect(scene.bob.search(path) == [], f"bob finds nothing at {path}")
    _hidden_is_absent(scene)


def _alice_finds(scene: Scene) -> None:
    data, alice = scene.data, scene.alice
    studies = alice.search("/studies")
    expect(
        {_value(study, "0020000D") for study in studies} == {file.study for file in data.everything},
        f"alice finds her {1 + len(data.singles)} studies, not {len(studies)}",
    )
    study = data.multi_series[0].study
    (found,) = alice.search("/studies", {"StudyInstanceUID": study})
    counts = (_value(found, "00201206"), _value(found, "00201208"), found["00080061"]["Value"])
    expect(counts == (3, 11, ["MR"]), f"the study has 3 series, 11 instances and modality MR, not {counts}")
    expect(len(alice.search(f"/studies/{study}/series")) == 3, "alice finds three series")
    expect(len(alice.search(f"/studies/{study}/instances")) == 11, "alice finds eleven instances of the study")
    expect(len(alice.search(f"{data.shared[0].series_path}/instances")) == 7, "alice finds a series's instances")
    (named,) = alice.search("/studies", {"PatientName": "Yamada*"})
    names = named["00100010"]["Value"][0]
    expect(
        names
        == dict(zip(("Alphabetic", "Ideographic", "Phonetic"), data.japanese.patient_name.split("="), strict=True)),
        f"the Japanese name comes in its three forms, not {names}",
    )
    expect(alice.search("/studies", {"PatientName": "Nobody*"}) == [], "a name that nobody has finds nothing")


def _hidden_is_absent(scene: Scene) -> None:
    album = scene.bob.call("POST", "/albums", form={"name": "Bob's own"}, status=201).json()["album_id"]
    absent = (new_uid(), new_uid(), new_uid())
    expected: dict[tuple[str, str], tuple[Any, ...]] = {}
    asked: set[tuple[str, str]] = set()
    for file in scene.data.everything:
        hidden = _requests(file.study, file.series, file.instance, album)
        for name, ask in hidden.items():
            # Files of one study have its requests in common.
            if ask in asked:
                continue
            asked.add(ask)
            if name not in expected:
                expected[name] = _comparable(scene.bob.call(*_requests(*absent, album)[name]))
            seen = _comparable(scene.bob.call(*ask))
            if seen != expected[name]:
                raise StepError(
                    f"a hidden UID answers bob as an absent one at {' '.join(name)}:\n"
                    f"    hidden: {seen}\n    absent: {expected[name]}"
                )
    for (method, path), (status, _, _) in expected.items():
        writes_nothing = status >= 400 or method in {"GET", "HEAD", "OPTIONS"}
        expect(writes_nothing, f"{method} {path} on an absent UID is refused, not answered {status}")
    expect(scene.bob.search("/studies") == [], "bob still finds nothing")
    scene.bob.call("DELETE", f"/albums/{album}", status=204)
    _undamaged(scene.alice, scene.data.everything)


def _requests(study: str, series: str, instance: str, album: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Return method and path of every request about a study, a series and an instance, by a name without UIDs."""
    fill = {"user": "bob@example.org", "album": album}
    templates = [
        *(f"/studies/{{study}}{path.format(**fill)}" for path in (*_STUDY_PATHS, *_STUDY_QUERIES)),
        *(f"/studies/{{study}}/series/{{series}}{path.format(**fill)}" for path in _SERIES_PATHS),
        *(f"/studies/{{study}}/series/{{series}}/instances/{{instance}}{path}" for path in _INSTANCE_PATHS),
        "/studies?StudyInstanceUID={study}",
        "/studies/{study}/series?SeriesInstanceUID={series}",
        "/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}",
    ]
    uids = {"study": study, "series": series, "instance": instance}
    # What storing says to somebody who knows a UID is step 8's, and the one thing that differs (design 5.3).
    storing = ("POST", "/studies/{study}")
    return {
        (method, template): (method, template.format(**uids))
        for method, template in product(_METHODS, templates)
        if (method, template.partition("?")[0]) != storing
    }


def _comparable(answer: Answer) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    headers = sorted((name, value) for name, value in answer.headers.multi_items() if name not in _VARYING_HEADERS)
    return answer.status_code, tuple(headers), answer.content


def _undamaged(alice: Caller, files: tuple[DicomFile, ...]) -> None:
    for file in files:
        expect(alice.retrieve(file.path) == [file.body], "what others tried leaves alice's files as they are")


def _value(dataset: dict[str, Any], tag: str) -> Any:
    return dataset[tag]["Value"][0]
