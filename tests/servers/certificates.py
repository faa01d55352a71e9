"""Certificates for TLS between a test and its server, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """
    Paths of PEM files.

    Attributes:
        ca: the authority that both sides trust.
        server, server_key: a certificate for 127.0.0.1 and localhost.
        client, client_key: a certificate for a client.
    """

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(directory: Path) -> Certificates:
    """Make an authority and two certificates of it in `directory`."""
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")

    def path(name: str) -> Path:
        return directory / name

    def openssl(*arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)

    # Python 3.13 insists on the extensions of RFC 5280, section 4.2.1: who has signed, and what the key is for.
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    of_ca = (*usage, "-subj", "/CN=test-ca", "-keyout", path("ca.key"), "-out", path("ca.pem"))
    openssl(*new, "-x509", "-days", 2, *of_ca)
    for name in ("server", "client"):
        key, request, certificate = path(f"{name}.key"), path(f"{name}.csr"), path(f"{name}.pem")
        extensions = path(f"{name}.ext")
        extensions.write_text(
            f"subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage={name}Auth\n"
            "keyUsage=critical,digitalSignature\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        openssl(*new, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        authority = ("-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial", "-days", 2)
        openssl("x509", "-req", "-in", request, *authority, "-extfile", extensions, "-out", certificate)
    return Certificates(path("ca.pem"), path("server.pem"), path("server.key"), path("client.pem"), path("client.key"))


__all__ = ["Certificates", "make_certificates"]
