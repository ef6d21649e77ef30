"""Folders that stand for Cloud Storage buckets."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from local.healthcare_emulator.google_errors import GoogleError

__all__ = ["Buckets", "bucket_of"]

_URI: Final = re.compile(r"gs://(?P<bucket>[^/]+)/(?P<object>.*)")


def bucket_of(text: str) -> tuple[str, Path]:
    """Return what ``NAME=FOLDER`` says; raise `ValueError` if it says nothing of that form."""
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise ValueError(text)
    return name, Path(folder).resolve()


class Buckets:
    """Buckets by name.

    Parameters
    ----------
    folders
        Where each lies.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    def matching(self, uri: str) -> Iterator[Path]:
        """Give the files that ``uri`` names: with ``*`` for anything but ``/``, and ``**`` at the end for anything.

        Raises
        ------
        GoogleError
            400 if it is no such URI, 403 if there is no such bucket.
        """
        folder, name = self._parts(uri)
        pattern = re.compile(
            "".join(
                ".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part)
                for part in re.split(r"(\*\*|\*)", name)
            )
        )
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        return (path for path in files if pattern.fullmatch(path.relative_to(folder).as_posix()))

    def place(self, prefix: str, name: str) -> Path:
        """Return where to write an object below a URI; raise `GoogleError` as `matching` does."""
        folder, below = self._parts(prefix)
        place = folder.joinpath(below, name)
        # A name that begins with a slash would be a path of its own.
        if ".." in place.parts or not place.is_relative_to(folder):
            raise GoogleError.bad_request("invalid Cloud Storage URI")
        return place

    def _parts(self, uri: str) -> tuple[Path, str]:
        match = _URI.fullmatch(uri)
        if match is None:
            raise GoogleError.bad_request("invalid Cloud Storage URI")
        folder = self._folders.get(match["bucket"])
        if folder is None:
            raise GoogleError.absent()
        return folder, match["object"]
