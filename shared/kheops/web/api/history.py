"""``/albums/{album}/events``, and how events and comments are written."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time
from typing import Final, TypeVar

from starlette.responses import Response

from kheops.domain.history import HistoryFilter, MutationFilter
from kheops.domain.mutations import FAMILIES, MutationType
from kheops.domain.named_people import NamedPerson
from kheops.errors import BadQueryParameterError, InvalidIdentifierError
from kheops.ids import SeriesInstanceUID, capability_id, report_provider_id, series_instance_uid, study_instance_uid
from kheops.services.history import Comment, Event, NamedProvider, SeriesPresent
from kheops.storage.participants import Participant
from kheops.web.api.answers import Json, listed, local_time
from kheops.web.api.parameters import Query, album_of, query_of
from kheops.web.call import Call
from kheops.web.declaration import ISSUER, PAGING, Declaration, Parameter, listed_answer
from kheops.web.schema import CAPABILITY_ID, FLAG, TEXT, UID, Schema, either, list_of, one_of, record

__all__ = ["COMMENT", "LIST", "comment_json", "list_events"]

T = TypeVar("T")

_KINDS: Final = ("comments", "mutations")
_PARTICIPANT: Final[Mapping[str, Schema]] = {"email": TEXT, "name": TEXT, "can_access": FLAG, "is_admin": FLAG}
_PERSON: Final = record({"iss": TEXT, "sub": TEXT}, _PARTICIPANT)
_PROVIDER: Final = record({"name": TEXT, "client_id": TEXT, "is_removed": FLAG})
_BY: Final = record(
    {"iss": TEXT, "sub": TEXT},
    {
        **_PARTICIPANT,
        "capability_token": record({"id": CAPABILITY_ID}, {"title": TEXT}),
        "report_provider": _PROVIDER,
    },
)
COMMENT: Final = record(
    {"event_type": one_of("Comment"), "post_date": TEXT, "comment": TEXT, "is_private": FLAG},
    {"source": _PERSON, "target": _PERSON},
)
"""What `comment_json` returns."""
_SERIES: Final = record({"UID": UID, "is_present_in_album": FLAG}, {"description": TEXT})
_MUTATION: Final = record(
    {"event_type": one_of("Mutation"), "post_date": TEXT, "mutation_type": one_of(*MutationType)},
    {
        "source": _BY,
        "target": _PERSON,
        "report_provider": _PROVIDER,
        "group": record({"issuer": TEXT, "group": TEXT}),
        "study": record({"UID": UID, "series": list_of(_SERIES)}, {"description": TEXT}),
    },
)
_OF_MUTATIONS: Final = (
    Parameter("type", "Kinds of mutations; upper and lower case are the same.", one_of(*MutationType), repeated=True),
    Parameter("family", "Kinds of mutations in groups.", one_of(*sorted(FAMILIES)), repeated=True),
    Parameter("user", "Who did it or to whom it was done.", repeated=True),
    ISSUER,
    Parameter("studies", "", UID, repeated=True),
    Parameter("series", "", UID, repeated=True),
    Parameter("capabilityToken", "The token that it was done with.", CAPABILITY_ID, repeated=True),
    Parameter("reportProvider", "The client_id of a provider that did it, or that was changed.", repeated=True),
    Parameter("startDate", "yyyy-MM-dd or yyyy-MM-dd HH:mm:ss, in UTC."),
    Parameter("endDate", "yyyy-MM-dd or yyyy-MM-dd HH:mm:ss, in UTC."),
)
"""They go with ``types=mutations`` alone."""
LIST: Final = Declaration(
    "List the history of an album: comments and mutations, the latest first",
    listed_answer("The history.", either(COMMENT, _MUTATION)),
    query=(
        Parameter("types", "What is listed; both by default.", one_of(*_KINDS), repeated=True),
        *_OF_MUTATIONS,
        *PAGING,
    ),
)


async def list_events(call: Call) -> Response:
    query = query_of(call)
    wanted = _filter(query)
    album = album_of(call.params["album"])
    found = await call.process.history.of_album(call.principal, album, wanted, query.page())
    entries = [
        comment_json(each) if isinstance(each, Comment) else _event_json(each, found.present) for each in found.entries
    ]
    return listed(entries, found.total)


def comment_json(comment: Comment) -> Json:
    """Return a comment as KHEOPS's EventResponse."""
    return {
        "event_type": "Comment",
        "source": _source_json(comment.author),
        "post_date": local_time(comment.at),
        "comment": comment.comment,
        "is_private": comment.is_private,
        "target": _source_json(comment.addressee),
    }


