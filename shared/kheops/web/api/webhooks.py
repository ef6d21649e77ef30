"""``/albums/{album}/webhooks``."""

from collections.abc import Callable
from typing import Final, TypeVar

from starlette.responses import Response

from kheops.domain.uses import UseKind
from kheops.domain.webhooks import (
    WEBHOOK_NAME_LENGTH,
    WEBHOOK_SECRET_LENGTH,
    WEBHOOK_URL_LENGTH,
    WebhookDraft,
    WebhookEdit,
    WebhookEvent,
)
from kheops.errors import BadFormParameterError, InvalidIdentifierError
from kheops.ids import AlbumId, WebhookId, series_instance_uid, study_instance_uid, webhook_id
from kheops.services.webhooks import WebhookView
from kheops.storage.participants import Participant
from kheops.storage.webhook_deliveries import Attempt, DeliveryRecord
from kheops.web.api.answers import Json, done, json_of, listed, local_time
from kheops.web.api.parameters import album_of, bounded, form_of, query_of, titled
from kheops.web.call import Call, Form
from kheops.web.declaration import DONE, ISSUER, PAGING, Answer, Declaration, Parameter, json_answer, listed_answer
from kheops.web.schema import COUNT, FLAG, TEXT, UID, list_of, one_of, record, text

__all__ = [
    "CREATE",
    "DELETE",
    "EDIT",
    "GET",
    "LIST",
    "TRIGGER",
    "create",
    "delete",
    "edit",
    "get",
    "list_webhooks",
    "trigger",
]

T = TypeVar("T")

_EVENT: Final = one_of(*WebhookEvent)
_ATTEMPT: Final = record({"status": {"type": "integer"}, "time": TEXT, "attempt": COUNT})
_TRIGGER: Final = record(
    {"id": TEXT, "is_manual_trigger": FLAG, "event": _EVENT, "attempts": list_of(_ATTEMPT)},
    {
        "user": record({"iss": TEXT, "sub": TEXT}, {"email": TEXT, "name": TEXT, "is_admin": FLAG}),
        "study": record({"UID": UID, "series": list_of(record({"UID": UID}))}),
    },
)
_ALWAYS: Final = {
    "id": TEXT,
    "url": TEXT,
    "name": TEXT,
    "use_secret": FLAG,
    "events": list_of(_EVENT),
    "enabled": FLAG,
    "number_of_triggers": COUNT,
    "last_triggers": list_of(record({"id": TEXT}, {"status": one_of("pass", "fail")})),
}
_WEBHOOK: Final = record(_ALWAYS)

_NAME: Final = text(least=1, most=WEBHOOK_NAME_LENGTH)
_URL: Final = text(least=1, most=WEBHOOK_URL_LENGTH)
_SECRET: Final = text(most=WEBHOOK_SECRET_LENGTH)
CREATE: Final = Declaration(
    "Create a webhook of an album",
    json_answer("The webhook, without its secret.", _WEBHOOK, status=201),
    form=(
        Parameter("url", "Where deliveries go: https, on the public internet.", _URL, required=True),
        Parameter("name", "", _NAME, required=True),
        Parameter("secret", "Signs each delivery: X-Kheops-Signature, HMAC-SHA256 in hex of the body.", _SECRET),
        Parameter("event", "What it is told of.", _EVENT, required=True, repeated=True),
        Parameter("enabled", "True by default.", FLAG),
    ),
    errors=(409,),
)
LIST: Final = Declaration(
    "List the webhooks of an album",
    listed_answer("The webhooks, each with its last five deliveries.", _WEBHOOK),
    query=(Parameter("url", "Only those with this URL."), *PAGING),
)
GET: Final = Declaration(
    "Read a webhook and a page of its log of deliveries",
    json_answer("The webhook with its deliveries, newest first.", record({**_ALWAYS, "triggers": list_of(_TRIGGER)})),
    query=PAGING,
)
EDIT: Final = Declaration(
    "Change a webhook",
    json_answer("The webhook as it is now.", _WEBHOOK),
    form=(
        Parameter("url", "", _URL),
        Parameter("name", "", _NAME),
        Parameter("secret", "Empty removes it.", _SECRET),
        Parameter("event", "What it is told of from now on.", _EVENT, repeated=True),
        Parameter("add_event", "What it is told of besides; not together with event.", _EVENT, repeated=True),
        Parameter("remove_event", "What it is told of no longer; not together with event.", _EVENT, repeated=True),
        Parameter("enabled", "", FLAG),
    ),
)
DELETE: Final = Declaration("Delete a webhook with its log", DONE)
TRIGGER: Final = Declaration(
    "Send something to a webhook to try it, also to a disabled one",
    {202: Answer("It is on its way.")},
    form=(
        Parameter("event", "", one_of(WebhookEvent.NEW_SERIES, WebhookEvent.NEW_USER), required=True),
        Parameter("StudyInstanceUID", "With new_series: a study of the album.", UID),
        Parameter("SeriesInstanceUID", "With new_series: series of it in the album.", UID, repeated=True),
        Parameter("user", "With new_user: a member."),
        ISSUER,
    ),
    errors=(429,),
)


async def create(call: Call) -> Response:
    form = await form_of(call)
    enabled = form.flag("enabled")
    draft = WebhookDraft(
        name=_name(form.required("name")),
        url=_url(form.required("url")),
        events=_events(form, "event"),
        secret=_secret(form) or None,
        enabled=True if enabled is None else enabled,
    )
    if not draft.events:
        raise BadFormParameterError("'event' is required.")
    use = call.use(UseKind.WEBHOOK_CREATED)
    return json_of(
        _json(await call.process.webhooks.create(call.principal, _album(call), draft, asked=use)), status=201
    )


