"""A standard DICOMweb server as the store; checked against Orthanc."""

import base64
from http import HTTPStatus
from typing import Final

import msgspec
from typing_extensions import override

from kheops.archive.addresses import StoreAddresses
from kheops.archive.client import ClientLimits, NoAuthorization, StoreClient
from kheops.archive.dicomweb_store import WHOLE, DicomwebStore, What, error_object
from kheops.archive.port import ArchiveAbsentError
from kheops.archive.request_body import Body
from kheops.dicomweb.rendering import RenderingName
from kheops.dicomweb.resources import is_bulkdata_path
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import ArchiveProtocolError, KheopsError

__all__ = ["BasicAuthorization", "DicomwebServer"]

_BULKDATA_ROOTS: Final = ("bulkdata/", "bulk/")
"""Where servers keep bulk data below an instance: most, and Orthanc."""
_ORTHANC_OUT_OF_RANGE: Final = 3
_ORTHANC_BAD_REQUEST: Final = 8


class BasicAuthorization:
    """HTTP Basic (RFC 7617) towards the store.

    Parameters
    ----------
    user, password
        Our account at the store.
    """

    def __init__(self, *, user: str, password: str) -> None:
        self._value = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    async def value(self) -> str | None:
        """Return the header's value."""
        return self._value

    def reject(self, value: str) -> bool:
        """Have nothing else to offer."""
        del value
        return False


class DicomwebServer(DicomwebStore):
    """A standard DICOMweb server.

    Parameters
    ----------
    root
        Its DICOMweb root: what stands before ``/studies``.
    authorization
        Our account there, if it asks for one.
    orthanc_url
        Root of Orthanc's own REST API, which shares host and account with its DICOMweb; needed to delete, since
        the standard has no way to.
    limits
        Bounds of the client.
    client
        Sends the requests; made from the others if not given.
    """

    def __init__(
        self,
        root: str,
        *,
        authorization: BasicAuthorization | None = None,
        orthanc_url: str | None = None,
        limits: ClientLimits | None = None,
        client: StoreClient | None = None,
    ) -> None:
        super().__init__(
            StoreAddresses(root),
            client or StoreClient(authorization or NoAuthorization(), limits=limits),
            single=frozenset(),
        )
        self._orthanc_url = None if orthanc_url is None else orthanc_url.rstrip("/")

    async def delete_instance(self, ref: InstanceRef) -> None:
        """Delete one instance through Orthanc's REST API; see `Archive.delete_instance`.

        Raises
        ------
        ArchiveProtocolError
            If the server is no Orthanc: how to delete from others is not known here.
        """
        await self._delete(
            "Instance",
            {
                "StudyInstanceUID": ref.study_instance_uid,
                "SeriesInstanceUID": ref.series_instance_uid,
                "SOPInstanceUID": ref.sop_instance_uid,
            },
        )

    async def delete_series(self, ref: SeriesRef) -> None:
        """Delete a series through Orthanc's REST API; see `Archive.delete_series`.

        Raises
        ------
        ArchiveProtocolError
            If the server is no Orthanc: how to delete from others is not known here.
        """
        await self._delete(
            "Series",
            {"StudyInstanceUID": ref.study_instance_uid, "SeriesInstanceUID": ref.series_instance_uid},
        )

    async def _delete(self, level: str, uids: dict[str, str]) -> None:
        if self._orthanc_url is None:
            raise ArchiveProtocolError("this store cannot delete: KHEOPS_ORTHANC_URL is not set")
        # Found by all UIDs of the object: a lookup by one would find the same instance below another series too.
        query = msgspec.json.encode({"Level": level, "Query": uids})
        answer, found = await self._client.ask(
            "POST",
            f"{self._orthanc_url}/tools/find",
            {"Accept": "application/json"},
            Body.of("application/json", query),
            wanted=WHOLE,
        )
        if answer.status != HTTPStatus.OK:
            raise await self._refused(answer, What.DELETION)
        try:
            identifiers = msgspec.json.decode(found, type=list[str])
        except msgspec.MsgspecError:
            raise ArchiveProtocolError("Orthanc's search answer cannot be read") from None
        for identifier in identifiers:
            if not identifier.replace("-", "").isalnum():
                raise ArchiveProtocolError("Orthanc's identifier is none")
            collection = "series" if level == "Series" else "instances"
            url = f"{self._orthanc_url}/{collection}/{identifier}"
            answer = await self._client.fetch("DELETE", url, {"Accept": "application/json"})
            if answer.status == HTTPStatus.OK:
                await answer.discard()
                continue
            error = await self._refused(answer, What.DELETION)
            if not isinstance(error, ArchiveAbsentError):
                raise error

    @property
    @override
    def renders(self) -> frozenset[RenderingName]:
        """What a standard server must know (PS3.18 table 8.3.5-1); Orthanc passes over the others silently."""
        return frozenset({RenderingName.VIEWPORT, RenderingName.WINDOW, RenderingName.QUALITY})

    @override
    def _bulkdata_below(self, path: str) -> str | None:
        return path if is_bulkdata_path(path) and path.startswith(_BULKDATA_ROOTS) else None

    @override
    def _bulkdata_public(self, below: str) -> str | None:
        return below if below.startswith(_BULKDATA_ROOTS) else None

    @override
    async def _meaning(self, status: int, body: bytes, what: What) -> KheopsError:
        if status == HTTPStatus.BAD_REQUEST:
            orthanc = error_object(body).get("OrthancStatus")
            if orthanc == _ORTHANC_OUT_OF_RANGE and what is What.FRAMES:
                return ArchiveAbsentError()
            if orthanc == _ORTHANC_BAD_REQUEST and what in {What.INSTANCE, What.SERIES, What.FRAMES}:
                return await super()._meaning(HTTPStatus.NOT_ACCEPTABLE, body, what)
        return await super()._meaning(status, body, what)
