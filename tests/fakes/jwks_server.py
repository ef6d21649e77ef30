"""An issuer on loopback that signs real tokens and publishes real keys.

It has: a discovery document, a JWKS, a userinfo and a token endpoint that answer what the test put into them, counters
of what was asked, and ways to fail (closed connections, errors, drips, giant or compressed bodies, redirects). It has
no login page, no sessions and no check of what it is sent but for recording it; the real providers in
``tests/system/identity`` have those.
"""

import base64
import gzip
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, cast
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from typing_extensions import override

Mode = Literal["up", "down", "error", "drip", "giant", "compressed", "redirect", "not-json"]

_CURVES: Mapping[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}


@cache
def _private_key(algorithm: str, number: int, bits: int) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    del number
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@dataclass(frozen=True)
class SigningKey:
    """A key pair; made once per process for each ``algorithm`` family, ``number`` and size."""

    kid: str | None
    algorithm: str = "RS256"
    number: int = 0
    bits: int = 2048

    @property
    def private(self) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
        family = self.algorithm if self.algorithm in _CURVES else "RSA"
        return _private_key(family, self.number, self.bits)

    def jwk(self, **changes: object) -> dict[str, object]:
        """Return the public JWK; a change to ``None`` takes a member away."""
        public = self.private.public_key()
        made = (
            RSAAlgorithm.to_jwk(public, as_dict=True)
            if isinstance(public, rsa.RSAPublicKey)
            else ECAlgorithm.to_jwk(public, as_dict=True)
        )
        made.pop("key_ops", None)
        members = {**made, "kid": self.kid, "use": "sig", "alg": self.algorithm, **changes}
        return {name: value for name, value in members.items() if value is not None}

    def pem(self) -> bytes:
        """Return the public key as PEM."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, claims: Mapping[str, object], **header: object) -> str:
        """Return a compact JWS of exactly these claims."""
        headers = {**({} if self.kid is None else {"kid": self.kid}), **header}
        return jwt.encode(dict(claims), self.private, algorithm=self.algorithm, headers=headers)


def unsigned(header: Mapping[str, object], claims: object, signature: bytes = b"") -> str:
    """Return a compact JWS with any header and signature, also those that no library makes."""
    return f"{segment(header)}.{segment(claims)}.{encoded(signature)}"


def hmac_signed(header: Mapping[str, object], claims: object, key: bytes) -> str:
    """Return a compact JWS signed by HS256 with any key, a public one among them."""
    signing_input = f"{segment(header)}.{segment(claims)}"
    return f"{signing_input}.{encoded(hmac.digest(key, signing_input.encode(), hashlib.sha256))}"


def segment(value: object) -> str:
    return encoded(json.dumps(value).encode())


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@dataclass
class Asked:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    form: Mapping[str, str]


@dataclass
class FakeIssuer:
    """The issuer; start it by `running`."""

    issuer: str = ""
    published: list[Mapping[str, object]] = field(default_factory=list)
    metadata: dict[str, object] = field(default_factory=dict)
    userinfo: tuple[int, object] = (401, {"error": "invalid_token"})
    token: tuple[int, object] = (400, {"error": "invalid_grant"})
    mode: Mode = "up"
    delay: float = 0.0
    asked: list[Asked] = field(default_factory=list)

    @property
    def hits(self) -> Counter[str]:
        return Counter(each.path for each in self.asked)

    @property
    def jwks_hits(self) -> int:
        return self.hits["/jwks"]

    def publish(self, *keys: SigningKey) -> None:
        """Let these be its keys from now on, and no others."""
        self.published = [key.jwk() for key in keys]

    def answer(self, path: str) -> tuple[int, object]:
        if path == "/.well-known/openid-configuration":
            return 200, self.metadata
        if path == "/jwks":
            return 200, {"keys": self.published}
        if path == "/userinfo":
            return self.userinfo
        if path == "/token":
            return self.token
        return 404, {}


class _Handler(BaseHTTPRequestHandler):
    fake: FakeIssuer

    def do_GET(self) -> None:
        self._respond({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._respond(dict(parse_qsl(body.decode())))

    def _respond(self, form: Mapping[str, str]) -> None:
        fake = self.fake
        fake.asked.append(Asked(self.path, dict(self.headers.items()), form))
        time.sleep(fake.delay)
        if fake.mode == "down":
            self.close_connection = True
            return
        status, document = fake.answer(self.path)
        body = json.dumps(document).encode()
        if fake.mode == "error":
            status, body = 500, b"{}"
        elif fake.mode == "giant":
            body = json.dumps({**cast("dict[str, Any]", document), "filler": "x" * (1024 * 1024)}).encode()
        elif fake.mode == "not-json":
            body = b"<html>"
        elif fake.mode == "redirect":
            status = 302
        self.send_response(status)
        if fake.mode == "compressed":
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        if fake.mode == "redirect":
            self.send_header("Location", f"{fake.issuer}/jwks")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "session=of-somebody; Path=/")
        self.end_headers()
        size = 1 if fake.mode == "drip" else len(body)
        try:
            for position in range(0, len(body), size):
                self.wfile.write(body[position : position + size])
                time.sleep(0.05 if fake.mode == "drip" else 0)
        except OSError:
            # The client had enough, as some tests want it to.
            return

    @override
    def log_message(self, format: str, *args: object) -> None:
        del format, args


@contextmanager
def running(*keys: SigningKey) -> Iterator[FakeIssuer]:
    """Run an issuer that publishes ``keys`` on a free loopback port."""
    fake = FakeIssuer()
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    fake.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    fake.metadata = {
        "issuer": fake.issuer,
        "jwks_uri": f"{fake.issuer}/jwks",
        "authorization_endpoint": f"{fake.issuer}/authorize?tenant=one",
        "token_endpoint": f"{fake.issuer}/token",
        "userinfo_endpoint": f"{fake.issuer}/userinfo",
        "end_session_endpoint": f"{fake.issuer}/logout",
        "authorization_response_iss_parameter_supported": True,
    }
    fake.publish(*keys)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
