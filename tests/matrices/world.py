"""The world of the permission matrix: everything twice, as data.

Nothing here decides. Who may do what stands in `tests.matrices.permissions`, and the two runners build this world each
in its own way: as facts for the policy, and over HTTP.
"""

from dataclasses import dataclass
from typing import Final

from kheops.domain.principals import CapabilityPermissions
from kheops.domain.resources import AlbumFlags

__all__ = [
    "ALBUMS",
    "CREDENTIALS",
    "PEOPLE",
    "RECEIVER",
    "SERIES",
    "SUSPENDED",
    "AlbumInWorld",
    "Credential",
    "Login",
    "Nobody",
    "Report",
    "SeriesInWorld",
    "Token",
    "Viewer",
    "Visit",
    "permissions_of",
    "series_of",
    "stands",
]

PEOPLE: Final = ("alice", "ada", "mia", "dora", "bob", "max", "olga", "sam", "tom", "gina", "gil", "gwen")
"""alice and bob own things, ada administers album 1 too, mia and max are plain members, dora is one who was an
administrator, olga is in nothing, sam is suspended, tom is sent things.
gina is in album 1 by a group and gil in album 2; gwen presents groups that are in neither."""
RECEIVER: Final = "tom"
SUSPENDED: Final = frozenset({"sam"})


@dataclass(frozen=True, slots=True)
class AlbumInWorld:
    """An album and who is in it."""

    flags: AlbumFlags
    admins: tuple[str, ...]
    members: tuple[str, ...]
    groups: tuple[str, ...]


ALBUMS: Final = {
    "album 1": AlbumInWorld(AlbumFlags(), ("alice", "ada"), ("mia", "dora", "sam"), ("radiology", "surgery")),
    "album 2": AlbumInWorld(
        AlbumFlags(send_series=False, add_series=False, delete_series=True, download_series=False),
        ("bob",),
        ("max",),
        ("cardiology",),
    ),
}
"""Album 1 has KHEOPS's defaults; in album 2 each flag that bears on series is turned over."""


@dataclass(frozen=True, slots=True)
class SeriesInWorld:
    """A series: of which study, created by whose upload, held by whose inboxes and which albums."""

    study: str
    modality: str
    """Each series has its own, so that a study's ModalitiesInStudy tells which of its series were counted."""
    origin: str | None
    """A person, or an album; ``None`` for what is not on record."""
    inboxes: tuple[str, ...] = ()
    albums: tuple[str, ...] = ()


SERIES: Final = {
    "1-shared": SeriesInWorld("study 1", "CT", "alice", ("alice",), ("album 1",)),
    "1-kept": SeriesInWorld("study 1", "MR", "alice", ("alice",)),
    "2-shared": SeriesInWorld("study 2", "US", "bob", ("bob",), ("album 2",)),
    "2-kept": SeriesInWorld("study 2", "NM", "bob", ("bob",)),
    "common": SeriesInWorld("study 3", "XA", "alice", ("alice",), ("album 1", "album 2")),
    "1-uploaded": SeriesInWorld("study 4", "PT", "album 1", (), ("album 1",)),
    "2-uploaded": SeriesInWorld("study 5", "CR", "album 2", (), ("album 2",)),
    "orphan": SeriesInWorld("study 6", "DX", "alice"),
    "unused": SeriesInWorld("study 7", "OT", None),
}
"""``kept`` is what its owner shares with nobody. The orphan was alice's. What is unused was never stored."""


def series_of(study: str) -> list[str]:
    """Return the names of a study's series."""
    return [name for name, series in SERIES.items() if series.study == study]


@dataclass(frozen=True, slots=True)
class Nobody:
    """No credential at all."""


