"""What servers, networks, certificates and people do to uploads: said in words, waited for, and got over."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import s3_proxy
from authority import Authority
from s3_proxy import Asked, Fault, Faults, Proxy, answer, none
from upload_stand import PART, Stand, key

from echostream.events import LinkChanged
from echostream.uploads import causes, errand
from echostream.uploads.client import Bucket


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, all of them short."""
    for cause in causes.Cause:
        monkeypatch.setattr(cause, "first_s", 0.05)
        monkeypatch.setattr(cause, "most_s", 0.1)
    monkeypatch.setattr(errand, "GRACE_S", 0.2)
    monkeypatch.setattr(errand, "_LOOK_S", 0.2)


def some(what: str, number: int, fault: Fault) -> Faults:
    """The first so many requests of a kind."""
    return lambda asked: fault if asked.what == what and asked.number < number else None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (answer(500, "InternalError"), "has an error of its own"),
        (answer(503, "SlowDown"), "overloaded and asks for less"),
        (answer(502, ""), "has an error of its own"),
        (answer(403, "AccessDenied"), "needs s3:PutObject on arn:aws:s3:::{bucket}/*"),
        (answer(403, "InvalidAccessKeyId"), "s3.access_key_id and s3.secret_access_key"),
        (answer(403, "RequestTimeTooSkewed"), "this machine's clock differs"),
        (answer(404, "NoSuchBucket"), "there is no bucket '{bucket}'"),
        (answer(403, "QuotaExceeded"), "is full: raise its quota"),
        (answer(507, "InsufficientStorage"), "is full: raise its quota"),
        (answer(400, "KMS.DisabledException"), "s3.kms_key_id"),
        (Fault(cut_after=10_000), "cannot be reached"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_says_what_is_wrong_and_goes_on_by_itself(
    stand: Stand, proxy: Proxy, fault: Fault, said: str
) -> None:
    those = [stand.put() for _ in range(2)]
    proxy.faults = some("PUT", 3, fault)
    with stand.running():
        stand.until(lambda: len(stand.uploaded) == 2)
    assert set(stand.uploaded) == {one.id for one in those}
    down = [link for link in stand.links if not link.up]
    assert said.format(bucket=stand.bucket) in down[0].detail
    assert stand.links[-1].up
    assert proxy.count("PUT") == 2


def test_a_hiccup_is_not_worth_telling(stand: Stand, proxy: Proxy) -> None:
    first = stand.put()
    with stand.running() as uploader:
        stand.until(lambda: stand.uploaded == [first.id])
        proxy.faults = lambda asked: Fault(cut_after=0) if (asked.what, asked.number) == ("PUT", 1) else None
        second = stand.put()
        uploader.filed([stand.filed(second)])
        stand.until(lambda: stand.uploaded == [first.id, second.id])
    assert [link.up for link in stand.links] == [True]


def test_resets_in_the_middle_of_parts_cost_only_these_parts(stand: Stand, proxy: Proxy, client: Any) -> None:
    one = stand.put(size=6 * PART + 7)
    proxy.faults = lambda asked: (
        Fault(cut_after=3_000_000) if asked.what == "PUT part" and asked.number % 2 else None
    )
    with stand.running():
        stand.until(lambda: stand.uploaded == [one.id])
    assert proxy.count("PUT part") == 7
    assert client.get_object(Bucket=stand.bucket, Key=key(one))["Body"].read() == stand.data(one)


def test_one_object_that_always_fails_does_not_hold_the_others(stand: Stand, proxy: Proxy) -> None:
    bad = stand.put(trigger="page")
    good = [stand.put() for _ in range(4)]

    def fails(asked: Asked) -> Fault | None:
        return answer(500, "InternalError") if asked.what == "PUT" and asked.key == key(bad) else None

    proxy.faults = fails
    with stand.running():
        stand.until(lambda: len(stand.uploaded) == 4)
        assert set(stand.uploaded) == {one.id for one in good}
        proxy.faults = none
        stand.until(lambda: stand.uploaded[-1] == bad.id)


def test_who_may_write_but_not_read_uploads_all_the_same(stand: Stand, proxy: Proxy) -> None:
    one = stand.put()
    proxy.faults = lambda asked: (
        answer(403, "AccessDenied") if asked.what in ("HEAD", "GET", "GET parts") else None
    )
    with stand.running():
        stand.until(lambda: stand.uploaded == [one.id])
    assert proxy.count("PUT") == 1


def test_a_wrong_secret_is_explained(stand: Stand) -> None:
    stand.put()
    with stand.running(keys=(stand.server.access_key, "not-this-one")) as uploader:
        stand.until(lambda: bool(stand.links))
        link = uploader.link()
    assert not stand.links[0].up
    assert "s3.secret_access_key" in stand.links[0].detail
    assert "not-this-one" not in repr(stand.events)
    assert link is not None
    assert (link.up, link.waiting) == (False, 1)


def test_without_any_credentials_it_says_where_to_name_them(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(stand.directory / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(stand.directory / "none"))
    bucket = Bucket(stand.s3(), None)
    with pytest.raises(causes.Refused, match=r"no credentials: name s3\.access_key_id") as caught:
        bucket.look()
    assert caught.value.cause is causes.Cause.CREDENTIALS
    bucket.close()


def test_a_bucket_that_is_not_there_is_said_before_anything_is_to_be_sent(stand: Stand) -> None:
    with stand.running(bucket="nobody-made-it") as uploader:
        assert uploader is not None
        stand.until(lambda: bool(stand.links))
    assert "there is no bucket 'nobody-made-it'" in stand.links[0].detail


@contextmanager
def secure(stand: Stand, folder: Path, **pair: Any) -> Iterator[tuple[str, Path]]:
    """The server by https: its address, and the authority's certificate."""
    authority = Authority(folder / "ca")
    made = authority.server("server", **pair)
    with s3_proxy.proxy(stand.server.url, (made.cert, made.key)) as proxy:
        yield proxy.url, authority.ca


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ({"ends_days": -1}, "has expired"),
        ({"starts_days": 1}, "is not valid yet"),
        ({"host": "elsewhere.example"}, "made for another name"),
    ],
    ids=["expired", "not yet valid", "wrong name"],
)
def test_a_bad_certificate_is_explained(
    stand: Stand, tmp_path: Path, pair: dict[str, Any], said: str
) -> None:
    stand.put()
    with secure(stand, tmp_path, **pair) as (stand.url, ca), stand.running(ca_file=str(ca)):
        stand.until(lambda: bool(stand.links))
    assert said in stand.links[0].detail
    assert stand.uploaded == []


