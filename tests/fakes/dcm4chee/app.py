"""The routes."""

import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kheops.dicomweb.multipart import MultipartReader, PartBegin, PartData, PartEnd, boundary_of
from kheops.errors import BadMultipartError
from local.healthcare_emulator.dicom_file import UnreadableFileError
from tests.fakes.dcm4chee import retrieving
from tests.fakes.dcm4chee.answers import RefusedError, as_json, text_error
from tests.fakes.dcm4chee.objects import AS_RECEIVED, Held, Holdings

__all__ = ["Dcm4cheeFake"]

_ENTITIES: Final = ("DCM4CHEE", AS_RECEIVED)
_ROUTE: Final = re.compile(
    r"/dcm4chee-arc/aets/(?P<aet>[^/]+)/rs"
    r"(?:/studies/(?P<study>[^/]+)(?:/series/(?P<series>[^/]+)(?:/instances/(?P<instance>[^/]+))?)?)?"
    r"(?P<rest>/.*)?"
)
_PURGE: Final = re.compile(r"/dcm4chee-arc/reject/([0-9]+)\^DCM")
_REJECT: Final = re.compile(r"/reject/([0-9]+)\^DCM")
_CODES: Final = {"113001", "113037", "113038", "113039"}
_SETTINGS: Final = {"limit", "offset", "orderby", "includefield", "includedefaults", "fuzzymatching", "accept"}
_LEVELS: Final = {"/studies": 1, "/series": 2, "/instances": 3}
"""Searches, and how many UIDs a result has."""
_UIDS: Final = {"StudyInstanceUID": "study", "SeriesInstanceUID": "series"}
_NAMES: Final = ("studies", "series", "instances")
_TAGS: Final = ("0020000D", "0020000E", "00080018")
_DICOM_JSON: Final = "application/dicom+json"
_CORS: Final = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}