@dataclass(frozen=True, slots=True)
class Login:
    """An access token of the provider."""

    person: str
    is_expired: bool = False
    is_forged: bool = False
    """Whether its signature is another's."""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """A capability token."""

    maker: str
    letters: str
    """Of ``r`` (read), ``w`` (write), ``a`` (appropriate) and ``d`` (download)."""
    album: str | None = None
    """``None`` for user scope."""
    is_expired: bool = False
    is_early: bool = False
    """Whether it is not valid yet."""
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class Viewer:
    """A viewer token."""

    parent: str
    """The credential that it was made from."""
    study: str
    source: str | None
    """An album, or ``inbox``; ``None`` for wherever the parent has the study."""
    letters: str
    """Of ``r`` (read) and ``w`` (write)."""
    is_expired: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A report token, of whoever handed the studies to a provider of the album."""

    person: str
    album: str
    studies: tuple[str, ...]
    is_expired: bool = False


@dataclass(frozen=True, slots=True)
class Visit:
    """What somebody has who opened a link, before it ended."""

    maker: str
    album: str | None = None
    series: tuple[str, ...] = ()
    """The selection of a link that shows no album."""
    downloads: bool = False
    """Whether the link is not for viewing only."""
    is_expired: bool = False
    is_revoked: bool = False
    is_used_up: bool = False
    """Whether it opens no more; who is inside stays."""


Credential = Nobody | Login | Token | Viewer | Report | Visit


CREDENTIALS: Final[dict[str, Credential]] = {
    **{name: Login(name) for name in ("alice", "ada", "mia", "dora", "bob", "max", "olga")},
    "gina": Login("gina", groups=("anaesthesia", "radiology", "surgery")),
    "gil": Login("gil", groups=("cardiology",)),
    "gwen": Login("gwen", groups=("radio", "Radiology")),
    "u.none": Token("alice", ""),
    **{f"u.{letters}": Token("alice", letters) for letters in ("r", "w", "rw", "rwa")},
    "b.rw": Token("bob", "rw"),
    "m.rwa": Token("mia", "rwa"),
    **{f"1.{letters}": Token("alice", letters, "album 1") for letters in ("r", "w", "ra", "rd", "rwa")},
    **{f"2.{letters}": Token("bob", letters, "album 2") for letters in ("r", "w", "ra", "rd", "rwa")},
    "nobody": Nobody(),
    "forged": Login("alice", is_forged=True),
    "outdated": Login("alice", is_expired=True),
    "1.expired": Token("alice", "rwa", "album 1", is_expired=True),
    "1.revoked": Token("alice", "rwa", "album 1", is_revoked=True),
    "1.early": Token("alice", "rwa", "album 1", is_early=True),
    "1.demoted": Token("dora", "rwa", "album 1"),
    "u.expired": Token("alice", "rwa", is_expired=True),
    "u.revoked": Token("alice", "rwa", is_revoked=True),
    "sam": Login("sam"),
    "s.rwa": Token("sam", "rwa"),
    "v.all": Viewer("alice", "study 1", None, "rw"),
    "v.inbox": Viewer("alice", "study 1", "inbox", "r"),
    "v.1": Viewer("mia", "study 3", "album 1", "rw"),
    "v.2": Viewer("max", "study 3", "album 2", "r"),
    "v.group": Viewer("gina", "study 1", None, "r"),
    "v.token": Viewer("1.rd", "study 3", None, "r"),
    "v.read": Viewer("1.r", "study 3", None, "r"),
    "r.1": Report("mia", "album 1", ("study 1", "study 3")),
    "l.1": Visit("alice", album="album 1"),
    "l.1d": Visit("alice", album="album 1", downloads=True),
    "l.s": Visit("alice", series=("1-shared", "common")),
    "l.sd": Visit("alice", series=("1-shared", "common"), downloads=True),
    "l.used": Visit("alice", series=("1-shared", "common"), is_used_up=True),
    "v.expired": Viewer("alice", "study 1", None, "rw", is_expired=True),
    "v.sam": Viewer("sam", "study 1", "album 1", "rw"),
    "r.expired": Report("mia", "album 1", ("study 1",), is_expired=True),
    "r.sam": Report("sam", "album 1", ("study 1",)),
    "l.expired": Visit("alice", album="album 1", downloads=True, is_expired=True),
    "l.revoked": Visit("alice", series=("1-shared",), downloads=True, is_revoked=True),
    "l.sam": Visit("sam", series=("1-shared",), downloads=True),
}
"""Whatever a request may come with. Tokens of user scope: ``u`` alice's, ``b`` bob's, ``m`` mia's, ``s`` sam's; tokens
of album scope by the album's number; then the letters of what they may do. ``v`` are viewer tokens by their source,
``r`` report tokens, and ``l`` visits by links to an album or a selection, with ``d`` for downloading, too."""


def stands(credential: Credential) -> bool:
    """Return whether a credential is anybody's: in its time, not revoked, and its person stands behind it."""
    match credential:
        case Nobody():
            return False
        case Login(person, is_expired, is_forged):
            return not (is_expired or is_forged or person in SUSPENDED)
        case Token(maker, _, album, is_expired, is_early, is_revoked):
            administers = album is None or maker in ALBUMS[album].admins
            return administers and not (is_expired or is_early or is_revoked or maker in SUSPENDED)
        case Viewer():
            return not credential.is_expired and stands(CREDENTIALS[credential.parent])
        case Report():
            return not credential.is_expired and credential.person not in SUSPENDED
        case Visit():
            return not (credential.is_expired or credential.is_revoked or credential.maker in SUSPENDED)


def permissions_of(letters: str) -> CapabilityPermissions:
    """Return the permissions that letters stand for."""
    return CapabilityPermissions(
        read="r" in letters, write="w" in letters, appropriate="a" in letters, download="d" in letters
    )
