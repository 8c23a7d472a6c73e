"""A secret is read from its place, told about when it is open to everybody, and never shown."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest
from config_documents import small
from pydantic import ValidationError

from echostream.config.load import parse_config
from echostream.config.models import Secret
from echostream.config.secrets import masked, read_secret, references, secret_findings
from echostream.errors import SecretError

SECRET = "hunter2-Sup3rS3cret"
WHERE = "control_server.aes_key"


def written(tmp_path: Path, data: bytes, mode: int = 0o600) -> Secret:
    path = tmp_path / "secret"
    path.write_bytes(data)
    path.chmod(mode)
    return Secret(file=str(path))


@pytest.mark.parametrize(
    ("ending", "kept"), [("", ""), ("\n", ""), ("\r\n", ""), ("\n\n", "\n"), (" \n", " ")]
)
def test_one_line_break_at_the_end_is_taken_off(tmp_path: Path, ending: str, kept: str) -> None:
    assert read_secret(written(tmp_path, (SECRET + ending).encode()), WHERE) == SECRET + kept


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOSTREAM_TEST_KEY", SECRET)
    assert read_secret(Secret(env="ECHOSTREAM_TEST_KEY"), WHERE) == SECRET


def test_a_credential_comes_from_systemds_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aes").write_text(SECRET)
    (tmp_path / "aes").chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret(Secret(credential="aes"), WHERE) == SECRET


def test_a_credential_of_the_folder_that_the_service_hands_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd names each file of a folder after the folder; one that has the name itself goes first."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "echostream_aes").write_text(SECRET)
    assert read_secret(Secret(credential="aes"), WHERE) == SECRET
    (tmp_path / "aes").write_text("its own")
    assert read_secret(Secret(credential="aes"), WHERE) == "its own"


def test_a_credential_that_is_not_there_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(
        SecretError, match=r"control_server\.aes_key: .*/etc/echostream/credentials/aes .*sudo"
    ):
        read_secret(Secret(credential="aes"), WHERE)


def test_a_credential_outside_systemd_is_that_of_the_service_for_root_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr("echostream.config.secrets.FOLDER", str(tmp_path / "credentials"))
    with pytest.raises(SecretError, match=r"control_server\.aes_key: .*credentials/aes; elsewhere"):
        read_secret(Secret(credential="aes"), WHERE)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "aes").write_text(SECRET)
    assert read_secret(Secret(credential="aes"), WHERE) == SECRET


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b", "", ".", "..", ".hidden", "a b"])
def test_a_credential_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(ValidationError):
        Secret(credential=name)


def test_a_variable_that_is_not_set_or_empty_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECHOSTREAM_TEST_KEY", raising=False)
    with pytest.raises(SecretError, match="ECHOSTREAM_TEST_KEY is not set"):
        read_secret(Secret(env="ECHOSTREAM_TEST_KEY"), WHERE)
    monkeypatch.setenv("ECHOSTREAM_TEST_KEY", "\n")
    with pytest.raises(SecretError, match="ECHOSTREAM_TEST_KEY is empty"):
        read_secret(Secret(env="ECHOSTREAM_TEST_KEY"), WHERE)


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe" * 16, "no text"), (b"x" * 70_000, "right file")],
)
def test_a_file_with_no_secret_says_so_and_not_what_it_holds(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(SecretError, match=told) as error:
        read_secret(written(tmp_path, data), WHERE)
    assert str(error.value).startswith(f"{WHERE}: ")
    assert len(str(error.value)) < 300


def test_a_place_that_is_no_file_never_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for place in (tmp_path / "pipe", tmp_path, tmp_path / "none", Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(SecretError, match=r"control_server\.aes_key"):
            read_secret(Secret(file=str(place)), WHERE)
    with pytest.raises(SecretError, match=r"control_server\.aes_key"):
        read_secret(Secret(file="~nobody-of-that-name/key"), WHERE)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True)])
def test_a_file_that_everybody_can_read_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    ref = written(tmp_path, SECRET.encode(), mode)
    with caplog.at_level(logging.WARNING):
        assert read_secret(ref, WHERE) == SECRET
    assert ("chmod 600" in caplog.text) is warned
    assert SECRET not in caplog.text
    loaded = parse_config(small(control_server={"url": "ws://h/", "aes_key": {"file": ref.file}}), "test")
    assert [finding.path for finding in secret_findings(loaded.config)] == ([WHERE] if warned else [])


def test_what_is_shown_has_references_and_no_secrets() -> None:
    document = small(
        control_server={
            "url": f"wss://user:{SECRET}@h/ws?token={SECRET}",
            "aes_key": {"credential": "echostream-aes-key"},
        },
        s3={
            "endpoint_url": f"https://{SECRET}@s3/",
            "access_key_id": {"env": "S3_ID"},
            "secret_access_key": {"env": "S3_KEY"},
        },
    )
    config = parse_config(document, "test").config
    display = masked(config)
    assert SECRET not in json.dumps(display)
    assert display["control_server"]["url"] == "wss://(hidden)@h/ws?(hidden)"
    assert display["control_server"]["aes_key"] == {"credential": "echostream-aes-key"}
    assert display["s3"]["secret_access_key"] == {"env": "S3_KEY"}
    assert display["audio"]["frame_ms"] == 20
    keys = {"s3.access_key_id", "s3.secret_access_key"}
    assert set(references(config)) == {"control_server.aes_key", *keys}
