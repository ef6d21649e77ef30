"""A fake of a Cloud SQL instance: its Admin API, and the TLS server on port 3307 before a real PostgreSQL.

It has: ``connectSettings`` and ``generateEphemeralCert`` of the Cloud SQL Admin API (v1beta4), with the API's error
bodies; client certificates of an hour that the instance's own authority signs over the caller's key; TLS 1.3 that
asks for one; IAM authentication as far as a certificate can tell: one that was made without a login token is not let
in to a role of IAM's. PostgreSQL behind it trusts the Unix socket, and asks a role of its own for its password.
It lacks everything else of the API, PSC, DNS names, and the check of what the login token is worth.

Source: https://cloud.google.com/sql/docs/postgres/admin-api/rest/v1beta4/connect, and what the connector's own tests
do.
"""

import contextlib
import json
import os
import select
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.loopback import Answer, Asked, serve

__all__ = ["FakeCloudSql", "run_cloud_sql"]

_PORT = 3307
_SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16/"
"""PostgreSQL's protocol, 55.7."""
_LOGIN_SCOPE = "https://www.googleapis.com/auth/sqlservice.login"


class _Authority:
    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self.sign(self.key.public_key(), self._name, ca=True)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(
        self, key: object, name: x509.Name, *, ca: bool, lifetime: timedelta = timedelta(hours=1)
    ) -> x509.Certificate:
        at = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=name,
            public_key=key,  # type: ignore[arg-type]
            serial_number=x509.random_serial_number(),
            not_valid_before=at - timedelta(minutes=5),
            not_valid_after=at + lifetime,
        ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        return builder.sign(self.key, hashes.SHA256())


class FakeCloudSql:
    """The instance. Attributes change how it behaves; ``sever`` ends all connections, as a failover does.

    Parameters
    ----------
    postgres
        The Unix socket of the real server.
    """

    def __init__(self, postgres: Path) -> None:
        self.name = "project:europe-west6:instance"
        self.postgres = postgres
        self.endpoint = ""
        # A loopback address of this process's own: the port is fixed, and others may run the same tests.
        self.address = f"127.{os.getpid() >> 16 & 255}.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
        self.authority = _Authority("instance")
        self.status = 200
        self.is_silent = False
        self.refuses_clients = False
        self.api_release = threading.Event()
        self.api_release.set()
        self.certificates = 0
        self.with_login_token: set[str] = set()
        self.asked: list[Asked] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._folder = Path(tempfile.mkdtemp(prefix="kheops-csql-"))

    def handle(self, asked: Asked) -> Answer:
        """Answer the Admin API."""
        self.asked.append(asked)
        self.api_release.wait(30)
        if not asked.headers.get("authorization", "").startswith("Bearer "):
            return _error(401)
        if self.status != 200:
            return _error(self.status)
        project, region, instance = self.name.split(":")
        root = f"/sql/v1beta4/projects/{project}/instances/{instance}"
        if asked.path == f"{root}/connectSettings":
            addresses = [{"type": "PRIMARY", "ipAddress": "127.255.255.254"}]
            addresses.append({"type": "PRIVATE", "ipAddress": self.address})
            return Answer(
                {
                    "kind": "sql#connectSettings",
                    "serverCaCert": {"kind": "sql#sslCert", "cert": self.authority.pem.decode(), "instance": instance},
                    "ipAddresses": addresses,
                    "region": region,
                    "databaseVersion": "POSTGRES_15",
                    "backendType": "SECOND_GEN",
                }
            )
        if asked.path == f"{root}:generateEphemeralCert" and asked.method == "POST":
            return self._certificate(json.loads(asked.body))
        return _error(404)

    def sever(self) -> None:
        """End all connections at once, without a word."""
        with self._lock:
            ended, self._open = self._open, set()
        for each in ended:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def rotate_authority(self) -> None:
        """Change the instance's authority, as Cloud SQL does when a server certificate is rotated."""
        self.authority = _Authority("instance, later")

    def _certificate(self, request: dict[str, str]) -> Answer:
        key = serialization.load_pem_public_key(request["public_key"].encode())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Google Cloud SQL Client")])
        made = self.authority.sign(key, name, ca=False)
        self.certificates += 1
        if request.get("access_token", "") == f"token-for {_LOGIN_SCOPE}":
            self.with_login_token.add(f"{made.serial_number:X}")
        pem = made.public_bytes(serialization.Encoding.PEM).decode()
        return Answer({"ephemeralCert": {"kind": "sql#sslCert", "cert": pem, "instance": self.name}})

    def context(self, authority: _Authority) -> ssl.SSLContext:
        """Return the TLS server's context."""
        file = self._folder / f"{threading.get_ident()}.pem"
        key = authority.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(key + authority.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(file)
        context.verify_mode = ssl.CERT_REQUIRED
        trusted = _Authority("nobody") if self.refuses_clients else authority
        context.load_verify_locations(cadata=trusted.pem.decode())
        return context

    def serve_one(self, raw: socket.socket, presented: _Authority) -> None:
        """Serve one connection to its end."""
        with self._lock:
            self._open.add(raw)
        try:
            if self.is_silent:
                while raw.recv(4096):
                    pass
                return
            with self.context(presented).wrap_socket(raw, server_side=True) as client:
                self._open.add(client)
                with socket.socket(socket.AF_UNIX) as server:
                    server.connect(str(self.postgres))
                    self._relay(client, server)
        except (OSError, ssl.SSLError):
            pass
        finally:
            raw.close()

    def _relay(self, client: ssl.SSLSocket, server: socket.socket) -> None:
        first = client.recv(4096)
        if first == _SSL_REQUEST:
            # pg8000 asks for TLS inside of TLS, and goes on without when it hears no.
            client.sendall(b"N")
            first = client.recv(4096)
        certificate = client.getpeercert() or {}
        by_iam = str(certificate["serialNumber"]).lstrip("0") in self.with_login_token
        if b".iam\0" in first and not by_iam:
            return
        server.sendall(first)
        # On one thread: OpenSSL's connections are not for two at once, not even one that reads and one that writes.
        while True:
            ready = [client] if client.pending() else select.select([client, server], [], [], 60)[0]
            for end, other in ((client, server), (server, client)):
                if end in ready:
                    data = end.recv(65536)
                    if not data:
                        return
                    other.sendall(data)


def _error(status: int) -> Answer:
    return Answer({"error": {"code": status, "message": "refused by the fake with secret words"}}, status)


@contextmanager
def run_cloud_sql(postgres: Path) -> Iterator[FakeCloudSql]:
    """Run one before the PostgreSQL at a Unix socket."""
    instance = FakeCloudSql(postgres)
    listener = socket.create_server((instance.address, _PORT))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = listener.accept()
                threading.Thread(target=instance.serve_one, args=(raw, instance.authority), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        with serve(instance.handle) as endpoint:
            instance.endpoint = endpoint
            yield instance
            instance.api_release.set()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        instance.sever()