def _event_json(event: Event, present: Mapping[SeriesInstanceUID, SeriesPresent]) -> Json:
    """Return an event as KHEOPS's EventResponse."""
    token = None if event.capability is None else {"id": event.capability[0], "title": event.capability[1]}
    source = _source_json(event.by)
    # KHEOPS names a provider beside the event that is about it, and within the source of what it did.
    provider = None if event.provider is None else _provider_json(event.provider)
    about, by = (provider, None) if event.kind in FAMILIES["report_provider"] else (None, provider)
    return {
        "event_type": "Mutation",
        "source": None if source is None else {**source, "capability_token": token, "report_provider": by},
        "post_date": local_time(event.at),
        "mutation_type": event.kind.value,
        "target": _source_json(event.to),
        "report_provider": about,
        "group": None if event.group is None else {"issuer": event.group.iss, "group": event.group.value},
        "study": _study_json(event, present),
    }


def _study_json(event: Event, present: Mapping[SeriesInstanceUID, SeriesPresent]) -> Json | None:
    if event.study is None:
        return None
    described = [present[uid] for uid in event.series if uid in present]
    series = [
        {
            "UID": uid,
            "description": present[uid].series_description if uid in present else None,
            "is_present_in_album": uid in present,
        }
        for uid in event.series
    ]
    description = next((each.study_description for each in described if each.study_description is not None), None)
    return {"UID": event.study, "description": description, "series": series}


def _provider_json(provider: NamedProvider) -> Json:
    return {"name": provider.name, "client_id": provider.provider, "is_removed": provider.is_removed}


def _source_json(person: Participant | None) -> Json | None:
    if person is None:
        return None
    return {
        "email": person.email,
        "name": person.name,
        "iss": person.iss,
        "sub": person.sub,
        "can_access": person.can_access,
        "is_admin": person.is_admin,
    }


def _filter(query: Query) -> HistoryFilter:
    types = set(query.all("types") or _KINDS)
    if types - set(_KINDS):
        raise BadQueryParameterError("'types' may be comments and mutations.")
    names = [each.name for each in _OF_MUTATIONS]
    filtered = [name for name in names if query.one(name) is not None or query.all(name) is not None]
    if filtered and types != {"mutations"}:
        raise BadQueryParameterError(f"'{filtered[0]}' goes with 'types=mutations' alone.")
    return HistoryFilter(comments="comments" in types, mutations=_mutations(query) if "mutations" in types else None)


def _mutations(query: Query) -> MutationFilter:
    users = query.all("user")
    if users is None and query.one("issuer") is not None:
        raise BadQueryParameterError("'issuer' goes with 'user' only.")
    return MutationFilter(
        kinds=_kinds(query),
        users=None if users is None else frozenset(NamedPerson(each, query.one("issuer")) for each in users),
        studies=_ids(query, "studies", study_instance_uid),
        series=_ids(query, "series", series_instance_uid),
        capabilities=_ids(query, "capabilityToken", capability_id),
        providers=_ids(query, "reportProvider", report_provider_id),
        start=_time(query, "startDate", time.min),
        end=_time(query, "endDate", time(23, 59, 59)),
    )


def _kinds(query: Query) -> frozenset[MutationType] | None:
    types, families = query.all("type"), query.all("family")
    if types is None and families is None:
        return None
    kinds = frozenset(MutationType)
    try:
        if types is not None:
            kinds &= {MutationType(each.upper()) for each in types}
        if families is not None:
            kinds &= frozenset[MutationType]().union(*(FAMILIES[each.lower()] for each in families))
    except (KeyError, ValueError):
        raise BadQueryParameterError("'type' or 'family' is none that there is.") from None
    return kinds


def _ids(query: Query, name: str, parse: Callable[[str], T]) -> frozenset[T] | None:
    texts = query.all(name)
    if texts is None:
        return None
    try:
        return frozenset(map(parse, texts))
    except InvalidIdentifierError:
        raise BadQueryParameterError(f"'{name}' has a value that cannot be one.") from None


def _time(query: Query, name: str, of_day: time) -> datetime | None:
    text = query.one(name)
    if text is None:
        return None
    try:
        if len(text) == len("yyyy-MM-dd"):
            return datetime.combine(datetime.strptime(text, "%Y-%m-%d").date(), of_day, UTC)  # noqa: DTZ007 - UTC follows
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise BadQueryParameterError(f"'{name}' must be yyyy-MM-dd or yyyy-MM-dd HH:mm:ss, in UTC.") from None
