"""The data plane: searches, retrieval, storing, and the sharing verbs below ``/studies``."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from kheops.dicomweb.resources import (
    Bulkdata,
    Comments,
    Favorites,
    Fetch,
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
    parse,
)
from kheops.domain.uses import Use, UseKind
from kheops.errors import MethodNotAllowedError, RouteNotFoundError
from kheops.web.authentication import authenticate
from kheops.web.call import AsgiResponse, Call, Handler
from kheops.web.declaration import Declaration
from kheops.web.dicomweb import (
    comments,
    favorites,
    fetch,
    metadata,
    ohif,
    rendered,
    retrieve,
    search,
    sharing,
    wado_uri,
)
from kheops.web.dicomweb.store import STORE, store
from kheops.web.dispatch import run

__all__ = ["BY_QUERY", "RELATIONAL_SEARCHES", "TABLE", "Verb", "dispatch"]


@dataclass(frozen=True, slots=True)
class Verb:
    """What one method does to one kind of resource."""

    handler: Callable[[Call, Any], Awaitable[AsgiResponse]]
    kind: UseKind
    """How the audit trail names a refusal of it."""
    declared: Declaration | None = None
    """What it takes and answers."""


async def _store(call: Call, resource: Studies | Study) -> AsgiResponse:
    return await store(call, resource.study_instance_uid if isinstance(resource, Study) else None)


_search = partial(Verb, kind=UseKind.SEARCH, declared=search.SEARCH)
_pixels = partial(Verb, kind=UseKind.READ_PIXELS)
_share = partial(Verb, kind=UseKind.SHARE)
_remove = partial(Verb, kind=UseKind.REMOVE)
_mark = partial(Verb, kind=UseKind.FAVORITE_CHANGED)
_stow = Verb(_store, UseKind.STORE, STORE)
_take = _share(sharing.put_into_inbox, declared=sharing.PUT_INTO_INBOX)
_drop = _remove(sharing.remove_from_inbox, declared=sharing.REMOVE_FROM_INBOX)

TABLE: Final[Mapping[type[Resource], Mapping[str, Verb]]] = {
    Studies: {"GET": _search(search.search_studies, declared=search.SEARCH_STUDIES), "POST": _stow},
    SeriesOf: {"GET": _search(search.search_series, declared=search.SEARCH_SERIES)},
    InstancesOf: {"GET": _search(search.search_instances)},
    Study: {
        "GET": _pixels(retrieve.retrieve_study, declared=retrieve.SEVERAL),
        "POST": _stow,
        "PUT": _take,
        "DELETE": _drop,
    },
    Series: {
        "GET": _pixels(retrieve.retrieve_series, declared=retrieve.SEVERAL),
        "PUT": _take,
        "DELETE": _drop,
    },
    SopInstance: {"GET": _pixels(retrieve.retrieve_instance, declared=retrieve.INSTANCE)},
    Frames: {"GET": _pixels(retrieve.retrieve_frames, declared=retrieve.FRAMES)},
    Bulkdata: {"GET": _pixels(retrieve.retrieve_bulkdata, declared=retrieve.BULKDATA)},
    Rendered: {"GET": _pixels(rendered.retrieve_rendered, declared=rendered.RENDERED)},
    Thumbnail: {"GET": _pixels(rendered.retrieve_thumbnail, declared=rendered.THUMBNAIL)},
    Metadata: {"GET": Verb(metadata.retrieve_metadata, UseKind.READ_METADATA, metadata.RETRIEVE)},
    OhifMetadata: {"GET": Verb(ohif.ohif_metadata, UseKind.SEARCH, ohif.OHIF)},
    Favorites: {
        "PUT": _mark(favorites.mark_favorite, declared=favorites.MARK),
        "DELETE": _mark(favorites.unmark_favorite, declared=favorites.UNMARK),
    },
    Comments: {
        "GET": Verb(comments.list_comments, UseKind.COMMENT_READ, comments.LIST),
        "POST": Verb(comments.comment_on_study, UseKind.COMMENT_WRITTEN, comments.WRITE),
    },
    InAlbum: {
        "PUT": _share(sharing.put_into_album, declared=sharing.PUT_INTO_ALBUM),
        "DELETE": _remove(sharing.remove_from_album, declared=sharing.REMOVE_FROM_ALBUM),
    },
    Fetch: {"POST": Verb(fetch.fetch, UseKind.SEARCH, fetch.FETCH)},
    OfUser: {"PUT": _share(sharing.send_to_user, declared=sharing.SEND_TO_USER)},
}
"""What can be done to what; anything else does not exist. A resource with GET answers HEAD as well."""

RELATIONAL_SEARCHES: Final[Mapping[str, Handler]] = {
    "/series": search.search_all_series,
    "/instances": search.search_all_instances,
}
"""Searches below no study (PS3.18 section 10.6.1.1.1); they promise what the others do."""

BY_QUERY: Final[Mapping[str, Declaration]] = {
    "/series": search.SEARCH_SERIES,
    "/instances": search.SEARCH,
    wado_uri.PATH: wado_uri.WADO,
}
"""All paths with GET that name no resource, with what they promise."""


async def dispatch(call: Call) -> AsgiResponse:
    """Find what answers ``call``, identify the caller, and run it.

    Raises
    ------
    RouteNotFoundError
        If no resource of the data plane has this path.
    MethodNotAllowedError
        If one has, but not with this method.
    UnauthenticatedError
        If the caller has no good credential.
    """
    if not call.below_api:
        raise RouteNotFoundError
    relational = RELATIONAL_SEARCHES.get(call.path)
    if relational is not None:
        _method(call.method, frozenset({"GET"}))
        call.template = call.path
        await authenticate(call)
        return await run(call, relational, call.use(UseKind.SEARCH))
    if call.path == wado_uri.PATH:
        return await _by_uri(call)
    resource = parse(call.path)
    verbs = None if resource is None else TABLE.get(type(resource))
    if resource is None or verbs is None:
        raise RouteNotFoundError
    verb = verbs[_method(call.method, frozenset(verbs))]
    call.declared = verb.declared
    call.resource = resource
    await authenticate(call)

    async def handle(call: Call) -> AsgiResponse:
        return await verb.handler(call, resource)

    return await run(call, handle, lambda: _asked(call.use(verb.kind), resource))


async def _by_uri(call: Call) -> AsgiResponse:
    _method(call.method, frozenset({"GET"}))
    call.declared = wado_uri.WADO
    call.template = wado_uri.PATH
    await authenticate(call)
    request = wado_uri.read_request(call)

    async def handle(call: Call) -> AsgiResponse:
        return await wado_uri.wado(call, request)

    return await run(call, handle, lambda: _asked(call.use(UseKind.READ_PIXELS), request.instance))


def _method(method: str, known: frozenset[str]) -> str:
    """Return under which method the table has ``method``."""
    effective = "GET" if method == "HEAD" else method
    if effective not in known:
        allowed = known | ({"HEAD"} if "GET" in known else frozenset())
        raise MethodNotAllowedError(allowed)
    return effective


def _asked(use: Use, resource: Resource) -> Use:
    """Return ``use`` with the UIDs that the path names, whether they exist or not."""
    match resource:
        case Study(study):
            return replace(use, studies=(study,))
        case Series(study, series):
            return replace(use, studies=(study,), series=(series,))
        case SopInstance(study, series, instance):
            return replace(use, studies=(study,), series=(series,), instances=(instance,))
        case SeriesOf(study) | OhifMetadata(study) | Comments(study) | Fetch(study):
            return _asked(use, study)
        case InstancesOf(of) | Metadata(of) | Rendered(of) | Thumbnail(of) | OfUser(of, _) | Favorites(of):
            return _asked(use, of)
        case InAlbum(of, album):
            return replace(_asked(use, of), subject=album)
        case Frames(instance, _) | Bulkdata(instance, _):
            return _asked(use, instance)
        case _:
            return use
