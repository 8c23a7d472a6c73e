"""The door to S3: botocore, the part of boto3 that speaks with servers; what boto3 has besides is 12 MB that
nobody here needs. It is imported when a `Bucket` is made: 0.3 s, in the thread that sends."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from echostream.uploads.aws_data import loader
from echostream.uploads.body import Body, Stopped
from echostream.uploads.causes import Answer, Cause, Refused, certificate_words, refused

if TYPE_CHECKING:
    from echostream.config.s3_models import S3

CONNECT_S: Final = 10
ANSWER_S: Final = 60
_OF_PARTS: Final = ("UploadPart", "ListParts", "CompleteMultipartUpload", "AbortMultipartUpload")
"""Of an upload that is gone Ceph says "NoSuchKey" to these."""
REGION: Final = "us-east-1"
"""Where nobody says one: servers other than Amazon's do not mind."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is there. etag: without its quotes. metadata: names in lower case."""

    size: int
    etag: str
    encryption: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that is there."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload in parts that was begun and not ended. age_s: by the server's own clock."""

    key: str
    upload_id: str
    age_s: float


@dataclass(frozen=True, slots=True)
class Label:
    """What is stored beside an object."""

    content_type: str
    metadata: Mapping[str, str]
    extra: Mapping[str, str] = field(default_factory=dict)


def extra_of(s3: S3) -> dict[str, str]:
    """Encryption and storage class, as the requests have them."""
    given = {
        "ServerSideEncryption": s3.encryption,
        "SSEKMSKeyId": s3.kms_key_id,
        "StorageClass": s3.storage_class,
    }
    return {name: value for name, value in given.items() if value is not None}


def target_of(s3: S3) -> str:
    """Which bucket, among all servers: `s3://BUCKET`, or the address of another server's."""
    if s3.endpoint_url is None:
        return f"s3://{s3.bucket}"
    return f"{s3.endpoint_url.rstrip('/')}/{s3.bucket}"