class Dcm4cheeFake:
    """An ASGI application.

    Parameters
    ----------
    folder
        Where its files lie.
    cap
        Results of a search at most.
    """

    def __init__(self, folder: Path, *, cap: int = 1000) -> None:
        self._holdings = Holdings(folder)
        self._cap = cap

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = unquote((scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0])
        try:
            response = await self._answer(request, path)
        except BadMultipartError:
            response = text_error(RefusedError(HTTPStatus.BAD_REQUEST, "multipart"), path)
        except Exception as error:  # noqa: BLE001 - as the archive does
            response = text_error(error, ", ".join(each.patient_name for each in self._holdings))
        response.headers.update(_CORS)
        await response(scope, receive, send)

    async def _answer(self, request: Request, path: str) -> Response:
        if path == "/dcm4chee-arc/ctrl/status":
            return as_json({"status": "STARTED"}, media_type="application/json")
        purge = _PURGE.fullmatch(path)
        if purge is not None and request.method == "DELETE":
            return as_json({"deleted": self._holdings.purge(purge[1])}, media_type="application/json")
        match = _ROUTE.fullmatch(path)
        if match is None or match["aet"] not in _ENTITIES:
            raise RefusedError(HTTPStatus.NOT_FOUND, "No such Application Entity")
        routes: dict[str, Callable[[Request, re.Match[str]], Awaitable[Response]]] = {
            "GET": self._get,
            "POST": self._post,
            "DELETE": self._delete,
        }
        return await routes[request.method](request, match)

    def _found(self, match: re.Match[str]) -> list[Held]:
        return self._holdings.find(
            match["aet"],
            study=match["study"] or "*",
            series=match["series"] or "*",
            instances=[match["instance"] or "*"],
        )

    async def _get(self, request: Request, match: re.Match[str]) -> Response:
        rest = match["rest"] or ""
        base = f"http://{request.headers['host']}/dcm4chee-arc/aets/{match['aet']}/rs"
        if rest in _LEVELS:
            return self._search(request, match, base, _LEVELS[rest])
        found = self._found(match)
        if not found or match["study"] is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "No matches")
        accept = request.headers.get("accept", "*/*")
        frame = re.fullmatch(r"(?:/frames/([0-9]+))?/rendered", rest)
        if frame is not None:
            return retrieving.rendered(
                accept, dict(request.query_params), found[0], int(frame[1]) if frame[1] else None
            )
        if rest == "/metadata":
            if not any(each in accept for each in (_DICOM_JSON, "application/json", "*/*")):
                raise RefusedError(HTTPStatus.NOT_ACCEPTABLE, "Accept")
            return retrieving.metadata(match["aet"], found, base=base)
        if rest.startswith("/frames/"):
            return retrieving.frames(accept, found[0], rest.removeprefix("/frames/"), base=base)
        if rest.startswith("/bulkdata/"):
            return retrieving.bulkdata(accept, found[0], rest.removeprefix("/bulkdata/"), base=base)
        if rest:
            raise RefusedError(HTTPStatus.NOT_FOUND, "No such resource")
        return retrieving.objects(accept, match["aet"], found, base=base)

    def _search(self, request: Request, match: re.Match[str], base: str, level: int) -> Response:
        wanted: dict[str, str] = {"study": match["study"] or "*", "series": match["series"] or "*"}
        instances = ["*"]
        for name, value in request.query_params.multi_items():
            keyword = keyword_for_tag(name) if re.fullmatch(r"[0-9A-Fa-f]{8}", name) else name
            if name in _SETTINGS:
                continue
            if tag_for_keyword(keyword) is None:
                raise RefusedError(HTTPStatus.BAD_REQUEST, f"Invalid attribute {name}")
            if keyword in _UIDS:
                wanted[_UIDS[keyword]] = value
            elif keyword == "SOPInstanceUID":
                instances = value.split(",")
        held = self._holdings.find(match["aet"], study=wanted["study"], series=wanted["series"], instances=instances)
        found = list({(each.identity.study, each.identity.series, each.identity.instance)[:level] for each in held})
        found.sort(key=lambda uids: hashlib.sha256(uids[-1].encode()).digest())
        offset = _number(request.query_params.get("offset", "0"), least=0)
        limit = request.query_params.get("limit")
        page = found[offset:][: min(self._cap, self._cap if limit is None else _number(limit, least=1))]
        if not page:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        headers = {}
        if limit is None or int(limit) > self._cap:
            remaining = len(found) - offset - len(page)
            if remaining > 0:
                text = f"There are {remaining} additional results that can be requested"
                headers["Warning"] = f'299 {request.headers["host"]} "{text}"'
        return as_json([_row(each, base) for each in page], media_type=_DICOM_JSON, headers=headers)

    async def _post(self, request: Request, match: re.Match[str]) -> Response:
        rest = match["rest"] or ""
        rejection = _REJECT.fullmatch(rest)
        if rejection is not None:
            return self._reject(match, rejection[1])
        if rest != "/studies" and not (match["study"] and not rest):
            raise RefusedError(HTTPStatus.NOT_FOUND, "No such resource")
        return await self._store(request)

    def _reject(self, match: re.Match[str], code: str) -> Response:
        everything = self._holdings.find(
            AS_RECEIVED,
            study=match["study"] or "*",
            series=match["series"] or "*",
            instances=[match["instance"] or "*"],
        )
        if not everything or code not in _CODES:
            raise RefusedError(HTTPStatus.NOT_FOUND, "No matches or unknown code")
        left = [each for each in everything if each.rejected is None]
        if not left:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "already rejected")
        return as_json({"count": self._holdings.reject(left, code)}, media_type="application/json")

    async def _delete(self, request: Request, match: re.Match[str]) -> Response:
        if match["study"] is None or match["series"] is not None or match["rest"]:
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, request.method)
        found = self._holdings.find(AS_RECEIVED, study=match["study"], instances=["*"])
        if not found:
            raise RefusedError(HTTPStatus.NOT_FOUND, "No such study")
        if any(each.rejected is None for each in found):
            raise RefusedError(HTTPStatus.FORBIDDEN, "not completely rejected")
        self._holdings.delete(found)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _store(self, request: Request) -> Response:
        changes = {name: value for name, value in request.query_params.items() if tag_for_keyword(name) is not None}
        stored: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        reader = MultipartReader(boundary_of(request.headers["content-type"]))
        part = bytearray()
        async for chunk in request.stream():
            for event in reader.feed(chunk):
                match event:
                    case PartBegin():
                        part = bytearray()
                    case PartData(data):
                        part += data
                    case PartEnd():
                        self._keep(bytes(part), changes, stored, failed)
                    case _:
                        pass
        reader.close()
        answer = {}
        if failed:
            answer["00081198"] = {"vr": "SQ", "Value": failed}
        if stored:
            answer["00081199"] = {"vr": "SQ", "Value": stored}
        status = HTTPStatus.CONFLICT if not stored else HTTPStatus.ACCEPTED if failed else HTTPStatus.OK
        return as_json(answer, status=status, media_type=_DICOM_JSON)

    def _keep(
        self, body: bytes, changes: dict[str, str], stored: list[dict[str, Any]], failed: list[dict[str, Any]]
    ) -> None:
        try:
            identity, reason = self._holdings.add(body, changes)
        except UnreadableFileError:
            item = _reference("1.2.40.0.13.1.15.110.3.165.2", f"2.25.{uuid.uuid4().int}")
            failed.append({**item, "00081197": {"vr": "US", "Value": [0xC499]}})
            return
        item = _reference(identity.sop_class, identity.instance)
        if reason is None:
            stored.append(item)
        else:
            failed.append({**item, "00081197": {"vr": "US", "Value": [reason]}})


def _reference(sop_class: str, instance: str) -> dict[str, Any]:
    return {"00081150": {"vr": "UI", "Value": [sop_class]}, "00081155": {"vr": "UI", "Value": [instance]}}


def _row(uids: tuple[str, ...], base: str) -> dict[str, Any]:
    address = base + "".join(f"/{name}/{uid}" for name, uid in zip(_NAMES, uids, strict=False))
    row = {tag: {"vr": "UI", "Value": [uid]} for tag, uid in zip(_TAGS, uids, strict=False)}
    return {**row, "00081190": {"vr": "UR", "Value": [address]}}


def _number(text: str, *, least: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= 99_999:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "limit or offset")
    return int(text)
