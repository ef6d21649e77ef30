"""Steps 8 and 9: storing what one may not, storing again, and bad input."""

import json
import socket
import time
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from local.smoke.caller import Answer, StepError, StowAnswer, expect, multipart, within_five_seconds
from local.smoke.dicom_files import DicomFile, new_uid
from local.smoke.scene import Scene

__all__ = ["bad_input_is_refused", "cut_off_upload_leaves_nothing", "nobody_adds_or_replaces"]

_NOT_AUTHORIZED: Final = 0x0124
_DUPLICATE: Final = 0x0111
_AT_ONCE: Final = 0.5
"""Seconds that a cut-off upload is given to arrive before it is cut."""


def nobody_adds_or_replaces(scene: Scene) -> None:
    """Carol adds nothing to what she does not hold, and nothing that is stored is ever replaced."""
    before = _everything_of_alice(scene)
    hers, sample = scene.data.shared[0], scene.data.withheld[0]
    orphan = sample.with_uids(study=new_uid(), series=new_uid(), instance=new_uid())
    scene.put_into_store(*multipart([orphan.body]))
    attempts = {
        "an instance into alice's series": hers.with_uids(instance=new_uid()),
        "a series into alice's study": hers.with_uids(series=new_uid(), instance=new_uid()),
        "alice's own file": hers,
        "a file of a series that only the store has": orphan,
        "another instance into a series that only the store has": orphan.with_uids(instance=new_uid()),
    }
    for what, file in attempts.items():
        answer = scene.carol.store([file])
        expect(
            answer.status == httpx.codes.CONFLICT and answer.failed == {file.instance: _NOT_AUTHORIZED},
            f"carol storing {what} is refused with 0x0124; the answer was {answer}",
        )
        scene.carol.call("GET", file.path, status=404)
    expect(scene.carol.search("/studies") == [], "carol finds nothing")
    expect(_everything_of_alice(scene) == before, "what carol tried changed nothing")

    scene.alice.store_whole(scene.data.everything)
    expect(_everything_of_alice(scene) == before, "storing the same files again changes nothing")
    answer = scene.alice.store([hers.with_changed_pixel()])
    expect(
        answer.status == httpx.codes.CONFLICT and answer.failed == {hers.instance: _DUPLICATE},
        f"other bytes under a stored UID are refused with 0x0111; the answer was {answer}",
    )
    expect(_everything_of_alice(scene) == before, "a refused replacement changes nothing")


def bad_input_is_refused(scene: Scene) -> None:
    """Bad parts and bad requests get clear errors, and the good parts of the same request are stored."""
    good = [_fresh(scene), _fresh(scene)]
    truncated = _fresh(scene).truncated()
    junk = b"This is no DICOM file. " * 40
    content_type, content = multipart([good[0].body, truncated.body, junk, good[1].body])
    answer = StowAnswer.of(_post(scene, content_type, content))
    expect(
        answer.status == httpx.codes.ACCEPTED and answer.stored == {file.instance for file in good},
        f"the good parts are stored and the answer is 202; it was {answer}",
    )
    expect(truncated.instance in answer.failed, f"the truncated file is in FailedSOPSequence; the answer was {answer}")
    expect(len(answer.others) == 1, f"the junk is in OtherFailuresSequence; the answer was {answer}")
    for file in good:
        expect(scene.alice.retrieve(file.path) == [file.body], "a good part is there")
    scene.alice.call("GET", truncated.path, status=404)
    expect(not scene.store_has(truncated), "the truncated file is not in the store")

    unused = _fresh(scene)
    content_type, content = multipart([unused.body])
    _problem(_post(scene, 'multipart/related; type="application/dicom"', content), 400)
    _problem(_post(scene, "text/plain", content), 415)
    _problem(_post(scene, content_type, content, path="/studies?album=ABCDEFGHIJ"), 404)
    _problem(scene.alice.call("GET", "/albums/ABCDEFGHIJ"), 404)
    _problem(scene.alice.call("PUT", f"{good[0].series_path}/albums/ABCDEFGHIJ"), 404)
    _problem(scene.alice.call("GET", "/studies?limit=many"), 400)
    expect(scene.catalog_rows(unused) == 0 and not scene.store_has(unused), "a refused request stores nothing")


def cut_off_upload_leaves_nothing(scene: Scene) -> None:
    """Cut a body off in mid-stream: complete parts stay, the cut one leaves nothing, and all can be sent again."""
    for cut in (_fresh(scene), _fresh(scene).enlarged()):
        complete = _fresh(scene)
        content_type, content = multipart([complete.body, cut.body])
        _send_and_cut(scene, content_type, content, keep=len(content) - len(cut.body) // 2)
        within_five_seconds(
            partial(_alice_reads, scene, complete),
            "the complete part of a cut-off upload is stored",
        )
        expect(scene.alice.retrieve(complete.path) == [complete.body], "the complete part is whole")
        within_five_seconds(
            partial(_is_nowhere, scene, cut),
            f"a cut part of {len(cut.body)} bytes leaves nothing in catalog and store",
        )
        scene.alice.call("GET", cut.path, status=404)
        scene.alice.store_whole([complete, cut])
        expect(scene.alice.retrieve(cut.path) == [cut.body], "the part is stored when it is sent again")


def _alice_reads(scene: Scene, file: DicomFile) -> bool:
    return scene.alice.call("GET", file.path).status_code == httpx.codes.OK


def _is_nowhere(scene: Scene, file: DicomFile) -> bool:
    return scene.catalog_rows(file) == 0 and not scene.store_has(file)


def _fresh(scene: Scene) -> DicomFile:
    return scene.data.withheld[0].with_uids(study=new_uid(), series=new_uid(), instance=new_uid())


def _everything_of_alice(scene: Scene) -> dict[str, Any]:
    """Return all that Alice sees: lists at each level, and bytes."""
    alice = scene.alice
    seen: dict[str, Any] = {"/studies": alice.search("/studies")}
    for study in sorted({file.study for file in scene.data.everything}):
        for path in (f"/studies/{study}/series", f"/studies/{study}/instances"):
            seen[path] = alice.search(path)
        seen[study] = sorted(alice.retrieve(f"/studies/{study}"))
    return seen


def _post(scene: Scene, content_type: str, content: bytes, *, path: str = "/studies") -> Answer:
    return scene.alice.call("POST", path, content=content, content_type=content_type, accept="application/dicom+json")


def _problem(answer: Answer, status: int) -> None:
    what = f"{answer.request.method} is answered {status} with a problem document (RFC 9457)"
    expect(answer.status_code == status, f"{what}, not {answer.status_code}: {answer.text[:400]}")
    expect(answer.headers["content-type"].startswith("application/problem+json"), f"{what}, not {answer.headers}")
    document = json.loads(answer.content)
    expect(document["title"] and document["status"] == status, f"{what}, not {document}")


def _send_and_cut(scene: Scene, content_type: str, content: bytes, *, keep: int) -> None:
    """Announce the whole content, send the first ``keep`` bytes of it, and close the connection."""
    address = urlsplit(scene.api)
    assert address.hostname is not None
    assert address.port is not None
    head = (
        f"POST {address.path}/studies HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Authorization: {scene.alice.http.headers['authorization']}\r\n"
        f"Content-Type: {content_type}\r\nAccept: application/dicom+json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(head.encode() + content[:keep])
        time.sleep(_AT_ONCE)
        connection.settimeout(0.01)
        try:
            early = connection.recv(4096)
        except TimeoutError:
            return
    raise StepError(f"an unfinished upload is not answered, yet it was: {early[:200]!r}")