class Bucket:
    """One bucket. Methods raise Refused, and Stopped where a Body did. Any one thread at a time."""

    def __init__(self, s3: S3, keys: tuple[str, str] | None) -> None:
        """keys: access key id and secret; None: the standard chain (environment, files, role)."""
        self.name = s3.bucket
        self.where = "Amazon S3" if s3.endpoint_url is None else urlsplit(s3.endpoint_url).netloc
        with self._in_words():
            self._client = _made(s3, keys)

    def close(self) -> None:
        """Its connections."""
        self._client.close()

    def look(self) -> None:
        """Whether it can be reached, is there, and may be used."""
        self._call("list_objects_v2", MaxKeys=1)

    def head(self, key: str) -> Stored | None:
        """What is there under that name; None: nothing."""
        try:
            found = self._call("head_object", Key=key)
        except _Missing:
            return None
        return Stored(
            int(found["ContentLength"]),
            found["ETag"].strip('"'),
            found.get("ServerSideEncryption", ""),
            {name.lower(): value for name, value in found.get("Metadata", {}).items()},
        )

    def put(self, key: str, body: Body, md5: bytes, label: Label) -> tuple[str, str]:
        """All of it in one request. Its ETag, and which encryption it has."""
        done = self._call("put_object", Key=key, Body=body, ContentMD5=_base64(md5), **_labelled(label))
        return _etag(done)

    def put_bytes(self, key: str, data: bytes, label: Label) -> None:
        """A small object, as put() would store it."""
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        self._call("put_object", Key=key, Body=data, ContentMD5=_base64(md5), **_labelled(label))

    def delete(self, key: str) -> None:
        """Nothing is there under that name any more."""
        self._call("delete_object", Key=key)

    def begin(self, key: str, label: Label) -> str:
        """An upload in parts: its id."""
        return str(self._call("create_multipart_upload", Key=key, **_labelled(label))["UploadId"])

    def put_part(self, key: str, upload_id: str, number: int, body: Body, md5: bytes) -> tuple[str, str]:
        """One part; its ETag and encryption. LookupError: there is no such upload any more."""
        part = {"UploadId": upload_id, "PartNumber": number, "Body": body, "ContentMD5": _base64(md5)}
        return _etag(self._call("upload_part", Key=key, **part))

    def parts(self, key: str, upload_id: str) -> dict[int, StoredPart]:
        """Those that are there. LookupError: there is no such upload any more."""
        found: dict[int, StoredPart] = {}
        after = 0
        while True:
            page = self._call("list_parts", Key=key, UploadId=upload_id, PartNumberMarker=after)
            for one in page.get("Parts", ()):
                found[one["PartNumber"]] = StoredPart(one["PartNumber"], one["Size"], one["ETag"].strip('"'))
            following = int(page.get("NextPartNumberMarker") or 0)
            if not page.get("IsTruncated") or following <= after:
                return found
            after = following

    def complete(self, key: str, upload_id: str, etags: Mapping[int, str]) -> tuple[str, str]:
        """Make one object of the parts. Its ETag, and which encryption it has. LookupError as above."""
        parts = [{"PartNumber": number, "ETag": f'"{etags[number]}"'} for number in sorted(etags)]
        done = self._call(
            "complete_multipart_upload", Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
        )
        return _etag(done)

    def abort(self, key: str, upload_id: str) -> None:
        """Give its parts up; nothing happens where there is none."""
        try:
            self._call("abort_multipart_upload", Key=key, UploadId=upload_id)
        except LookupError:
            return

    def begun(self, prefix: str, most: int = 1000) -> Iterator[Begun]:
        """Uploads in parts under names that begin so, at most so many."""
        page = self._call("list_multipart_uploads", Prefix=prefix, MaxUploads=most)
        now = _server_time(page)
        for one in page.get("Uploads", ()):
            age_s = (now - one["Initiated"]).total_seconds() if now is not None else 0.0
            yield Begun(one["Key"], one["UploadId"], age_s)

    def url(self, key: str, hours: float) -> str:
        """A link that works for so long, for whoever has it. Asks nobody."""
        params = {"Bucket": self.name, "Key": key}
        seconds = round(hours * 3600)
        with self._in_words():
            return str(self._client.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds))

    # ---- inside

    def _call(self, name: str, **values: object) -> Any:
        with self._in_words():
            return getattr(self._client, name)(Bucket=self.name, **values)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """What botocore raises, in our words."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise self._answered(error) from None
        except BotoCoreError as error:
            raise _unanswered(error, self.where) from None
        except ValueError as error:  # an address that is none
            text = (
                f"{self.where} cannot be asked: {_short(str(error))}: look at s3.endpoint_url and s3.region"
            )
            raise Refused(Cause.NAME, text) from None

    def _answered(self, error: Any) -> Exception:
        told = error.response.get("Error", {})
        code = str(told.get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code == "NoSuchUpload" or (code == "NoSuchKey" and error.operation_name in _OF_PARTS):
            return LookupError("that upload in parts is gone")
        if error.operation_name == "HeadObject" and status == 404 and code != "NoSuchBucket":
            return _Missing()
        answer = Answer(error.operation_name, code, status, str(told.get("Message", "")))
        return refused(answer, self.name, self.where)


class _Missing(Exception):
    """HEAD found nothing."""


def _made(s3: S3, keys: tuple[str, str] | None) -> Any:
    from botocore.config import Config
    from botocore.session import get_session

    path_style = s3.path_style if s3.path_style is not None else s3.endpoint_url is not None
    session = get_session()
    session.register_component("data_loader", loader())
    client = session.create_client(
        "s3",
        region_name=s3.region or session.get_config_variable("region") or REGION,
        endpoint_url=s3.endpoint_url,
        aws_access_key_id=None if keys is None else keys[0],
        aws_secret_access_key=None if keys is None else keys[1],
        verify=s3.ca_file,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if path_style else "virtual"},
            connect_timeout=CONNECT_S,
            read_timeout=ANSWER_S,
            # Who waits, and for how long, is decided in one place: pace.py.
            retries={"total_max_attempts": 1, "mode": "standard"},
            # Each part has its Content-MD5; trailing checksums are not known to older servers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=2,
            tcp_keepalive=True,
            user_agent_extra="echostream",
            # A proxy of the environment is for what is elsewhere.
            proxies={} if _is_here(s3.endpoint_url) else None,
        ),
    )
    client.meta.events.register("before-send.s3", _leaves)
    return client


def _is_here(url: str | None) -> bool:
    host = "" if url is None else urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def _leaves(request: Any, **_: object) -> None:
    """From now on what is read of the body leaves the machine."""
    if isinstance(request.body, Body):
        request.body.sending = True


def _labelled(label: Label) -> dict[str, object]:
    return {"ContentType": label.content_type, "Metadata": dict(label.metadata), **label.extra}


def _etag(done: Any) -> tuple[str, str]:
    """The ETag, and which encryption it is of."""
    return str(done["ETag"]).strip('"'), str(done.get("ServerSideEncryption", ""))


def _base64(md5: bytes) -> str:
    return base64.b64encode(md5).decode()


def _server_time(page: Any) -> Any:
    from email.utils import parsedate_to_datetime

    text = page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(text) if text else None


def _unanswered(error: Any, where: str) -> Exception:
    """The request did not get through."""
    from botocore import exceptions as known

    inner = getattr(error, "kwargs", {}).get("error")
    if isinstance(inner, Stopped):
        return inner
    text = " ".join(str(inner or error).split())
    if isinstance(error, known.SSLError):
        return Refused(Cause.CERTIFICATE, certificate_words(text, where))
    if isinstance(error, known.NoCredentialsError | known.CredentialRetrievalError):
        remedy = "name s3.access_key_id and s3.secret_access_key, or give the machine a role"
        return Refused(Cause.CREDENTIALS, f"no credentials: {remedy} ({text})")
    if isinstance(error, known.PartialCredentialsError | known.TokenRetrievalError | known.NoAuthTokenError):
        return Refused(Cause.CREDENTIALS, f"the credentials cannot be used: {text}")
    if isinstance(error, known.HTTPClientError | known.ConnectionError | known.ResponseStreamingError):
        if any(words in text for words in _NO_NAME):
            return Refused(
                Cause.NAME, f"the name {where} is not found: look at the network and its name server"
            )
        return Refused(Cause.NETWORK, f"{where} cannot be reached: {_short(text)}")
    return Refused(Cause.FILE, f"it cannot be asked for: {_short(text)}")


_NO_NAME: Final = (
    *("Failed to resolve", "NameResolution", "Name or service not known", "name resolution"),
    *("nodename nor servname", "No address associated"),
)


def _short(text: str) -> str:
    return text if len(text) <= 240 else f"{text[:237]}..."
