"""With less of botocore's data: every address is what it is with all of it."""

from __future__ import annotations

import boto3
import pytest
from botocore.config import Config

from echostream.config.s3_models import S3
from echostream.uploads.client import Bucket

REGIONS = (
    *("us-east-1", "us-east-2", "us-west-2", "eu-central-1", "eu-west-1", "ap-southeast-3", "sa-east-1"),
    *("ca-central-1", "me-south-1", "af-south-1", "il-central-1", "mx-central-1", "ca-west-1"),
    *("cn-north-1", "us-gov-west-1", "us-gov-east-1"),
)


def own(region: str, path_style: bool, name: str) -> str:
    s3 = S3(enabled=True, bucket=name, region=region, path_style=path_style)
    bucket = Bucket(s3, ("id", "secret"))
    try:
        return bucket.url("a/b c.flac", 1.0)
    finally:
        bucket.close()


def stock(session: boto3.Session, region: str, path_style: bool, name: str) -> str:
    style = {"addressing_style": "path" if path_style else "virtual"}
    client = session.client(
        "s3",
        region_name=region,
        aws_access_key_id="id",
        aws_secret_access_key="secret",
        config=Config(signature_version="s3v4", s3=style),
    )
    try:
        params = {"Bucket": name, "Key": "a/b c.flac"}
        return str(client.generate_presigned_url("get_object", Params=params, ExpiresIn=3600))
    finally:
        client.close()


def without_time(url: str) -> str:
    """Host, path, and whom it is signed for; not the second in which it was made."""
    address, _, query = url.partition("?")
    kept = [one for one in query.split("&") if not one.startswith(("X-Amz-Date", "X-Amz-Signature"))]
    return "\n".join([address, *sorted(kept)])


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    """As it comes."""
    return boto3.Session()


@pytest.mark.parametrize("region", REGIONS)
def test_an_address_is_the_one_that_amazon_gives(session: boto3.Session, region: str) -> None:
    for path_style, name in (
        (False, "county-recordings"),
        (True, "county-recordings"),
        (False, "a.dotted.one"),
    ):
        expected = without_time(stock(session, region, path_style, name))
        assert without_time(own(region, path_style, name)) == expected
