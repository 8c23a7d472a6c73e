"""Who asks: AWS Signature Version 4, in headers and in addresses, as S3 has it.

Source: "Authenticating Requests (AWS Signature Version 4)" of the Amazon S3 API reference. Pure.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote

from echostream.simulator.bucket_store import Refused

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
STREAMED: Final = "STREAMING-"
MOST_SKEW_S: Final = 900.0
LONGEST_S: Final = 7 * 86400


@dataclass(frozen=True, slots=True)
class Request:
    """target: as it came, path and query. headers: names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Claim:
    key_id: str
    scope: str
    signed: tuple[str, ...]
    signature: str
    stamp: str
    payload: str


class Signatures:
    """One user: key_id and secret."""

    def __init__(self, key_id: str, secret: str) -> None:
        self._key_id = key_id
        self._secret = secret

    def check(self, request: Request, now_s: float) -> str:
        """What is signed of the body: its SHA-256 in hex, or "" where it is not. Raises Refused."""
        claim = (
            _from_address(request, now_s)
            if "X-Amz-Signature=" in request.target
            else _from_header(request, now_s)
        )
        if claim.key_id != self._key_id:
            raise Refused("InvalidAccessKeyId", "no such access key id")
        text = "\n".join((ALGORITHM, claim.stamp, claim.scope, _digest(_canonical(request, claim))))
        key = f"AWS4{self._secret}".encode()
        for part in claim.scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        expected = hmac.digest(key, text.encode(), "sha256").hex()
        if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
            raise Refused("SignatureDoesNotMatch", "signed with another secret, or changed on the way")
        return "" if claim.payload == UNSIGNED else claim.payload


def _from_header(request: Request, now_s: float) -> _Claim:
    kind, _, rest = request.headers.get("authorization", "").partition(" ")
    if kind != ALGORITHM:
        raise Refused("AccessDenied", "no signature of version 4")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    payload = request.headers.get("x-amz-content-sha256", "")
    if not payload:
        raise Refused("InvalidRequest", "x-amz-content-sha256 is missing")
    if payload.startswith(STREAMED):
        raise Refused("NotImplemented", "bodies in signed chunks are not taken here")
    stamp = request.headers.get("x-amz-date", "")
    if abs(now_s - _seconds(stamp)) > MOST_SKEW_S:
        raise Refused("RequestTimeTooSkewed", "the clocks differ by more than 15 minutes")
    key_id, _, scope = parts.get("Credential", "").partition("/")
    signed = tuple(parts.get("SignedHeaders", "").split(";"))
    return _claim(key_id, scope, signed, parts.get("Signature", ""), stamp, payload)


def _from_address(request: Request, now_s: float) -> _Claim:
    given = dict(_query(request))
    stamp, lasts = given.get("X-Amz-Date", ""), given.get("X-Amz-Expires", "")
    if given.get("X-Amz-Algorithm") != ALGORITHM or not lasts.isdigit() or int(lasts) > LONGEST_S:
        raise Refused("AuthorizationQueryParametersError", "no signature of version 4, or too long")
    signed_s = _seconds(stamp)
    if now_s > signed_s + int(lasts) or now_s < signed_s - MOST_SKEW_S:
        raise Refused("AccessDenied", "Request has expired")
    key_id, _, scope = given.get("X-Amz-Credential", "").partition("/")
    signed = tuple(given.get("X-Amz-SignedHeaders", "").split(";"))
    return _claim(key_id, scope, signed, given.get("X-Amz-Signature", ""), stamp, UNSIGNED)


def _claim(
    key_id: str, scope: str, signed: tuple[str, ...], signature: str, stamp: str, payload: str
) -> _Claim:
    parts = scope.split("/")
    if len(parts) != 4 or parts[2:] != ["s3", "aws4_request"] or parts[0] != stamp[:8]:
        raise Refused("AuthorizationHeaderMalformed", "the scope is DATE/REGION/s3/aws4_request")
    if "host" not in signed:
        raise Refused("AuthorizationHeaderMalformed", "host is not signed")
    return _Claim(key_id, scope, signed, signature, stamp, payload)


def _canonical(request: Request, claim: _Claim) -> str:
    path, _, _ = request.target.partition("?")
    query = "&".join(
        f"{name}={value}"
        for name, value in sorted(
            (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
            for name, value in _query(request)
            if name != "X-Amz-Signature"
        )
    )
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in claim.signed)
    return "\n".join((request.method, path, query, headers, ";".join(claim.signed), claim.payload))


def _query(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(request.target.partition("?")[2].replace("+", "%2B"), keep_blank_values=True)


def _seconds(stamp: str) -> float:
    try:
        when = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
    except ValueError:
        raise Refused("AccessDenied", "x-amz-date is missing or no date") from None
    return when.replace(tzinfo=datetime.UTC).timestamp()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
