"""From when until when an X.509 certificate holds, read from its DER or PEM. Pure.

Python's ssl tells the dates of a verified certificate only, and the one that is looked for here often is not.
ITU-T X.690 (DER) and RFC 5280, section 4.1: Certificate is a SEQUENCE of TBSCertificate and more, which has
[0] version, serialNumber, signature, issuer, validity; validity is two times.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.S)
_CENTURY: Final = 50
"""RFC 5280, 4.1.2.5.1: a year below 50 is 20YY, any other 19YY."""


class NoCertificate(ValueError):
    """These bytes are no certificate."""


@dataclass(frozen=True, slots=True)
class Validity:
    """Both with their time zone."""

    begins: datetime
    ends: datetime

    def days_left(self, now: datetime) -> float:
        """Below zero: it has ended."""
        return (self.ends - now).total_seconds() / 86_400


def validity_of_der(der: bytes) -> Validity:
    """Of one certificate. Raises NoCertificate, and nothing else."""
    certificate, _ = _inside(der, _SEQUENCE)
    tbs, _ = _inside(certificate, _SEQUENCE)
    if tbs[:1] == bytes([_VERSION]):
        tbs = _after(tbs)
    for _ in range(3):  # serial number, signature, issuer
        tbs = _after(tbs)
    dates, _ = _inside(tbs, _SEQUENCE)
    return Validity(_time(dates), _time(_after(dates)))


def validities_of_pem(text: bytes) -> list[Validity]:
    """Of each certificate in a PEM file. Raises NoCertificate where there is none, or one is broken."""
    found = [validity_of_der(_base64(block)) for block in _PEM.findall(text)]
    if not found:
        raise NoCertificate("no certificate in it")
    return found


def _base64(block: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(block.split()), validate=True)
    except binascii.Error as error:
        raise NoCertificate(f"broken base64: {error}") from None


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """The first element: its tag, what is in it, what follows it."""
    if len(data) < 2:
        raise NoCertificate("it ends too early")
    tag, length, head = data[0], data[1], 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or len(data) < 2 + size:
            raise NoCertificate("a length that cannot be")
        length, head = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    if len(data) < head + length:
        raise NoCertificate("it ends too early")
    return tag, data[head : head + length], data[head + length :]


def _inside(data: bytes, tag: int) -> tuple[bytes, bytes]:
    found, inner, after = _element(data)
    if found != tag:
        raise NoCertificate(f"tag {found:#x} where {tag:#x} should be")
    return inner, after


def _after(data: bytes) -> bytes:
    return _element(data)[2]


def _time(data: bytes) -> datetime:
    tag, inner, _ = _element(data)
    try:
        text = inner.decode("ascii")
        if tag == _UTC_TIME:
            text = ("20" if int(text[:2]) < _CENTURY else "19") + text
        elif tag != _GENERALIZED_TIME:
            raise NoCertificate(f"tag {tag:#x} where a time should be")
        if not re.fullmatch(r"\d{14}Z", text):
            raise NoCertificate("a time of another form")
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except NoCertificate:
        raise
    except ValueError as error:
        raise NoCertificate(f"a time that cannot be: {error}") from None
