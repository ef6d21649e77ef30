"""What the steps of the smoke run share: the stack, the people, the files, and what earlier steps made."""

from dataclasses import dataclass, field

import httpx
import pg8000.native

from local.smoke.caller import ANY_SYNTAX, Caller, expect
from local.smoke.dicom_files import DicomFile, TestData, load
from local.stack import Stack

__all__ = ["Scene"]


@dataclass(slots=True)
class Scene:
    """The state of a smoke run."""

    stack: Stack
    data: TestData = field(default_factory=load)
    callers: dict[str, Caller] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    """Every token used; none may be in a log at the end."""
    album: str = ""
    """Id of Alice's album with the shared series, from step 4 on."""

    @property
    def api(self) -> str:
        """Root of the API."""
        return f"{self.stack.public_url}/api"

    @property
    def alice(self) -> Caller:
        """Who stores and shares."""
        return self.callers["alice"]

    @property
    def bob(self) -> Caller:
        """With whom she shares."""
        return self.callers["bob"]

    @property
    def carol(self) -> Caller:
        """Who knows UIDs and no more."""
        return self.callers["carol"]

    def with_token(self, name: str, token: str) -> Caller:
        """Return a caller with a bearer token, and remember the token."""
        self.tokens.append(token)
        return Caller.with_bearer(name, self.api, token)

    def email(self, user_name: str) -> str:
        """Return somebody's address."""
        return next(person.email for person in self.stack.people if person.user_name == user_name)

    def store_has(self, file: DicomFile) -> bool:
        """Return whether a direct read of the DICOM store, with its own credential, finds the instance."""
        answer = self._ask_store("GET", file.path, headers={"accept": ANY_SYNTAX})
        # The Healthcare API answers 403 for what is absent.
        expect(
            answer.status_code in {200, 403, 404}, f"the DICOM store answers a direct read, not {answer.status_code}"
        )
        return answer.status_code == httpx.codes.OK

    def store_status(self, file: DicomFile, authorization: str) -> int:
        """Return what the DICOM store answers to a direct read of an instance with a credential of an earlier time."""
        return self._ask_store(
            "GET", file.path, headers={"accept": ANY_SYNTAX}, authorization=authorization
        ).status_code

    def put_into_store(self, content_type: str, content: bytes) -> None:
        """Store in the DICOM store behind our back."""
        headers = {"content-type": content_type, "accept": "application/dicom+json"}
        answer = self._ask_store("POST", "/studies", headers=headers, content=content)
        expect(answer.status_code == httpx.codes.OK, f"the DICOM store stores, not answers {answer.status_code}")

    def catalog_rows(self, file: DicomFile) -> int:
        """Return how many rows the catalog has of an instance, in whatever state."""
        postgres = self.stack.postgres
        connection = pg8000.native.Connection(
            "kheops", password=postgres.password, host="127.0.0.1", port=postgres.port, database="kheops"
        )
        try:
            rows = connection.run("SELECT count(*) FROM instances WHERE sop_instance_uid = :uid", uid=file.instance)
        finally:
            connection.close()
        return int(rows[0][0])

    def _ask_store(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str],
        content: bytes | None = None,
        authorization: str | None = None,
    ) -> httpx.Response:
        store = self.stack.store
        with httpx.Client(trust_env=False, timeout=60) as http:
            return http.request(
                method,
                f"{store.dicomweb}{path}",
                headers={**headers, "authorization": authorization or store.authorization()},
                content=content,
            )
