"""`echostream recordings url`: a link that works for whoever has it, for so long and for that recording."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from config_documents import small
from upload_stand import Stand, key

from echostream.cli import main
from echostream.index.door import open_index


@pytest.fixture
def config(stand: Stand, tmp_path: Path) -> Path:
    """A configuration file that names the archive and the bucket."""
    for name, text in (("id", stand.server.access_key), ("secret", stand.server.secret)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    document = small()
    document["recording"] = {"enabled": True, "directory": str(stand.directory)}
    document["s3"] = {
        "enabled": True,
        "bucket": stand.bucket,
        "endpoint_url": stand.server.url,
        "access_key_id": {"file": str(tmp_path / "id")},
        "secret_access_key": {"file": str(tmp_path / "secret")},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    return path


def fetched(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return bytes(answer.read())


def test_the_link_works_without_any_key(
    stand: Stand, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = stand.put()
    with stand.running():
        stand.until(lambda: stand.uploaded == [one.id])
        stand.until(lambda: stand.pending() == 0)
    assert main(["recordings", "url", one.id, "--config", str(config)]) == 0
    said = capsys.readouterr()
    url = said.out.strip()
    assert fetched(url) == stand.data(one)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetched(url.replace(one.path[-8:], "other.wav"))
    assert stand.server.secret not in said.out + said.err


def test_it_is_found_under_the_name_it_was_uploaded_by(
    stand: Stand, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = stand.put()
    with stand.running(key="by-id/{id}.{form}"):
        stand.until(lambda: stand.uploaded == [one.id])
        stand.until(lambda: stand.pending() == 0)
    with open_index(stand.directory) as index:  # the proxy's address is another target's
        index.uploads.add(one.id, f"{stand.server.url}/{stand.bucket}", 1)
        index.uploads.done(one.id, f"{stand.server.url}/{stand.bucket}", f"by-id/{one.id}.wav")
    assert main(["recordings", "url", one.id[:8], "--config", str(config), "--json", "--hours", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["id"], told["key"]) == (one.id, f"by-id/{one.id}.wav")
    assert fetched(told["url"]) == stand.data(one)


def test_one_that_was_not_uploaded_is_said(
    stand: Stand, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = stand.put()
    assert main(["recordings", "url", one.id, "--config", str(config)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{one.path} is not in the bucket (yet)" in said.err
    assert key(one)


def test_without_a_bucket_it_says_what_is_missing(
    tmp_path: Path, stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    document = small()
    document["recording"] = {"enabled": True, "directory": str(stand.directory)}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    assert main(["recordings", "url", "porch", "--config", str(path)]) != 0
    assert "set s3.bucket" in capsys.readouterr().err


@pytest.mark.parametrize("hours", ["0", "-1", "169", "nan", "x"])
def test_hours_that_no_link_works_are_refused(hours: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["recordings", "url", "porch", "--hours", hours])
    assert "up to 168" in capsys.readouterr().err
