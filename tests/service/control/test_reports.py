"""Reports as members, browsers and report providers see them: the request, the code, and what it is exchanged for."""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from kheops.identity.own_tokens import new_report_code
from tests.fakes.jwks_server import FakeIssuer, SigningKey, running, unsigned
from tests.service.control.exchange import capability, exchange, inbox
from tests.service.control.reporting import PROVIDER_KEY, Run, Scene, allow, fragment_of, runner
from tests.service.control.served import KEY, PUBLIC_URL
from tests.service.control.world import World


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeIssuer]:
    with running(PROVIDER_KEY) as provider:
        yield provider


@pytest.fixture
def run(world: World, shared_url: str, issuer: FakeIssuer, fake: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Run:
    allow(monkeypatch, shared_url, issuer, fake)
    return runner(world, issuer, fake)


def _error(answer: object) -> object:
    return answer.json()["error"]  # type: ignore[attr-defined]


# The request -----------------------------------------------------------------------------------------------------


def test_a_request_sends_the_browser_on_with_a_code_and_what_the_provider_must_know(run: Run) -> None:
    async def body(at: Scene) -> None:
        answer = await at.report()
        assert (answer.status_code, answer.headers["cache-control"]) == (303, "no-store")
        location = urlsplit(answer.headers["location"])
        assert location._replace(query="").geturl() == f"{at.provider.fake.issuer}/report"
        query = parse_qs(location.query)
        code = query.pop("code")[0]
        assert len(code) == 44
        assert query == {
            "lang": ["en"],
            "client_id": [at.provider.client_id],
            "conf_uri": [f"{PUBLIC_URL}/api/.well-known/report-provider-configuration"],
            "return_uri": [f"{PUBLIC_URL}/albums/{at.album}"],
            "studyUID": [at.study],
        }
        assert answer.content == b""
        kept = at.served.world.rows("SELECT code_hash, secret_hash FROM report_tokens")
        assert code.encode() not in bytes(kept[0][0])
        assert kept[0][1] is None
        use = at.served.world.rows(
            "SELECT outcome, subject, study_instance_uids FROM audit WHERE kind = 'report-requested'"
        )
        assert use == [("granted", at.provider.client_id, [at.study])]

    run(body)


def test_a_provider_of_response_type_token_gets_it_in_the_fragment(run: Run) -> None:
    async def body(at: Scene) -> None:
        at.provider.configure(response_type="token", jwks_uri=None)
        answer = await at.report()
        assert urlsplit(answer.headers["location"]).query == "lang=en"
        given = fragment_of(answer.headers["location"])
        assert (given["token_type"], given["expires_in"], given["scope"]) == ("bearer", "3600", "read write")
        assert (given["client_id"], given["studyUID"]) == (at.provider.client_id, at.study)
        assert await at.reads(given["access_token"]) == sorted(at.series)

    run(body)


def test_the_scope_is_read_alone_where_the_person_may_not_add(run: Run) -> None:
    async def body(at: Scene) -> None:
        edit = await at.served.call("PATCH", f"/api/albums/{at.album}", by="alice", form={"addSeries": "false"})
        assert edit.status_code == 200
        answer = await at.exchange(await at.code("bob"))
        assert answer.json()["scope"] == "read"
        answer = await at.exchange(await at.code("alice"))
        assert answer.json()["scope"] == "read write"

    run(body)


def test_requests_that_cannot_be_understood_or_are_not_allowed_are_told_apart_as_far_as_the_caller_may_know(
    run: Run,
) -> None:
    async def body(at: Scene) -> None:
        link, _ = await capability(at.served, "alice", scope_type="album", album=at.album, read_permission="true")
        writer, _ = await capability(at.served, "bob", read_permission="false", write_permission="true")
        viewer = (await exchange(at.served, at.served.token("bob"), at.study)).json()["access_token"]
        statuses = {
            "no uid": (await at.report("bob", "x")).status_code,
            "bad token": (await at.report(token="nothing")).status_code,
            "album token": (await at.report(token=link)).status_code,
            "viewer token": (await at.report(token=viewer)).status_code,
            "token that only writes": (await at.report(token=writer)).status_code,
            "unknown field": (await at.report(album="1")).status_code,
            "half a challenge": (await at.report(code_challenge="x" * 43)).status_code,
            "plain challenge": (await at.report(code_challenge="x" * 43, code_challenge_method="plain")).status_code,
        }
        assert statuses == {
            "no uid": 400,
            "bad token": 401,
            "album token": 403,
            "viewer token": 403,
            "token that only writes": 403,
            "unknown field": 400,
            "half a challenge": 400,
            "plain challenge": 400,
        }

    run(body)


def test_hidden_providers_and_studies_answer_as_those_that_are_not_there(run: Run) -> None:
    async def body(at: Scene) -> None:
        elsewhere = at.served.world.series(inbox(at.served, "bob"))
        hidden = await at.report("carol")
        absent = await at.report("carol", client_id="Zz" + "0" * 20)
        malformed = await at.report("carol", client_id="no such")
        assert hidden.status_code == absent.status_code == malformed.status_code == 404
        assert hidden.json() == absent.json() == malformed.json()
        assert hidden.json()["message"] == "Report Provider Not Found"
        # Bob's own study is not in the album; that he sees it elsewhere makes no difference.
        own = await at.report("bob", elsewhere.study)
        unused = await at.report("bob", "1.2.999")
        mixed = await at.report("bob", at.study, "1.2.999")
        assert own.status_code == unused.status_code == mixed.status_code == 404
        assert own.json() == unused.json() == mixed.json()
        refused = at.served.world.rows(
            "SELECT reason FROM audit WHERE kind = 'report-requested' AND outcome = 'refused'"
        )
        assert len(refused) == 6

    run(body)


def test_a_provider_that_does_not_answer_or_answers_nonsense_gets_nothing(run: Run) -> None:
    async def body(at: Scene) -> None:
        at.provider.fake.mode = "error"
        assert (await at.report()).status_code == 502
        at.provider.configure(redirect_uri="https://elsewhere.example.org/")
        assert (await at.report()).status_code == 400
        at.provider.fake.mode = "redirect"
        assert (await at.report()).status_code == 502
        assert at.served.world.scalar("SELECT count(*) FROM report_tokens") == 0

    run(body)


# The exchange ----------------------------------------------------------------------------------------------------


def test_an_exchange_answers_as_kheops_and_the_token_reads_the_study_in_the_album_alone(run: Run) -> None:
    async def body(at: Scene) -> None:
        other = at.served.world.series(at.key)
        answer = await at.exchange(await at.code())
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        given = answer.json()
        token = given.pop("access_token")
        assert given == {"token_type": "bearer", "expires_in": 3600, "scope": "read write"}
        # What Bob has of the study elsewhere stays out of it, and so does the album's other study.
        assert await at.reads(token) == sorted(at.series)
        found = (await at.served.call("GET", "/api/studies", token=token)).json()
        assert [row["0020000D"]["Value"][0] for row in found] == [at.study]
        one = await at.served.call("GET", f"/api/studies/{other.study}/series", token=token)
        assert (one.status_code, one.json()) == (200, [])
        uses = at.served.world.rows(
            "SELECT sub, outcome, subject, acting_party FROM audit WHERE kind = 'report-token-created'"
        )
        assert uses == [("bob", "granted", at.provider.client_id, at.provider.client_id)]

    run(body)


def test_a_report_of_several_studies_gives_a_token_of_just_those(run: Run) -> None:
    async def body(at: Scene) -> None:
        second, third = at.served.world.series(at.key), at.served.world.series(at.key)
        token = await at.token("bob", at.study, second.study)
        found = (await at.served.call("GET", "/api/studies", token=token)).json()
        assert {row["0020000D"]["Value"][0] for row in found} == {at.study, second.study}
        assert third.study not in {at.study, second.study}
        told = (await at.served.call("POST", "/api/token/introspect", form={"token": token})).json()
        assert told["studyUID"] == [at.study, second.study]

    run(body)


def test_a_code_is_good_once_and_its_second_use_ends_the_token_of_the_first(run: Run) -> None:
    async def body(at: Scene) -> None:
        code = await at.code()
        token = (await at.exchange(code)).json()["access_token"]
        assert await at.reads(token) == sorted(at.series)
        again = await at.exchange(code)
        assert (again.status_code, _error(again)) == (400, "invalid_grant")
        assert await at.reads(token) == 401

    run(body)


def test_of_two_exchanges_at_once_one_alone_gets_a_token(run: Run) -> None:
    async def body(at: Scene) -> None:
        code = await at.code()
        answers = await asyncio.gather(at.exchange(code), at.exchange(code))
        assert sorted(each.status_code for each in answers) == [200, 400]

    run(body)


def test_a_code_is_bound_to_its_client_its_redirect_uri_and_its_time(run: Run) -> None:
    async def body(at: Scene) -> None:
        code = await at.code()
        elsewhere = await at.exchange(code, redirect_uri=f"{at.provider.fake.issuer}/report")
        assert _error(elsewhere) == "invalid_grant"
        unknown = await at.exchange(new_report_code())
        assert unknown.json() == elsewhere.json()
        first = at.provider.client_id
        registered = await at.served.call(
            "POST",
            f"/api/albums/{at.album}/reportproviders",
            by="alice",
            form={"name": "Other", "url": at.provider.url},
        )
        at.provider.client_id = registered.json()["client_id"]
        assert _error(await at.exchange(code)) == "invalid_grant"
        at.provider.client_id = first
        at.served.world.execute("UPDATE report_tokens SET expires_at = now() - interval '1 second'")
        assert _error(await at.exchange(code)) == "invalid_grant"
        at.served.world.execute("UPDATE report_tokens SET expires_at = now() + interval '1 minute'")
        assert (await at.exchange(code)).status_code == 200

    run(body)


def test_with_a_challenge_the_verifier_must_be_the_right_one_and_without_one_there_must_be_none(run: Run) -> None:
    async def body(at: Scene) -> None:
        verifier = "v" * 43
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        code = await at.code(code_challenge=challenge, code_challenge_method="S256")
        for wrong in ({}, {"code_verifier": "w" * 43}, {"code_verifier": "short"}):
            assert _error(await at.exchange(code, **wrong)) == "invalid_grant"
        assert (await at.exchange(code, code_verifier=verifier)).status_code == 200
        plain = await at.code()
        assert _error(await at.exchange(plain, code_verifier=verifier)) == "invalid_grant"

    run(body)


# The client ------------------------------------------------------------------------------------------------------

WRONG: dict[str, Callable[[Scene], str]] = {
    "nothing like it": lambda _: "x",
    "another key": lambda at: at.provider.assertion(SigningKey("provider", number=8)),
    "a key of another name": lambda at: at.provider.assertion(SigningKey("other", number=7)),
    "no key named": lambda at: at.provider.assertion(SigningKey(None, number=7)),
    "another algorithm": lambda at: at.provider.assertion(SigningKey("provider", "PS256", number=7)),
    "unsigned": lambda at: unsigned(
        {"alg": "none", "kid": "provider"}, {"iss": at.provider.client_id, "sub": at.provider.client_id}
    ),
    "another audience": lambda at: at.provider.assertion(endpoint="/api/token/introspect"),
    "several audiences": lambda at: at.provider.assertion(
        aud=[f"{PUBLIC_URL}/api/token", "https://other.example.org"]
    ),
    "another issuer": lambda at: at.provider.assertion(iss="A" * 22),
    "another subject": lambda at: at.provider.assertion(sub="A" * 22),
    "no jti": lambda at: at.provider.assertion(jti=None),
    "no exp": lambda at: at.provider.assertion(exp=None),
    "expired": lambda at: at.provider.assertion(exp=1_000_000),
    "too long": lambda at: at.provider.assertion(exp=4_000_000_000),
    "not yet": lambda at: at.provider.assertion(nbf=4_000_000_000),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_assertion_that_is_not_good_is_an_invalid_client_and_the_code_stays(run: Run, wrong: str) -> None:
    async def body(at: Scene) -> None:
        code = await at.code()
        answer = await at.exchange(code, client_assertion=WRONG[wrong](at))
        assert (answer.status_code, _error(answer)) == (400, "invalid_client")
        assert (await at.exchange(code)).status_code == 200

    run(body)


def test_an_assertion_is_good_once(run: Run) -> None:
    async def body(at: Scene) -> None:
        assertion = at.provider.assertion()
        first = await at.exchange(await at.code(), client_assertion=assertion)
        assert first.status_code == 200
        second = await at.exchange(await at.code(), client_assertion=assertion)
        assert _error(second) == "invalid_client"

    run(body)


def test_a_code_takes_a_client_that_authenticates_itself_in_just_one_way(run: Run) -> None:
    async def body(at: Scene) -> None:
        code = await at.code()
        form = at.provider.form(code)
        bare = {name: value for name, value in form.items() if not name.startswith("client_assertion")}
        assert _error(await at.served.call("POST", "/api/token", form=bare)) == "invalid_client"
        both = await at.served.call("POST", "/api/token", form=form, by="bob")
        assert _error(both) == "invalid_request"
        other = await at.exchange(code, client_id="A" * 22)
        assert _error(other) == "invalid_client"
        kind = await at.exchange(code, client_assertion_type="urn:other")
        assert _error(kind) == "invalid_client"
        viewer = await exchange(at.served, at.served.token("bob"), at.study, client_assertion=at.provider.assertion())
        assert _error(viewer) == "invalid_client"

    run(body)


# What strangers make us fetch ---------------------------------------------------------------------------------------


def test_assertions_that_nobody_signed_cost_the_provider_next_to_nothing(run: Run) -> None:
    async def body(at: Scene) -> None:
        code = await at.code()
        before = len(at.provider.fake.asked)
        claims = {"iss": at.provider.client_id}
        for number in range(40):
            forged = unsigned({"alg": "RS256", "kid": f"k{number}"}, claims, b"x")
            answer = await at.exchange(code, client_assertion=forged)
            assert _error(answer) == "invalid_client"
        # Once for the keys, and once more for the first name that is not among them.
        assert len(at.provider.fake.asked) - before <= 4
        assert (await at.exchange(code)).status_code == 200

    run(body)


def test_forged_assertions_at_once_are_one_fetch(run: Run) -> None:
    async def body(at: Scene) -> None:
        before = len(at.provider.fake.asked)
        at.provider.fake.delay = 0.2
        forged = unsigned({"alg": "RS256", "kid": "k"}, {"iss": at.provider.client_id}, b"x")
        answers = await asyncio.gather(*(at.exchange("x" * 44, client_assertion=forged) for _ in range(20)))
        at.provider.fake.delay = 0
        assert {_error(answer) for answer in answers} == {"invalid_client"}
        assert len(at.provider.fake.asked) - before <= 4

    run(body)


def test_a_key_that_is_new_is_taken_at_the_first_assertion_that_names_it(run: Run) -> None:
    async def body(at: Scene) -> None:
        assert (await at.exchange(await at.code())).status_code == 200
        other = SigningKey("provider-2", number=8)
        at.provider.fake.publish(other)
        renewed = await at.exchange(await at.code(), client_assertion=at.provider.assertion(other))
        assert renewed.status_code == 200
        # And the one that is gone is no longer.
        assert _error(await at.exchange(await at.code())) == "invalid_client"

    run(body)


def test_a_provider_that_moves_while_it_is_asked_gets_nothing(run: Run) -> None:
    async def body(at: Scene) -> None:
        before = len(at.provider.fake.asked)
        at.provider.fake.delay = 0.6
        asking = asyncio.create_task(at.report())
        # It has been asked by then, and has not answered.
        await asyncio.sleep(0.25)
        assert len(at.provider.fake.asked) == before + 1
        at.served.world.execute("UPDATE report_providers SET url = url || '?moved'")
        answer = await asking
        at.provider.fake.delay = 0
        assert (answer.status_code, answer.json()["message"]) == (404, "Report Provider Not Found")
        assert at.served.world.scalar("SELECT count(*) FROM report_tokens") == 0

    run(body)


def test_a_provider_that_hands_on_to_another_origin_gets_nothing(run: Run) -> None:
    async def body(at: Scene) -> None:
        at.provider.configure(redirect_uri="https://elsewhere.example/report")
        assert (await at.report()).status_code in {400, 404}
        assert at.served.world.scalar("SELECT count(*) FROM report_tokens") == 0

    run(body)
