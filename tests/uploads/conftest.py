"""A real S3 server for all tests of uploads; each test has a bucket of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ceph
import pytest
import s3_proxy
from upload_stand import Stand, client_of


@pytest.fixture(scope="session", autouse=True)  # before a module counts the processes that there are
def ceph_server() -> Iterator[ceph.S3Server | None]:
    """One server for all of them; None where Ceph is not installed."""
    if ceph.missing():
        yield None
        return
    with ceph.server() as server:
        yield server


@pytest.fixture
def s3_server(ceph_server: ceph.S3Server | None) -> ceph.S3Server:
    """radosgw."""
    if ceph_server is None:
        missing = ", ".join(ceph.missing())
        pytest.skip(f"Ceph is not installed ({missing}): scripts/setup.sh dev does, where it may")
    return ceph_server


@pytest.fixture(scope="session")
def one_client(ceph_server: ceph.S3Server | None) -> Any:
    """To make one takes longer than most tests."""
    return None if ceph_server is None else client_of(ceph_server)


@pytest.fixture
def client(s3_server: ceph.S3Server, one_client: Any) -> Iterator[Any]:
    """The server, asked directly."""
    yield one_client
    one_client.close()  # its connections; it makes new ones


@pytest.fixture
def bucket(client: Any) -> str:
    """An empty one."""
    name = f"b{uuid.uuid4().hex[:16]}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def proxy(s3_server: ceph.S3Server) -> Iterator[s3_proxy.Proxy]:
    """Between the uploader and the server."""
    with s3_proxy.proxy(s3_server.url) as found:
        yield found


@pytest.fixture
def stand(tmp_path: Path, s3_server: ceph.S3Server, bucket: str, proxy: s3_proxy.Proxy) -> Stand:
    """Its uploader talks to the proxy."""
    return Stand(tmp_path, s3_server, bucket, proxy.url)
