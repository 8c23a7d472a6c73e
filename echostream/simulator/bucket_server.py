"""A small S3 server on this machine, to try uploads out: objects, parts, listings, signatures of version 4.

What it answers follows the Amazon S3 API reference. It is no store for anything that matters: one user, no
redundancy, and a loopback address.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import logging
import re
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote
from xml.etree import ElementTree

from echostream.simulator.bucket_bodies import CHUNK_BYTES, MOST_XML_BYTES, receive, xml
from echostream.simulator.bucket_signature import Request, Signatures
from echostream.simulator.bucket_store import BucketStore, Refused, Stored

log = logging.getLogger(__name__)

IDLE_S: Final = 60.0
MOST_CONNECTIONS: Final = 64
STATUS: Final = {
    "AccessDenied": 403,
    "InvalidAccessKeyId": 403,
    "SignatureDoesNotMatch": 403,
    "RequestTimeTooSkewed": 403,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "MethodNotAllowed": 405,
    "BucketAlreadyOwnedByYou": 409,
    "MissingContentLength": 411,
    "PreconditionFailed": 412,
    "InvalidRange": 416,
    "NotImplemented": 501,
}
"""All others: 400."""
KEPT: Final = (
    "content-type",
    "content-disposition",
    "content-encoding",
    "cache-control",
    "x-amz-storage-class",
)
MAY_BE_EMPTY: Final = {"prefix", "delimiter", "start-after", "continuation-token"}
"""Every other name without a value names a part of an object or bucket (`?uploads`, `?acl`)."""
KEPT_PREFIXES: Final = ("x-amz-meta-", "x-amz-server-side-encryption")


class BucketServer(socketserver.ThreadingMixIn, HTTPServer):
    """Serves from `start` to `stop`. Thread `bucket-server`, and one for each connection."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, host: str, port: int, directory: Path, key_id: str, secret: str) -> None:
        """Raises OSError where the port is taken or the folder cannot be written."""
        self.store = BucketStore(directory)
        self.signatures = Signatures(key_id, secret)
        self.clock: Callable[[], float] = time.time
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((host, port), Handler)
        self.url = f"http://{host}:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="bucket-server")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join(2.0)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        serve = partial(self._serve, request, client_address)
        threading.Thread(target=serve, name=f"bucket-{client_address[1]}", daemon=True).start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            with contextlib.suppress(OSError):  # the client went
                self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)
            self._free.release()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "EchoStream"
    sys_version = ""
    timeout = IDLE_S
    server: BucketServer

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the base class's names

    def _answer(self) -> None:
        self._known = {name.lower(): value.strip() for name, value in self.headers.items()}
        path, _, query = self.path.partition("?")
        self._query = dict(parse_qsl(query, keep_blank_values=True))
        self._bucket, _, self._key = unquote(path).lstrip("/").partition("/")
        self._unread = self._length()
        self._signed = ""
        try:
            if self._unread < 0:
                raise Refused("MissingContentLength", "Content-Length is missing")
            request = Request(self.command, self.path, self._known)
            self._signed = self.server.signatures.check(request, self.server.clock())
            self._operation()()
        except Refused as error:
            self._refuse(error)

    def _length(self) -> int:
        """-1: a body of unknown length."""
        if "transfer-encoding" in self._known:
            return -1
        text = self._known.get("content-length", "0")
        return int(text) if text.isdigit() else -1

    def _operation(self) -> Callable[[], None]:
        asked = {name for name, value in self._query.items() if not value and name not in MAY_BE_EMPTY}
        asked |= {"uploadId"} & self._query.keys()
        what = (self.command, "object" if self._key else "bucket" if self._bucket else "", *sorted(asked))
        operations: dict[tuple[str, ...], Callable[[], None]] = {
            ("GET", ""): self._list_buckets,
            ("PUT", "bucket"): self._make_bucket,
            ("HEAD", "bucket"): self._list_objects,
            ("GET", "bucket"): self._list_objects,
            ("GET", "bucket", "location"): self._location,
            ("GET", "bucket", "uploads"): self._list_uploads,
            ("PUT", "object"): self._put,
            ("GET", "object"): self._get,
            ("HEAD", "object"): self._get,
            ("DELETE", "object"): self._delete,
            ("POST", "object", "uploads"): self._begin_upload,
            ("PUT", "object", "uploadId"): self._put_part,
            ("GET", "object", "uploadId"): self._list_parts,
            ("POST", "object", "uploadId"): self._complete_upload,
            ("DELETE", "object", "uploadId"): self._abort_upload,
        }
        if what not in operations:
            raise Refused("NotImplemented", f"{' '.join(what)}: this server does not know that")
        return operations[what]

    # ---- buckets

    def _list_buckets(self) -> None:
        named = [{"Name": name} for name in self.server.store.buckets()]
        self._xml("ListAllMyBucketsResult", {"Buckets": {"Bucket": named}})

    def _make_bucket(self) -> None:
        self._text()
        self.server.store.make(self._bucket)
        self._send(200, {})

    def _location(self) -> None:
        self.server.store.listed(self._bucket, "", "", 0)
        self._xml("LocationConstraint", {})

    def _list_objects(self) -> None:
        most = min(1000, _whole(self._query.get("max-keys", "1000")))
        prefix = self._query.get("prefix", "")
        after = self._query.get("continuation-token") or self._query.get("start-after", "")
        found, more = self.server.store.listed(self._bucket, prefix, after, most)
        told = [
            {"Key": one.key, "LastModified": _iso(one.modified_s), "ETag": f'"{one.etag}"', "Size": one.size}
            for one in found
        ]
        tree: dict[str, Any] = {
            "Name": self._bucket,
            "Prefix": prefix,
            "KeyCount": len(found),
            "MaxKeys": most,
        }
        tree |= {"IsTruncated": str(more).lower(), "Contents": told}
        if more:
            tree["NextContinuationToken"] = found[-1].key
        self._xml("ListBucketResult", tree)

    # ---- objects

    def _put(self) -> None:
        if "x-amz-copy-source" in self._known:
            raise Refused("NotImplemented", "this server does not copy")
        if self._known.get("if-none-match") == "*" and self.server.store.has(self._bucket, self._key):
            raise Refused("PreconditionFailed", "there is an object of that key")
        headers = self._kept()
        etag = self._receive(
            lambda path, md5: self.server.store.keep(self._bucket, self._key, path, md5, headers)
        )
        self._send(200, {"ETag": f'"{etag}"', **_encryption(headers)})

    def _get(self) -> None:
        found = self.server.store.get(self._bucket, self._key)
        begin, end = self._range(found)
        headers = {
            **found.headers,
            "ETag": f'"{found.etag}"',
            "Last-Modified": email.utils.formatdate(found.modified_s, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        status = 200 if "range" not in self._known else 206
        if status == 206:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{found.size}"
        self._head(status, headers, end - begin)
        if self.command == "HEAD":
            return
        with found.path.open("rb") as file:
            file.seek(begin)
            left = end - begin
            while left and (chunk := file.read(min(CHUNK_BYTES, left))):
                self.wfile.write(chunk)
                left -= len(chunk)

    def _range(self, found: Stored) -> tuple[int, int]:
        """(first byte, byte after the last one) of what is asked for."""
        asked = self._known.get("range")
        if asked is None:
            return 0, found.size
        match = re.fullmatch(r"bytes=(\d{1,18})-(\d{0,18})", asked)
        if match is None or int(match[1]) >= found.size:
            raise Refused("InvalidRange", "only bytes=FIRST-LAST and bytes=FIRST-, within the object")
        last = int(match[2]) if match[2] else found.size - 1
        return int(match[1]), max(int(match[1]), min(last, found.size - 1)) + 1

    def _delete(self) -> None:
        self.server.store.delete(self._bucket, self._key)
        self._send(204, {})

    # ---- uploads in parts

    def _begin_upload(self) -> None:
        self._text()
        headers = self._kept()
        upload_id = self.server.store.begin(self._bucket, self._key, headers)
        self._xml("InitiateMultipartUploadResult", self._named(upload_id), _encryption(headers))

    def _put_part(self) -> None:
        number = _whole(self._query.get("partNumber", ""))
        if not 1 <= number <= 10_000:
            raise Refused("InvalidArgument", "partNumber is 1 to 10,000")
        upload = self.server.store.upload(self._bucket, self._key, self._query["uploadId"])
        etag = self._receive(lambda path, md5: self.server.store.keep_part(upload, number, path, md5))
        self._send(200, {"ETag": f'"{etag}"'})

    def _list_parts(self) -> None:
        upload = self.server.store.upload(self._bucket, self._key, self._query["uploadId"])
        told = [
            {"PartNumber": number, "ETag": f'"{part.etag}"', "Size": part.size}
            for number, part in self.server.store.parts(upload).items()
        ]
        self._xml("ListPartsResult", {**self._named(upload.upload_id), "IsTruncated": "false", "Part": told})

    def _list_uploads(self) -> None:
        told = [
            {"Key": one.key, "UploadId": one.upload_id, "Initiated": _iso(one.begun_s)}
            for one in self.server.store.uploads(self._bucket)
        ]
        tree = {"Bucket": self._bucket, "IsTruncated": "false", "Upload": told}
        self._xml("ListMultipartUploadsResult", tree)

    def _complete_upload(self) -> None:
        upload = self.server.store.upload(self._bucket, self._key, self._query["uploadId"])
        etag = self.server.store.complete(upload, _parts_of(self._text()))
        tree = {"Bucket": self._bucket, "Key": self._key, "ETag": f'"{etag}"'}
        self._xml("CompleteMultipartUploadResult", tree)

    def _abort_upload(self) -> None:
        self.server.store.abort(self.server.store.upload(self._bucket, self._key, self._query["uploadId"]))
        self._send(204, {})

    # ---- bodies and answers

    def _named(self, upload_id: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._key, "UploadId": upload_id}

    def _kept(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in self._known.items()
            if name in KEPT or name.startswith(KEPT_PREFIXES)
        }
        return {"content-type": "binary/octet-stream", **kept}

    def _receive(self, keep: Callable[[Path, str], None]) -> str:
        """The body, kept once it is whole and right; its MD5 in hex."""
        size, self._unread = self._unread, 0
        self.close_connection = True  # until the whole body is read
        got = receive(self.rfile, size, self.server.store.scratch(), self._known, self._signed)
        self.close_connection = self._known.get("connection", "").lower() == "close"
        try:
            keep(got.path, got.md5)
        finally:
            got.path.unlink(missing_ok=True)
        return got.md5

    def _text(self) -> bytes:
        if self._unread > MOST_XML_BYTES:
            raise Refused("MalformedXML", "too long")
        size, self._unread = self._unread, 0
        return self.rfile.read(size)

    def _refuse(self, error: Refused) -> None:
        if self._unread:
            self.close_connection = True  # what follows on it would be the body
        body = xml(
            "Error", {"Code": error.code, "Message": str(error), "Resource": self._key or self._bucket}
        )
        self._send(STATUS.get(error.code, 400), {"Content-Type": "application/xml"}, body)

    def _xml(self, name: str, tree: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self._send(200, {"Content-Type": "application/xml", **(headers or {})}, xml(name, tree))

    def _send(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self._head(status, headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _encryption(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("x-amz-server-side-encryption")}


def _parts_of(text: bytes) -> list[tuple[int, str]]:
    """(number, ETag) of CompleteMultipartUpload, in the order of the request."""
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise Refused("MalformedXML", "no document type is taken")
    try:
        parts = ElementTree.fromstring(text).findall("{*}Part")
        return [
            (_whole(part.findtext("{*}PartNumber") or ""), part.findtext("{*}ETag") or "") for part in parts
        ]
    except ElementTree.ParseError as error:
        raise Refused("MalformedXML", str(error)) from None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refused("InvalidArgument", f"{text[:20]!r} is no whole number")
    return int(text)


def _iso(at_s: float) -> str:
    return datetime.datetime.fromtimestamp(at_s, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
