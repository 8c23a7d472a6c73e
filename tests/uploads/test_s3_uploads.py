"""Against a real S3 server: everything arrives, whole, once, and goes on where it was."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from s3_proxy import Asked, Fault, Faults, Proxy, answer, none
from upload_stand import PART, Stand, key

from echostream.archive.recording import ToneMark
from echostream.config.s3_models import S3Rule
from echostream.events import RecordingUploaded
from echostream.index.door import FILE_NAME, open_index
from echostream.uploads import s3_uploader
from echostream.uploads.s3_uploader import S3Uploader


def waiting(uploader: S3Uploader) -> int:
    """As it is told to whoever looks."""
    link = uploader.link()
    assert link is not None
    return link.waiting


def cut_from(number: int, after: int = 0) -> Faults:
    """Parts from that one on are reset after so many bytes."""

    def fault(asked: Asked) -> Fault | None:
        return Fault(cut_after=after) if asked.what == "PUT part" and asked.number >= number else None

    return fault


def lost(what: str, number: int = 0) -> Faults:
    """The answer to that request is lost."""
    return lambda asked: Fault(lose=True) if (asked.what, asked.number) == (what, number) else None


def stored(client: Any, stand: Stand) -> dict[str, int]:
    """Name and size of all that is there."""
    found = client.list_objects_v2(Bucket=stand.bucket).get("Contents", [])
    return {one["Key"]: one["Size"] for one in found}


def test_what_was_recorded_before_and_what_is_filed_now_arrives_whole(stand: Stand, client: Any) -> None:
    before = stand.put()
    with stand.running() as uploader:
        stand.until(lambda: stand.uploaded == [before.id])
        now = stand.put(indexed=False)  # told by the event, before the index knows of it
        uploader.filed([stand.filed(now)])
        stand.until(lambda: stand.uploaded == [before.id, now.id])
        stand.until(lambda: waiting(uploader) == 0)
    for one in (before, now):
        found = client.get_object(Bucket=stand.bucket, Key=key(one))
        assert found["Body"].read() == stand.data(one)
        assert found["ContentType"] == "audio/wav"
        assert found["Metadata"]["sha256"] == one.sha256
        assert found["Metadata"]["recording"] == one.id
    assert [link.up for link in stand.links] == [True]
    assert stand.pending() == 0


def test_the_event_says_what_was_recorded_and_where_it_is(stand: Stand) -> None:
    tone = ToneMark("engine-7", "Engine 7", 1_763_726_400_500_000, 1_763_726_404_500_000)
    one = stand.put(source="fire", kind="channel", channel_id="fire", trigger="page", tones=[tone])
    with stand.running(rules=(S3Rule(),)):
        stand.until(lambda: bool(stand.uploaded))
    told = next(event for event in stand.events if isinstance(event, RecordingUploaded))
    assert told == RecordingUploaded(
        recording=one.id,
        path=str(stand.directory / one.path),
        source="fire",
        kind="channel",
        channel_id="fire",
        tone_ids=("engine-7",),
        started_at_s=one.start_us / 1e6,
        duration_s=1.0,
        bucket=stand.bucket,
        key=key(one),
        bytes=one.bytes,
        pages=(("engine-7", tone.start_us),),
    )


def test_pages_go_first(stand: Stand) -> None:
    others = [stand.put() for _ in range(3)]
    pages = [stand.put(trigger="page") for _ in range(2)]
    with stand.running():
        stand.until(lambda: len(stand.uploaded) == 5)
    assert set(stand.uploaded[:2]) == {one.id for one in pages}
    assert set(stand.uploaded[2:]) == {one.id for one in others}


def test_only_what_a_rule_wants_is_sent(stand: Stand, client: Any) -> None:
    page = stand.put(trigger="page")
    stand.put()
    stand.put(kind="quarantine", trigger="page")
    kept = stand.put(protected=True)
    with stand.running(rules=(S3Rule(what="pages"), S3Rule(what="protected"))):
        stand.until(lambda: len(stand.uploaded) == 2)
        time.sleep(0.3)
    assert set(stored(client, stand)) == {key(page), key(kept)}


def test_a_large_file_goes_in_parts(stand: Stand, client: Any, proxy: Proxy) -> None:
    one = stand.put(size=2 * PART + 12_345)
    with stand.running():
        stand.until(lambda: stand.uploaded == [one.id])
    assert proxy.count("PUT part") == 3
    found = client.get_object(Bucket=stand.bucket, Key=key(one))
    assert found["Body"].read() == stand.data(one)
    assert found["ETag"].endswith('-3"')
    assert found["Metadata"]["sha256"] == one.sha256


def test_parts_that_are_there_are_not_sent_again_after_a_restart(stand: Stand, proxy: Proxy) -> None:
    one = stand.put(size=4 * PART)
    proxy.faults = lambda asked: (
        Fault(cut_after=1_000_000) if asked.what == "PUT part" and asked.number >= 2 else None
    )
    with stand.running():
        stand.until(lambda: proxy.count("PUT part", good=False) >= 3)
    assert stand.uploaded == []
    proxy.faults = none
    with stand.running():
        stand.until(lambda: stand.uploaded == [one.id])
    assert proxy.count("PUT part") == 4
    assert proxy.count("POST parts") == 2  # begun once, completed once


def test_parts_are_found_again_after_a_loss_of_the_index(stand: Stand, proxy: Proxy) -> None:
    one = stand.put(size=4 * PART)
    proxy.faults = lambda asked: (
        Fault(cut_after=1_000_000) if asked.what == "PUT part" and asked.number >= 2 else None
    )
    with stand.running():
        stand.until(lambda: proxy.count("PUT part", good=False) >= 3)
    lose_index(stand.directory)
    proxy.faults = none
    with stand.running():
        stand.until(lambda: stand.uploaded == [one.id])
    assert proxy.count("PUT part") == 4


def test_nothing_is_sent_twice_after_a_loss_of_the_index(stand: Stand, proxy: Proxy) -> None:
    those = [stand.put() for _ in range(5)]
    with stand.running():
        stand.until(lambda: len(stand.uploaded) == 5)
    lose_index(stand.directory)
    stand.events.clear()
    with stand.running() as uploader:
        stand.until(lambda: proxy.count("HEAD", good=False) >= 15)
        stand.until(lambda: waiting(uploader) == 0)
    assert proxy.count("PUT") == 5
    assert stand.uploaded == []  # they were told in their time
    with open_index(stand.directory) as index:
        target = stand.uploader()._target
        assert all(index.uploads.of(one.id, target) == ("done", key(one)) for one in those)


def test_an_answer_that_was_lost_is_not_an_upload_that_was_lost(stand: Stand, proxy: Proxy) -> None:
    one = stand.put()
    proxy.faults = lost("PUT")
    with stand.running():
        stand.until(lambda: stand.uploaded == [one.id])
    assert proxy.count("PUT") == 1


def test_a_completion_whose_answer_was_lost_is_found(stand: Stand, proxy: Proxy) -> None:
    one = stand.put(size=2 * PART)
    proxy.faults = lambda asked: (
        Fault(lose=True) if asked.what == "POST parts" and asked.number == 1 else None
    )
    with stand.running():
        stand.until(lambda: stand.uploaded == [one.id])
    assert proxy.count("PUT part") == 2


def test_an_upload_that_the_server_forgot_begins_anew(stand: Stand, proxy: Proxy, client: Any) -> None:
    one = stand.put(size=3 * PART)
    proxy.faults = lambda asked: (
        Fault(cut_after=0) if asked.what == "PUT part" and asked.number >= 1 else None
    )
    with stand.running():
        stand.until(lambda: proxy.count("PUT part", good=False) >= 2)
    for begun in client.list_multipart_uploads(Bucket=stand.bucket)["Uploads"]:
        client.abort_multipart_upload(Bucket=stand.bucket, Key=begun["Key"], UploadId=begun["UploadId"])
    proxy.faults = none
    with stand.running():
        stand.until(lambda: stand.uploaded == [one.id])
    assert client.get_object(Bucket=stand.bucket, Key=key(one))["Body"].read() == stand.data(one)


@pytest.mark.parametrize("how", ["by a command", "behind our back"])
def test_parts_of_a_recording_that_was_deleted_are_given_up(
    stand: Stand, proxy: Proxy, client: Any, how: str
) -> None:
    one = stand.put(size=3 * PART)
    proxy.faults = lambda asked: (
        Fault(cut_after=0) if asked.what == "PUT part" and asked.number >= 1 else None
    )
    with stand.running():
        stand.until(lambda: proxy.count("PUT part", good=False) >= 2)
        if how == "by a command":
            with open_index(stand.directory) as index:
                index.delete(one.id)
        else:
            (stand.directory / one.path).unlink()
            stand.meta(one).unlink()
        proxy.faults = none
        stand.until(lambda: stand.pending() == 0)
    assert client.list_multipart_uploads(Bucket=stand.bucket).get("Uploads", []) == []
    assert stored(client, stand) == {}


def test_another_recording_of_the_same_name_is_not_overwritten(
    stand: Stand, client: Any, proxy: Proxy
) -> None:
    one, other = stand.put(), stand.put()
    client.put_object(Bucket=stand.bucket, Key=key(one), Body=b"x", Metadata={"recording": "f" * 32})
    with stand.running():
        stand.until(lambda: stand.uploaded == [other.id])
        stand.until(lambda: stand.pending() == 1)
    assert stored(client, stand)[key(one)] == 1
    with open_index(stand.directory) as index:
        assert "{gateway}" in index.uploads.pending()[0].error


def test_a_file_that_changed_behind_our_back_is_not_sent(stand: Stand, client: Any) -> None:
    bad, good = stand.put(), stand.put()
    (stand.directory / bad.path).write_bytes(bytes(bad.bytes))
    with stand.running():
        stand.until(lambda: stand.uploaded == [good.id])
    assert set(stored(client, stand)) == {key(good)}


def test_a_recording_that_the_server_never_takes_does_not_stop_the_others(stand: Stand, proxy: Proxy) -> None:
    bad = stand.put(trigger="page")
    good = [stand.put() for _ in range(5)]

    def fails(asked: Asked) -> Fault | None:
        return answer(400, "InvalidArgument") if asked.what == "PUT" and asked.key == key(bad) else None

    proxy.faults = fails
    with stand.running():
        stand.until(lambda: len(stand.uploaded) == 5)
    assert set(stand.uploaded) == {one.id for one in good}
    assert [link.up for link in stand.links] == [True]
    assert proxy.count("PUT", key(bad), good=False) == 1


def test_what_somebody_protects_later_is_sent(stand: Stand) -> None:
    one = stand.put()
    with open_index(stand.directory) as index:
        index.protect(one.id)
    with stand.running(rules=(S3Rule(what="protected"),)):
        stand.until(lambda: stand.uploaded == [one.id])


def test_what_comes_into_the_index_later_without_a_word_is_found(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_uploader, "SEARCH_FIRST_S", 0.2)
    monkeypatch.setattr(s3_uploader, "IDLE_S", 0.2)
    with stand.running():
        stand.until(lambda: bool(stand.links))
        one = stand.put()
        stand.until(lambda: stand.uploaded == [one.id])


def test_what_waits_for_another_bucket_is_forgotten(stand: Stand) -> None:
    one = stand.put()
    with open_index(stand.directory) as index:
        index.uploads.add(one.id, "s3://the-one-before", 1)
    with stand.running():
        stand.until(lambda: stand.uploaded == [one.id])
    assert stand.pending() == 0


def test_uploads_keep_to_their_bandwidth(stand: Stand) -> None:
    one = stand.put(size=300_000)
    began = time.monotonic()
    with stand.running(most_kbit_s=2000.0):  # 250,000 bytes a second, of it 0.25 s at once
        stand.until(lambda: stand.uploaded == [one.id])
        assert time.monotonic() - began > 0.85


def test_outside_of_its_time_only_pages_go(stand: Stand) -> None:
    now = time.localtime()
    window = f"{(now.tm_hour + 2) % 24:02d}:00-{(now.tm_hour + 3) % 24:02d}:00"
    stand.put()
    page = stand.put(trigger="page")
    with stand.running(window=window) as uploader:
        stand.until(lambda: stand.uploaded == [page.id])
        time.sleep(0.2)
        link = uploader.link()
    assert link is not None
    assert (link.waiting, link.up) == (1, True)
    assert stand.pending() == 1


def lose_index(directory: Path) -> None:
    """As after a damaged disk: the index is made again of the files."""
    for path in directory.glob(f"{FILE_NAME}*"):
        path.unlink()
    shutil.rmtree(directory / "nothing", ignore_errors=True)
    with open_index(directory) as index:
        index.rebuild()
