"""The store's own addresses: made from typed references, and recognised in what the store says."""

from typing import Final
from urllib.parse import SplitResult, urlsplit

from kheops.dicomweb.resources import is_bulkdata_path
from kheops.domain.resources import InstanceRef, SeriesRef

__all__ = ["StoreAddresses"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class StoreAddresses:
    """Addresses below a store's DICOMweb root.

    Parameters
    ----------
    root
        The DICOMweb root, an absolute URL without query.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._parts = urlsplit(self.root)

    @property
    def studies(self) -> str:
        """Where to store and to search studies."""
        return f"{self.root}/studies"

    @property
    def instances(self) -> str:
        """Where to search instances of the whole store."""
        return f"{self.root}/instances"

    def series(self, ref: SeriesRef) -> str:
        """Return the address of a series."""
        return f"{self.root}/studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}"

    def instance(self, ref: InstanceRef) -> str:
        """Return the address of an instance."""
        return f"{self.series(ref.series)}/instances/{ref.sop_instance_uid}"

    def below_instance(self, ref: InstanceRef, uri: str) -> str | None:
        """Return the rest of ``uri`` below the instance, ``None`` if it is anywhere else or ill-formed."""
        try:
            parts = urlsplit(uri)
            same_origin = _origin(parts) == _origin(self._parts)
        except ValueError:
            return None
        if not same_origin or "?" in uri or "#" in uri or "@" in parts.netloc:
            return None
        prefix = urlsplit(self.instance(ref)).path + "/"
        if not parts.path.startswith(prefix):
            return None
        rest = parts.path[len(prefix) :]
        return rest if is_bulkdata_path(rest) else None


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
