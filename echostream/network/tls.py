"""TLS of the control server: verification, an own authority, a pinned certificate."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from typing import Final

from echostream.config.models import Tls
from echostream.errors import ConfigError

SHA256_HEX_DIGITS: Final = 64


class PinMismatch(ssl.SSLError):
    """The server showed another certificate than the pinned one."""


def build_context(tls: Tls) -> ssl.SSLContext:
    """A client context that verifies.

    The chain is verified against `ca_file` or the system's authorities, and the name against the URL or
    `server_name`. A pinned fingerprint without `ca_file` takes the place of both: it names one exact
    certificate, which is stricter than any authority and lets self-signed servers in. With both, both must
    hold.

    Raises ConfigError when the file or the fingerprint does not hold.
    """
    pin(tls)
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"control_server.tls.ca_file: {tls.ca_file!r} holds no certificate that can be read ({error}); "
            "expected a PEM file"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca_file:
        # Python 3.13 began to demand every extension of RFC 5280 by default; authorities made by hand often
        # lack the key identifiers. The chain, the name and the dates are verified all the same.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.fingerprint_sha256 and not tls.ca_file:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def pin(tls: Tls) -> bytes | None:
    """The pinned SHA-256 (32 bytes), or None. Raises ConfigError when it is not 64 hex digits."""
    if not tls.fingerprint_sha256:
        return None
    digits = tls.fingerprint_sha256.replace(":", "").replace(" ", "")
    try:
        digest = bytes.fromhex(digits)
    except ValueError:
        digest = b""
    if len(digits) != SHA256_HEX_DIGITS or len(digest) != hashlib.sha256().digest_size:
        raise ConfigError(
            f"control_server.tls.fingerprint_sha256: {tls.fingerprint_sha256!r} is not 64 hex digits; "
            "get it with: openssl x509 -noout -fingerprint -sha256 -in server.pem"
        )
    return digest


def check_pin(pinned: bytes | None, certificate_der: bytes | None) -> None:
    """Raise PinMismatch unless the peer's certificate (DER) has the pinned SHA-256. No pin: no check."""
    if pinned is None:
        return
    seen = hashlib.sha256(certificate_der or b"").digest()
    if not hmac.compare_digest(pinned, seen):
        raise PinMismatch(f"the server's certificate has SHA-256 {seen.hex()}, which is not the pinned one")
