"""The small S3 server against Amazon's own client: what it takes, gives back, and refuses."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from echostream.simulator.bucket_server import BucketServer
from echostream.simulator.bucket_store import BucketStore, Refused

MIB = 1 << 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BucketServer]:
    server = BucketServer("127.0.0.1", 0, tmp_path / "data", "some-id", "some-secret")
    server.store.make("county")
    server.start()
    yield server
    server.stop()


def client(server: BucketServer, key_id: str = "some-id", secret: str = "some-secret") -> Any:
    settings = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        retries={"max_attempts": 0},
        connect_timeout=5,
        read_timeout=5,
    )
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=settings,
    )


@pytest.fixture
def s3(server: BucketServer) -> Iterator[Any]:
    made = client(server)
    yield made
    made.close()


def code_of(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def kept(server: BucketServer) -> list[str]:
    """Keys that are there, and nothing half-written beside them."""
    assert not list((server.store.directory / ".new").iterdir())
    return [one.key for one in server.store.listed("county", "", "", 1000)[0]]


@pytest.mark.parametrize("key", ["a.flac", "station 7/ü+&=%?#/2026-11-21.flac", "x" * 200, "~a(b)'c*!$,;:@"])
def test_an_object_comes_back_with_all_that_was_said_of_it(s3: Any, key: str) -> None:
    body = os.urandom(200_001)
    s3.put_object(
        Bucket="county",
        Key=key,
        Body=body,
        ContentType="audio/flac",
        Metadata={"channel": "fire-dispatch"},
        ServerSideEncryption="AES256",
        StorageClass="STANDARD_IA",
    )
    head = s3.head_object(Bucket="county", Key=key)
    assert head["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert (head["ContentLength"], head["ContentType"]) == (len(body), "audio/flac")
    assert (head["Metadata"], head["ServerSideEncryption"]) == ({"channel": "fire-dispatch"}, "AES256")
    assert head["StorageClass"] == "STANDARD_IA"
    assert s3.get_object(Bucket="county", Key=key)["Body"].read() == body
    assert s3.get_object(Bucket="county", Key=key, Range="bytes=7-9")["Body"].read() == body[7:10]
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="county")["Contents"]] == [key]
    s3.delete_object(Bucket="county", Key=key)
    assert s3.list_objects_v2(Bucket="county")["KeyCount"] == 0


def test_a_long_listing_comes_in_pages(s3: Any) -> None:
    for number in range(7):
        s3.put_object(Bucket="county", Key=f"in/{number}", Body=b"x")
    s3.put_object(Bucket="county", Key="out/0", Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="county", Prefix="in/", PaginationConfig={"PageSize": 3}
    )
    found = [[one["Key"] for one in page["Contents"]] for page in pages]
    assert [len(page) for page in found] == [3, 3, 1]
    assert [key for page in found for key in page] == [f"in/{number}" for number in range(7)]


def test_parts_survive_a_restart_and_become_one_object(server: BucketServer, s3: Any) -> None:
    named = {"Bucket": "county", "Key": "long.flac"}
    upload = {**named, "UploadId": s3.create_multipart_upload(**named, Metadata={"a": "b"})["UploadId"]}
    bodies = [os.urandom(5 * MIB), os.urandom(5 * MIB), b"the end"]
    s3.upload_part(**upload, PartNumber=2, Body=bodies[1])
    s3.upload_part(**upload, PartNumber=1, Body=bodies[2])  # and sent anew, below
    again = BucketServer("127.0.0.1", 0, server.store.directory, "some-id", "some-secret")
    again.start()
    try:
        other = client(again)
        assert [one["Key"] for one in other.list_multipart_uploads(Bucket="county")["Uploads"]] == [
            "long.flac"
        ]
        other.upload_part(**upload, PartNumber=1, Body=bodies[0])
        other.upload_part(**upload, PartNumber=3, Body=bodies[2])
        parts = other.list_parts(**upload)["Parts"]
        assert [part["Size"] for part in parts] == [len(body) for body in bodies]
        wanted = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
        other.complete_multipart_upload(**upload, MultipartUpload={"Parts": wanted})
        other.close()
    finally:
        again.stop()
    head = s3.head_object(**named)
    sums = b"".join(hashlib.md5(body).digest() for body in bodies)
    assert head["ETag"] == f'"{hashlib.md5(sums).hexdigest()}-3"'
    assert head["Metadata"] == {"a": "b"}
    assert s3.get_object(**named)["Body"].read() == b"".join(bodies)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="county")


def test_an_upload_that_is_not_whole_is_refused_and_can_be_aborted(s3: Any, server: BucketServer) -> None:
    named = {"Bucket": "county", "Key": "k"}
    upload = {**named, "UploadId": s3.create_multipart_upload(**named)["UploadId"]}
    etags = [s3.upload_part(**upload, PartNumber=number, Body=b"small")["ETag"] for number in (1, 2)]

    def complete(*parts: tuple[int, str]) -> str:
        wanted = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        with pytest.raises(ClientError) as error:
            s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": wanted})
        return code_of(error.value)

    assert complete((1, etags[0]), (3, etags[1])) == "InvalidPart"
    assert complete((1, '"0123"')) == "InvalidPart"
    assert complete((2, etags[1]), (1, etags[0])) == "InvalidPartOrder"
    assert complete((1, etags[0]), (2, etags[1])) == "EntityTooSmall"
    s3.abort_multipart_upload(**upload)
    assert complete((1, etags[0])) == "NoSuchUpload"
    assert kept(server) == []


@pytest.mark.parametrize(
    ("key_id", "secret", "code"),
    [("other", "some-secret", "InvalidAccessKeyId"), ("some-id", "other", "SignatureDoesNotMatch")],
)
def test_who_has_another_key_is_refused(server: BucketServer, key_id: str, secret: str, code: str) -> None:
    stranger = client(server, key_id, secret)
    with pytest.raises(ClientError) as error:
        stranger.put_object(Bucket="county", Key="k", Body=b"x")
    assert code_of(error.value) == code
    stranger.close()
    assert kept(server) == []


def test_a_clock_that_is_off_is_told_so(server: BucketServer, s3: Any) -> None:
    real = server.clock
    for off_s, refused in ((-1000.0, True), (1000.0, True), (800.0, False)):
        server.clock = lambda off_s=off_s: real() + off_s  # type: ignore[misc]
        if refused:
            with pytest.raises(ClientError) as error:
                s3.put_object(Bucket="county", Key="k", Body=b"x")
            assert code_of(error.value) == "RequestTimeTooSkewed"
        else:
            s3.put_object(Bucket="county", Key="k", Body=b"x")


def test_a_link_works_for_its_time_and_only_for_its_object(server: BucketServer, s3: Any) -> None:
    for key in ("a", "b"):
        s3.put_object(Bucket="county", Key=key, Body=key.encode())
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "county", "Key": "a"}, ExpiresIn=60)

    def fetch(address: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, b""

    assert fetch(url) == (200, b"a")
    assert fetch(url.replace("/county/a?", "/county/b?")) == (403, b"")
    assert fetch(url.replace("Expires=60", "Expires=600")) == (403, b"")
    assert fetch(url.partition("?")[0]) == (403, b"")
    real = server.clock
    server.clock = lambda: real() + 61
    assert fetch(url) == (403, b"")


@pytest.mark.parametrize(
    "wrong",
    [
        {"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="},
        {"ChecksumSHA256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
        {"ChecksumCRC32": "AAAAAA=="},
    ],
)
def test_a_body_that_is_not_what_was_said_is_not_kept(
    server: BucketServer, s3: Any, wrong: dict[str, str]
) -> None:
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="county", Key="k", Body=b"something", **wrong)
    assert code_of(error.value) == "BadDigest"
    assert kept(server) == []
    s3.put_object(Bucket="county", Key="k", Body=b"something")
    assert kept(server) == ["k"]


def test_what_is_there_is_not_overwritten_by_who_asks_for_that(s3: Any) -> None:
    s3.put_object(Bucket="county", Key="k", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="county", Key="k", Body=b"second", IfNoneMatch="*")
    assert code_of(error.value) == "PreconditionFailed"
    assert s3.get_object(Bucket="county", Key="k")["Body"].read() == b"first"


def test_what_is_not_there_is_told_by_name(s3: Any) -> None:
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: s3.get_object(Bucket="county", Key="nothing"), "NoSuchKey"),
        (lambda: s3.put_object(Bucket="country", Key="k", Body=b"x"), "NoSuchBucket"),
        (lambda: s3.list_objects_v2(Bucket="country"), "NoSuchBucket"),
        (lambda: s3.get_object_tagging(Bucket="county", Key="k"), "NotImplemented"),
        (lambda: s3.copy_object(Bucket="county", Key="k", CopySource="county/a"), "NotImplemented"),
    ]
    for call, code in calls:
        with pytest.raises(ClientError) as error:
            call()
        assert code_of(error.value) == code


def test_a_body_that_breaks_off_leaves_nothing(server: BucketServer, s3: Any) -> None:
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "county", "Key": "k"})
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    connection.putrequest("PUT", f"{parts.path}?{parts.query}")
    connection.putheader("Content-Length", "100000")
    connection.endheaders(b"only this")
    assert connection.sock is not None
    connection.sock.shutdown(socket.SHUT_WR)
    answer = connection.getresponse()
    assert (answer.status, b"IncompleteBody" in answer.read()) == (400, True)
    connection.close()
    assert kept(server) == []


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 x=y, Credential\r\n\r\n",
        b"PUT /county/k HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"PUT /county/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET /%00/%ff?X-Amz-Signature=1&X-Amz-Expires=9e9 HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 300,
    ],
)
def test_nonsense_costs_nobody_else_anything(server: BucketServer, s3: Any, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), 5) as sock:
        answer = b""
        with contextlib.suppress(OSError):  # it hung up before it had read everything
            sock.sendall(said)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(65_536)
        assert b" 200 " not in answer.partition(b"\r\n")[0]
    s3.put_object(Bucket="county", Key="k", Body=b"x")
    assert kept(server) == ["k"]


@given(key=st.text(max_size=40) | st.lists(st.sampled_from(["..", ".", "", "a", "ü", "\0"])).map("/".join))
def test_no_key_leads_out_of_its_bucket(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    home = tmp_path_factory.getbasetemp() / "keys"
    store = BucketStore(home / "data")
    store.make("county")
    whole = store.scratch()
    whole.write_bytes(b"x")
    try:
        store.keep("county", key, whole, "etag", {})
    except (Refused, UnicodeEncodeError):
        whole.unlink()
    else:
        assert store.get("county", key).path.read_bytes() == b"x"
        assert [one.key for one in store.listed("county", "", "", 10)[0]] == [key]
        store.delete("county", key)
    assert sorted(path.name for path in home.iterdir()) == ["data"]
    assert sorted(path.name for path in store.directory.iterdir()) == [".meta", ".new", ".parts", "county"]


def test_an_object_cannot_stand_where_a_folder_of_others_is(s3: Any) -> None:
    s3.put_object(Bucket="county", Key="a/b", Body=b"x")
    for key in ("a", "a/b/c"):
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket="county", Key=key, Body=b"y")
        assert code_of(error.value) == "InvalidRequest"
    assert s3.get_object(Bucket="county", Key="a/b")["Body"].read() == b"x"
    s3.delete_object(Bucket="county", Key="a/b")
    s3.put_object(Bucket="county", Key="a", Body=b"y")
    assert s3.get_object(Bucket="county", Key="a")["Body"].read() == b"y"