async def list_webhooks(call: Call) -> Response:
    query = query_of(call)
    found, total = await call.process.webhooks.list(
        call.principal, _album(call), url=query.one("url"), page=query.page()
    )
    return listed([_json(view) for view in found], total)


async def get(call: Call) -> Response:
    page = query_of(call).page()
    view = await call.process.webhooks.get(call.principal, _album(call), _webhook(call), page)
    return json_of({**_json(view), "triggers": [_delivery_json(each) for each in view.deliveries or ()]})


async def edit(call: Call) -> Response:
    form = await form_of(call)
    name, url, events = form.one("name"), form.one("url"), form.all("event")
    changes = WebhookEdit(
        name=None if name is None else _name(name),
        url=None if url is None else _url(url),
        secret=_secret(form),
        events=_events(form, "event") if events else None,
        added=_events(form, "add_event"),
        removed=_events(form, "remove_event"),
        enabled=form.flag("enabled"),
    )
    if events and (changes.added or changes.removed):
        raise BadFormParameterError("'event' does not go with 'add_event' and 'remove_event'.")
    use = call.use(UseKind.WEBHOOK_EDITED)
    return json_of(
        _json(await call.process.webhooks.edit(call.principal, _album(call), _webhook(call), changes, asked=use))
    )


async def delete(call: Call) -> Response:
    use = call.use(UseKind.WEBHOOK_DELETED)
    await call.process.webhooks.delete(call.principal, _album(call), _webhook(call), asked=use)
    return done()


async def trigger(call: Call) -> Response:
    form = await form_of(call)
    use, webhooks = call.use(UseKind.WEBHOOK_TRIGGERED), call.process.webhooks
    study, series, user = form.one("StudyInstanceUID"), form.all("SeriesInstanceUID"), form.one("user")
    match form.required("event").lower():
        case WebhookEvent.NEW_SERIES:
            if study is None or not series or user is not None:
                raise BadFormParameterError("'event=new_series' needs a study and its series, and no 'user'.")
            await webhooks.trigger_new_series(
                call.principal,
                _album(call),
                _webhook(call),
                _uid("StudyInstanceUID", study, study_instance_uid),
                list(dict.fromkeys(_uid("SeriesInstanceUID", each, series_instance_uid) for each in series)),
                asked=use,
            )
        case WebhookEvent.NEW_USER:
            if study is not None or series:
                raise BadFormParameterError("'event=new_user' needs a 'user', and no study or series.")
            await webhooks.trigger_new_user(
                call.principal,
                _album(call),
                _webhook(call),
                form.required("user").strip(),
                asked=use,
                issuer=form.one("issuer"),
            )
        case _:
            raise BadFormParameterError("'event' must be new_series or new_user.")
    return Response(status_code=202)


def _album(call: Call) -> AlbumId:
    return album_of(call.params["album"])


def _webhook(call: Call) -> WebhookId:
    return webhook_id(call.params["webhook"])


def _name(value: str) -> str:
    return titled("name", value, most=WEBHOOK_NAME_LENGTH)


def _url(value: str) -> str:
    return bounded("url", value, most=WEBHOOK_URL_LENGTH)


def _secret(form: Form) -> str | None:
    secret = form.one("secret")
    # Not trimmed: it is a key, and the far end has it as it was typed.
    if secret is not None and len(secret) > WEBHOOK_SECRET_LENGTH:
        raise BadFormParameterError(
            f"Param 'secret' is too long max expected: {WEBHOOK_SECRET_LENGTH} characters but got :{len(secret)}"
        )
    return secret


def _events(form: Form, name: str) -> frozenset[WebhookEvent]:
    try:
        return frozenset(WebhookEvent(each.lower()) for each in form.all(name))
    except ValueError:
        raise BadFormParameterError(f"'{name}' may be {', '.join(WebhookEvent)}.") from None


def _uid(name: str, value: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(value)
    except InvalidIdentifierError:
        raise BadFormParameterError(f"{name} is not a valid UID.") from None


def _json(view: WebhookView) -> Json:
    """Return a webhook as KHEOPS's WebhookResponse."""
    found = view.record
    return {
        "id": found.webhook,
        "url": found.url,
        "name": found.name,
        "use_secret": found.secret is not None,
        "events": [each.value for each in WebhookEvent if each in found.events],
        "enabled": found.enabled,
        "number_of_triggers": found.number_of_deliveries,
        "last_triggers": [
            # One that has had no attempt yet has no status.
            {"id": delivery, "status": None if last is None else "pass" if last.passed else "fail"}
            for delivery, last in view.last
        ],
    }


def _delivery_json(delivery: DeliveryRecord) -> Json:
    return {
        "id": delivery.delivery,
        "is_manual_trigger": delivery.is_manual,
        "event": delivery.event.value,
        "attempts": [_attempt_json(each) for each in delivery.attempts],
        "user": None if delivery.user is None else _person_json(delivery.user),
        "study": None
        if delivery.study is None
        else {"UID": delivery.study, "series": [{"UID": uid} for uid in delivery.series]},
    }


def _attempt_json(attempt: Attempt) -> Json:
    return {"status": attempt.status, "time": local_time(attempt.at), "attempt": attempt.attempt}


def _person_json(person: Participant) -> Json:
    return {
        "email": person.email,
        "name": person.name,
        "iss": person.iss,
        "sub": person.sub,
        "is_admin": person.is_admin,
    }