def test_an_unknown_authority_is_explained(stand: Stand, tmp_path: Path) -> None:
    with secure(stand, tmp_path) as (stand.url, _), stand.running():
        stand.until(lambda: bool(stand.links))
    assert "s3.ca_file" in stand.links[0].detail


def test_a_certificate_that_was_renewed_is_taken_without_a_restart(stand: Stand, tmp_path: Path) -> None:
    one = stand.put()
    authority = Authority(tmp_path / "ca")
    old, new = authority.server("old", ends_days=-1), authority.server("new")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with s3_proxy.proxy(stand.server.url, (old.cert, old.key), context) as proxy:
        stand.url = proxy.url
        with stand.running(ca_file=str(authority.ca)):
            stand.until(lambda: bool(stand.links))
            context.load_cert_chain(new.cert, new.key)
            stand.until(lambda: stand.uploaded == [one.id])


def test_a_name_that_nobody_knows_is_explained(stand: Stand) -> None:
    stand.url = "http://nobody.invalid:9000"
    with stand.running():
        stand.until(lambda: bool(stand.links))
    assert stand.links[0] == LinkChanged(
        "s3", False, "the name nobody.invalid:9000 is not found: look at the network and its name server"
    )


def test_a_server_that_says_nothing_is_given_up_and_a_stop_does_not_wait_for_it(
    stand: Stand, proxy: Proxy
) -> None:
    one = stand.put()
    proxy.faults = lambda asked: Fault(hang=True) if asked.what == "PUT" and asked.number == 0 else None
    with stand.running(stuck_s=0.5):
        stand.until(lambda: stand.uploaded == [one.id])
    proxy.faults = lambda asked: Fault(hang=True)
    began = time.monotonic()
    with stand.running():
        time.sleep(0.5)
    assert time.monotonic() - began < 5.0


def test_a_full_bucket_of_a_real_server_is_called_full(stand: Stand) -> None:
    server = stand.server
    quota = ("quota", "set", "--quota-scope=bucket", f"--bucket={stand.bucket}", "--max-objects=1")
    server.admin(*quota)
    server.admin("quota", "enable", "--quota-scope=bucket", f"--bucket={stand.bucket}")
    for _ in range(2):
        stand.put()
    with stand.running():
        stand.until(lambda: any(not link.up for link in stand.links))
    assert len(stand.uploaded) == 1
    assert "is full" in next(link.detail for link in stand.links if not link.up)
