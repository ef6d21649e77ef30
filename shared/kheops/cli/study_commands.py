"""``studies``, ``upload`` and ``download``."""

from pathlib import Path
from typing import Annotated, Final

import typer

from kheops.cli import references
from kheops.cli.attributes import plain
from kheops.cli.connection import AsJson, Server, TokenFile, connect
from kheops.cli.dicom_folder import find_dicom
from kheops.cli.download import download as run_download
from kheops.cli.download import objects_of
from kheops.cli.failure import CommandError, ExitCode
from kheops.cli.output import count, print_json, print_table, printable, say
from kheops.cli.progress import Progress
from kheops.cli.upload import upload as run_upload

__all__ = ["download", "studies", "upload"]

_COLUMNS: Final = {
    "StudyDate": "DATE",
    "PatientName": "PATIENT",
    "PatientID": "ID",
    "ModalitiesInStudy": "MODALITIES",
    "StudyDescription": "DESCRIPTION",
    "NumberOfStudyRelatedSeries": "SERIES",
    "NumberOfStudyRelatedInstances": "OBJECTS",
    "StudyInstanceUID": "STUDY",
}
_OWN_KEYS: Final = frozenset({"limit", "offset", "album", "inbox", "includefield", "fuzzymatching"})

Album = Annotated[str | None, typer.Option("--album", metavar="ID", help="An album.")]
Inbox = Annotated[bool, typer.Option("--inbox", help="The own inbox.")]
Parallel = Annotated[int, typer.Option("--parallel", min=1, max=16, help="How many requests run at once.")]


def studies(
    *,
    patient_name: Annotated[str | None, typer.Option(metavar="NAME", help="With * and ? for any characters.")] = None,
    patient_id: Annotated[str | None, typer.Option(metavar="ID")] = None,
    date: Annotated[str | None, typer.Option(metavar="DATE", help="Such as 20260131, or a range 20260101-.")] = None,
    modality: Annotated[str | None, typer.Option(metavar="CODE", help="That a series has, such as CT.")] = None,
    accession: Annotated[str | None, typer.Option(metavar="NUMBER")] = None,
    study: Annotated[str | None, typer.Option(metavar="UID")] = None,
    key: Annotated[
        list[str] | None, typer.Option(metavar="KEYWORD=VALUE", help="Any other attribute; may be repeated.")
    ] = None,
    album: Album = None,
    inbox: Inbox = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="How many are passed over.")] = 0,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """List the studies that you may see."""
    named = {
        "PatientName": patient_name,
        "PatientID": patient_id,
        "StudyDate": None if date is None else references.dates(date),
        "ModalitiesInStudy": modality,
        "AccessionNumber": accession,
        "StudyInstanceUID": None if study is None else references.study(study),
    }
    query = [(name, value) for name, value in named.items() if value is not None]
    query += [*map(_key, key or ()), *_source(album, inbox=inbox)]
    with connect(server, token_file) as api:
        found = [plain(each) for each in api.listed("/studies", query, most=limit, offset=offset)]
    if as_json:
        print_json(found)
    else:
        print_table(_COLUMNS, found)


def upload(
    *,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, and folders with all below them.")],
    album: Album = None,
    parallel: Parallel = 4,
    send_all: Annotated[
        bool, typer.Option("--all", help="Send also what is there already, to learn whether its bytes are the same.")
    ] = False,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Store DICOM files in your inbox, or in an album.

    The same command goes on after an interruption: what is there already is not sent again. Files that are no DICOM
    files are passed over.
    """
    target = None if album is None else references.album(album)
    found = find_dicom(paths)
    with connect(server, token_file) as api:
        total = sum(file.size for file in found.files)
        try:
            with Progress("Uploading", files=len(found.files), size=total) as progress:
                result = run_upload(
                    api,
                    found.files,
                    album=target,
                    parallel=parallel,
                    send_all=send_all,
                    done=lambda files, size: progress.add(files=files, size=size),
                )
        except KeyboardInterrupt:
            raise _interrupted() from None
    failed = {**found.unreadable, **result.failed}
    if as_json:
        print_json(
            {
                "stored": result.stored,
                "there": result.there,
                "copies": found.copies,
                "not_dicom": found.others,
                "failed": [{"file": str(path), "reason": why} for path, why in failed.items()],
            }
        )
    else:
        _tell_failed(failed)
        typer.echo(f"{count(result.stored, 'file')} stored, {result.there} there already, {len(failed)} failed.")
        if found.others or found.copies:
            say(f"Passed over: {count(found.others, 'other file')}, {count(found.copies, 'copy', 'copies')}.")
    if failed:
        raise typer.Exit(ExitCode.NOT_DONE)


def download(
    *,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; it is made.")],
    study: Annotated[str | None, typer.Option(metavar="UID", help="A study.")] = None,
    series: Annotated[str | None, typer.Option(metavar="UID", help="A series of it.")] = None,
    album: Album = None,
    inbox: Inbox = False,
    parallel: Parallel = 4,
    server: Server = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Retrieve a series, a study, an album or the inbox as DICOM files.

    Each file is checked to its last byte, and SHA256SUMS lists them all. The same command goes on after an
    interruption, and takes nothing again that is there unchanged.
    """
    if study is None and (series is not None or (album is None and not inbox)):
        raise CommandError(
            "Say what: `--study`, with `--series` if you like, or `--album`, or `--inbox`.", code=ExitCode.WRONG_USE
        )
    which_study = None if study is None else references.study(study)
    which_series = None if series is None else references.series(series)
    source = _source(album, inbox=inbox)
    with connect(server, token_file) as api:
        try:
            wanted = list(objects_of(api, study=which_study, series=which_series, source=source))
            if not wanted:
                raise CommandError("There is nothing there that you may see.", code=ExitCode.REFUSED)
            with Progress("Downloading", files=len(wanted)) as progress:
                result = run_download(
                    api,
                    wanted,
                    folder,
                    parallel=parallel,
                    done=lambda files, size: progress.add(files=files, size=size),
                )
        except KeyboardInterrupt:
            raise _interrupted() from None
    if as_json:
        failed = [{"file": path.as_posix(), "reason": why} for path, why in result.failed.items()]
        print_json({"retrieved": result.retrieved, "there": result.there, "failed": failed})
    else:
        _tell_failed(result.failed)
        typer.echo(
            f"{count(result.retrieved, 'file')} retrieved, {result.there} there already, {len(result.failed)} failed."
        )
    if result.failed:
        raise typer.Exit(ExitCode.NOT_DONE)


def _source(album: str | None, *, inbox: bool) -> list[tuple[str, str]]:
    if album is not None and inbox:
        raise CommandError("`--album` and `--inbox` do not go together.", code=ExitCode.WRONG_USE)
    if album is not None:
        return [("album", references.album(album))]
    return [("inbox", "true")] if inbox else []


def _key(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name.isalnum() or name in _OWN_KEYS:
        raise CommandError(
            f"{text!r} is no key to search by: it is like StudyDescription=*head*.", code=ExitCode.WRONG_USE
        )
    return name, value


def _tell_failed(failed: dict[Path, str]) -> None:
    for path, why in failed.items():
        say(f"{printable(path)}: {why}")


def _interrupted() -> CommandError:
    return CommandError(
        "Interrupted. What is done stays done; the same command goes on from here.", code=ExitCode.INTERRUPTED
    )
