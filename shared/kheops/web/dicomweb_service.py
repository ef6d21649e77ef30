"""The data plane: searches, retrieval, storing, and the sharing verbs below ``/studies``."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from kheops.dicomweb.resources import (
    Bulkdata,
    Comments,
    Favorites,
    Frames,
    InAlbum,
    InstancesOf,
    Metadata,
    OfUser,
    OhifMetadata,
    Resource,
    Series,
    SeriesOf,
    SopInstance,
    Studies,
    Study,
    parse,
)
from kheops.domain.uses import Use, UseKind
from kheops.errors import MethodNotAllowedError, RouteNotFoundError
from kheops.web.authentication import authenticate
from kheops.web.call import AsgiResponse, Call, Handler
from kheops.web.dicomweb.comments import comment_on_study, list_comments
from kheops.web.dicomweb.favorites import mark_favorite, unmark_favorite
from kheops.web.dicomweb.metadata import retrieve_metadata
from kheops.web.dicomweb.ohif import ohif_metadata
from kheops.web.dicomweb.retrieve import (
    retrieve_bulkdata,
    retrieve_frames,
    retrieve_instance,
    retrieve_series,
    retrieve_study,
)
from kheops.web.dicomweb.search import (
    search_all_instances,
    search_all_series,
    search_instances,
    search_series,
    search_studies,
)
from kheops.web.dicomweb.sharing import (
    put_into_album,
    put_into_inbox,
    remove_from_album,
    remove_from_inbox,
    send_to_user,
)
from kheops.web.dicomweb.store import store
from kheops.web.dispatch import run

__all__ = ["RELATIONAL_SEARCHES", "TABLE", "Verb", "dispatch"]


@dataclass(frozen=True, slots=True)
class Verb:
    """What one method does to one kind of resource."""

    handler: Callable[[Call, Any], Awaitable[AsgiResponse]]
    kind: UseKind
    """How the audit trail names a refusal of it."""


async def _store(call: Call, resource: Studies | Study) -> AsgiResponse:
    return await store(call, resource.study_instance_uid if isinstance(resource, Study) else None)


_search = partial(Verb, kind=UseKind.SEARCH)
_pixels = partial(Verb, kind=UseKind.READ_PIXELS)
_share = partial(Verb, kind=UseKind.SHARE)
_remove = partial(Verb, kind=UseKind.REMOVE)
_mark = partial(Verb, kind=UseKind.FAVORITE_CHANGED)

TABLE: Final[Mapping[type[Resource], Mapping[str, Verb]]] = {
    Studies: {"GET": _search(search_studies), "POST": Verb(_store, UseKind.STORE)},
    SeriesOf: {"GET": _search(search_series)},
    InstancesOf: {"GET": _search(search_instances)},
    Study: {
        "GET": _pixels(retrieve_study),
        "POST": Verb(_store, UseKind.STORE),
        "PUT": _share(put_into_inbox),
        "DELETE": _remove(remove_from_inbox),
    },
    Series: {"GET": _pixels(retrieve_series), "PUT": _share(put_into_inbox), "DELETE": _remove(remove_from_inbox)},
    SopInstance: {"GET": _pixels(retrieve_instance)},
    Frames: {"GET": _pixels(retrieve_frames)},
    Bulkdata: {"GET": _pixels(retrieve_bulkdata)},
    Metadata: {"GET": Verb(retrieve_metadata, UseKind.READ_METADATA)},
    OhifMetadata: {"GET": _search(ohif_metadata)},
    Favorites: {"PUT": _mark(mark_favorite), "DELETE": _mark(unmark_favorite)},
    Comments: {
        "GET": Verb(list_comments, UseKind.COMMENT_READ),
        "POST": Verb(comment_on_study, UseKind.COMMENT_WRITTEN),
    },
    InAlbum: {"PUT": _share(put_into_album), "DELETE": _remove(remove_from_album)},
    OfUser: {"PUT": _share(send_to_user)},
}
"""What can be done to what; anything else does not exist. A resource with GET answers HEAD as well."""

RELATIONAL_SEARCHES: Final[Mapping[str, Handler]] = {"/series": search_all_series, "/instances": search_all_instances}
"""Searches below no study (PS3.18 section 10.6.1.1.1)."""


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
    search = RELATIONAL_SEARCHES.get(call.path)
    if search is not None:
        _method(call.method, frozenset({"GET"}))
        await authenticate(call)
        return await run(call, search, call.use(UseKind.SEARCH))
    resource = parse(call.path)
    verbs = None if resource is None else TABLE.get(type(resource))
    if resource is None or verbs is None:
        raise RouteNotFoundError
    verb = verbs[_method(call.method, frozenset(verbs))]
    await authenticate(call)

    async def handle(call: Call) -> AsgiResponse:
        return await verb.handler(call, resource)

    return await run(call, handle, lambda: _asked(call.use(verb.kind), resource))


def _method(method: str, known: frozenset[str]) -> str:
    """Return under which method the table has ``method``."""
    effective = "GET" if method == "HEAD" else method
    if effective not in known:
        allowed = known | {"OPTIONS"} | ({"HEAD"} if "GET" in known else set())
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
        case SeriesOf(study) | OhifMetadata(study) | Comments(study):
            return _asked(use, study)
        case InstancesOf(of) | Metadata(of) | OfUser(of, _) | Favorites(of):
            return _asked(use, of)
        case InAlbum(of, album):
            return replace(_asked(use, of), subject=album)
        case Frames(instance, _) | Bulkdata(instance, _):
            return _asked(use, instance)
        case _:
            return use
