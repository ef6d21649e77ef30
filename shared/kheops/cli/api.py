"""The API of an installation, for commands: answers that are good, or a `CommandError` that says why not."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final, Literal, Self

import httpx

from kheops.cli.answers import http_client, json_object, no_answer, words_of
from kheops.cli.credential import Credential
from kheops.cli.failure import CommandError, ExitCode

__all__ = ["Api", "Method", "Parameters"]

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Parameters = Sequence[tuple[str, str]]

_PAGE: Final = 1000


class Api:
    """Calls below ``/api`` as one person. Threads may share it; whoever makes it closes it, as a context manager.

    Parameters
    ----------
    server
        What `kheops.cli.answers.server_address` returned.
    credential
        Who calls.
    """

    def __init__(self, server: str, credential: Credential) -> None:
        self.server = server
        self._credential = credential
        self._http = http_client(server, base_url=f"{server}/api")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def call(
        self,
        method: Method,
        path: str,
        *,
        query: Parameters = (),
        form: Parameters | None = None,
        document: object = None,
    ) -> httpx.Response:
        """Send a request and return its answer, of a status below 300.

        Parameters
        ----------
        method, path
            What, below ``/api``; parts of the path are quoted by the caller.
        query, form
            Parameters in the address and in the body.
        document
            A JSON body.

        Raises
        ------
        CommandError
            For any other status, and if there is no answer.
        """
        content, headers = None, {"Accept": "application/json, application/dicom+json;q=0.9"}
        if form is not None:
            content = str(httpx.QueryParams(list(form))).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif document is not None:
            content = json.dumps(document).encode()
            headers["Content-Type"] = "application/json"
        with self.opened(method, path, query=query, headers=headers, content=content) as response:
            try:
                response.read()
            except httpx.HTTPError as error:
                raise no_answer(self.server, error) from None
            return response

    def document(self, method: Method, path: str, **options: Parameters | None) -> Mapping[str, object]:
        """Do as `call` and return the JSON object of the answer."""
        return json_object(self.call(method, path, **options))  # type: ignore[arg-type]

    def listed(
        self, path: str, query: Parameters = (), *, most: int | None = None, offset: int = 0
    ) -> Iterator[Mapping[str, object]]:
        """Give the objects of a list, page after page.

        Parameters
        ----------
        path, query
            What to list.
        most
            How many at most; all by default.
        offset
            How many are passed over.

        Raises
        ------
        CommandError
            As `call`, and if the answer is no list of objects.
        """
        left = most
        while left is None or left > 0:
            limit = _PAGE if left is None else min(left, _PAGE)
            response = self.call("GET", path, query=[*query, ("limit", str(limit)), ("offset", str(offset))])
            page = _objects(response)
            yield from page
            offset += len(page)
            left = None if left is None else left - len(page)
            total = response.headers.get("X-Total-Count", "")
            if not page or not total.isdigit() or offset >= int(total):
                return

    @contextlib.contextmanager
    def opened(
        self,
        method: Method,
        path: str,
        *,
        query: Parameters = (),
        headers: Mapping[str, str],
        content: bytes | Callable[[], Iterator[bytes]] | None = None,
        accepted: frozenset[int] = frozenset(),
    ) -> Iterator[httpx.Response]:
        """Send a request and give its answer, whose body has not been read.

        Parameters
        ----------
        method, path, query
            As `call`.
        headers
            Further header fields.
        content
            The body, or what makes it: a body that is not held has to be made again where it is sent again.
        accepted
            Statuses that are good, too.

        Raises
        ------
        CommandError
            As `call`.
        OSError
            Whatever making the body raises.
        """
        again = True
        while True:
            token = self._credential.token()
            fields = {**headers, "Authorization": f"Bearer {token}"}
            try:
                body = content() if callable(content) else content
                request = self._http.build_request(method, path, params=list(query), headers=fields, content=body)
                response = self._http.send(request, stream=True)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise no_answer(self.server, error) from None
            try:
                if response.is_success or response.status_code in accepted:
                    yield response
                    return
                with contextlib.suppress(httpx.HTTPError):
                    response.read()
                # Once: the login may have been revoked, or renewed by another process, before its time.
                if response.status_code == httpx.codes.UNAUTHORIZED and again and self._credential.renew(token):
                    again = False
                    continue
                raise _refused(response)
            finally:
                response.close()


def _objects(response: httpx.Response) -> list[Mapping[str, object]]:
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise CommandError("The server answered something else than a list: is that the address of an installation?")
    return value


def _refused(response: httpx.Response) -> CommandError:
    words = words_of(response)
    status = response.status_code
    if status == httpx.codes.UNAUTHORIZED:
        return CommandError(f"{words} Do `kheops login`, or give another token.", code=ExitCode.NOT_LOGGED_IN)
    if status == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        wait = response.headers.get("Retry-After", "")
        later = f" Try again in {wait} s." if wait.isdigit() else " Try again later."
        return CommandError(f"The server cannot do that now: {words}{later}", code=ExitCode.UNREACHABLE)
    if response.is_redirect:
        return CommandError(
            f"{response.url.host} sends us elsewhere, which is not followed. Give the right address by `--server`.",
            code=ExitCode.WRONG_USE,
        )
    return CommandError(words, code=ExitCode.REFUSED)
