"""Why a bucket refuses, in words that name the remedy, and how long to wait then. Pure: codes in, words out.

Codes: Amazon S3 API Reference, "Error responses"; those of Ceph, MinIO and others where they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from echostream.errors import EchoStreamError


class Cause(Enum):
    """What is wrong. Seconds: the first wait, and the longest one."""

    NETWORK = ("network", 1.0, 60.0)
    NAME = ("name", 2.0, 60.0)
    BUSY = ("busy", 2.0, 300.0)
    SERVER = ("server", 1.0, 120.0)
    CERTIFICATE = ("certificate", 15.0, 300.0)
    CLOCK = ("clock", 15.0, 300.0)
    DENIED = ("denied", 15.0, 600.0)
    CREDENTIALS = ("credentials", 15.0, 600.0)
    NO_BUCKET = ("no bucket", 15.0, 600.0)
    REGION = ("region", 15.0, 600.0)
    FULL = ("full", 60.0, 900.0)
    KEY_SERVICE = ("key service", 15.0, 600.0)
    DAMAGED = ("damaged on the way", 1.0, 300.0)
    FILE = ("file", 30.0, 3600.0)
    """This recording alone: others go on at once."""

    def __init__(self, word: str, first_s: float, most_s: float) -> None:
        self.word = word
        self.first_s = first_s
        self.most_s = most_s

    @property
    def of_all(self) -> bool:
        """Whether the others had better wait too."""
        return self not in (Cause.FILE, Cause.DAMAGED)


class Refused(EchoStreamError):
    """A recording, or anything else, that the bucket did not take. The message has the remedy."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. code: S3's word, or "" ; operation: as botocore calls it, "PutObject"."""

    operation: str
    code: str
    status: int
    message: str = ""


PERMISSIONS: Final = {
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "ListParts": "s3:ListMultipartUploadParts",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
}
_OF_THE_BUCKET: Final = ("s3:ListBucket", "s3:ListBucketMultipartUploads")
_CODES: Final[dict[Cause, tuple[str, ...]]] = {
    Cause.BUSY: (
        *("SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "RequestLimitExceeded"),
        *("Throttling", "ThrottlingException", "TooManyRequests", "Busy", "RequestThrottled"),
    ),
    Cause.SERVER: ("InternalError", "InternalFailure", "OperationAborted", "BadGateway", "RequestTimeout"),
    Cause.CLOCK: ("RequestTimeTooSkewed", "RequestExpired", "AuthorizationQueryParametersError"),
    Cause.CREDENTIALS: (
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
        *("TokenRefreshRequired", "NotSignedUp", "InvalidSecurity", "UnauthorizedAccess"),
    ),
    Cause.DENIED: ("AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "403", "401"),
    Cause.NO_BUCKET: ("NoSuchBucket", "InvalidBucketName"),
    Cause.REGION: (
        *("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301", "307"),
        "IllegalLocationConstraintException",
    ),
    Cause.FULL: (
        *("QuotaExceeded", "InsufficientStorage", "InsufficientCapacity", "StorageFull", "XMinioStorageFull"),
        *("XMinioAdminBucketQuotaExceeded", "ServiceQuotaExceeded", "StorageQuotaExceeded", "507"),
    ),
    Cause.DAMAGED: ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"),
}
_BY_CODE: Final = {code: cause for cause, codes in _CODES.items() for code in codes}


def cause_of(answer: Answer) -> Cause:
    """By its code, or its status where the code is unknown or there is none (HEAD has no body)."""
    if answer.code.startswith("KMS."):
        return Cause.KEY_SERVICE
    known = _BY_CODE.get(answer.code)
    if known is not None:
        return known
    by_status = {401: Cause.DENIED, 403: Cause.DENIED, 408: Cause.SERVER, 429: Cause.BUSY, 503: Cause.BUSY}
    by_status |= {301: Cause.REGION, 307: Cause.REGION, 507: Cause.FULL}
    if answer.status in by_status:
        return by_status[answer.status]
    return Cause.SERVER if answer.status >= 500 else Cause.FILE


def refused(answer: Answer, bucket: str, where: str) -> Refused:
    """In words. where: the server, as people know it."""
    cause = cause_of(answer)
    said = f"{answer.code or answer.status}"
    if answer.message and answer.message != answer.code:
        said += f": {' '.join(answer.message.split())[:200]}"
    return Refused(cause, f"{_remedy(cause, answer, bucket, where)} ({answer.operation}: {said})")


def _remedy(cause: Cause, answer: Answer, bucket: str, where: str) -> str:
    if cause is Cause.DENIED:
        permission = PERMISSIONS.get(answer.operation, answer.operation)
        resource = f"arn:aws:s3:::{bucket}" + ("" if permission in _OF_THE_BUCKET else "/*")
        return f"access to {bucket} at {where} is denied: the access key needs {permission} on {resource}"
    return {
        Cause.BUSY: f"{where} is overloaded and asks for less",
        Cause.SERVER: f"{where} has an error of its own",
        Cause.CLOCK: f"this machine's clock differs from that of {where}: set it (timedatectl set-ntp true)",
        Cause.CREDENTIALS: f"{where} does not know this access key, or the secret is wrong: "
        "look at s3.access_key_id and s3.secret_access_key",
        Cause.NO_BUCKET: f"there is no bucket {bucket!r} at {where}: make it, or correct s3.bucket",
        Cause.REGION: f"bucket {bucket!r} is in another region: set s3.region",
        Cause.FULL: f"bucket {bucket!r} at {where} is full: raise its quota, or delete what is old",
        Cause.KEY_SERVICE: "the key of the encryption cannot be used: look at s3.kms_key_id, and at what the "
        "access key may do with it (kms:GenerateDataKey, kms:Decrypt)",
        Cause.DAMAGED: "what arrived is not what was sent",
    }.get(cause, f"{where} refuses it")


def certificate_words(text: str, where: str) -> str:
    """What OpenSSL found, with the remedy."""
    low = text.lower()
    if "expired" in low:
        remedy = "it has expired: whoever runs the server must renew it (or this machine's clock is wrong)"
    elif "not yet valid" in low:
        remedy = "it is not valid yet: this machine's clock is wrong (timedatectl set-ntp true)"
    elif "mismatch" in low or "doesn't match" in low or "not valid for" in low:
        remedy = "it was made for another name: correct s3.endpoint_url"
    elif "self-signed" in low or "self signed" in low or "issuer" in low or "unknown ca" in low:
        remedy = "its authority is not known here: name it in s3.ca_file"
    else:
        remedy = " ".join(text.split())[-200:]
    return f"the certificate of {where} is refused: {remedy}"
