"""What servers answer, and what is said of it: real ones, on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from alert_receivers import Receiver, dead_port, deaf_receiver, http_receiver, smtp_receiver
from authority import Authority

from echostream.alerts.sending_process import COMMAND, Request, SendingProcess

STATUSES = {
    200: "",
    401: "the user, the password or the token is wrong (HTTP 401)",
    404: "there is nothing of that name (HTTP 404)",
    418: "it refuses (HTTP 418)",
    429: "too many messages (HTTP 429)",
    503: "the service fails (HTTP 503)",
}
NO_ADDRESS = "this is no address that Apprise knows"


def sent(urls: Sequence[str]) -> list[str]:
    """What is said of each of them; "": it arrived."""
    wake = threading.Event()
    sender = SendingProcess(wake.set)
    said: dict[int, str] = {}
    until_s = time.monotonic() + 20
    try:
        for number, url in enumerate(urls, start=1):
            assert sender.ask(Request(number, url, "title", "line one\nline two", "warning"), 0.0)
        while len(said) < len(urls) and time.monotonic() < until_s:
            for answer in sender.answers():
                assert answer.ok == (answer.text == "")
                said[answer.number] = answer.text
            wake.wait(0.05)
            wake.clear()
    finally:
        sender.end()
    return [said[number] for number in range(1, len(urls) + 1)]


@contextlib.contextmanager
def webhooks(count: int) -> Iterator[list[Receiver]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(http_receiver()) for _ in range(count)]


def test_what_a_webhook_answers() -> None:
    with webhooks(len(STATUSES)) as hooks:
        for hook, status in zip(hooks, STATUSES, strict=True):
            hook.status = status
        assert sent([f"json://127.0.0.1:{hook.port}/x" for hook in hooks]) == list(STATUSES.values())
    (got,) = hooks[0].got
    assert (got["title"], got["type"], got["message"]) == ("title", "warning", "line one\nline two")


def test_who_does_not_answer_and_what_is_no_address() -> None:
    with deaf_receiver() as deaf:
        assert sent(
            [
                f"json://127.0.0.1:{deaf}/?rto=0.2",
                f"json://127.0.0.1:{dead_port()}/",
                f"mailto://a:b@127.0.0.1:{dead_port()}?from=a@example.org&to=b@example.org",
                "json://no-such-host.invalid/",
            ]
        ) == [
            "no answer in time",
            "nobody answers there: connection refused",
            "nobody answers there: connection refused",
            "its name cannot be resolved",
        ]
    for said in sent(["", "x", "jsn://host", "twilio://x", "json://"]):
        assert said.startswith(NO_ADDRESS)


def test_a_mail_server_that_takes_it_and_one_that_wants_another_password() -> None:
    with smtp_receiver(password="right") as mail:
        place = f"127.0.0.1:{mail.port}?from=gw@example.org&to=chief@example.org"
        assert sent([f"mailto://user:{password}@{place}" for password in ("wrong", "right")]) == [
            "the user or the password is wrong",
            "",
        ]
    (got,) = mail.got
    assert "Subject: title" in got["data"]
    assert "line one" in got["data"]


def test_a_certificate_is_verified_and_an_authority_of_ones_own_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    good, old = authority.server("good"), authority.server("old", ends_days=-1)
    untrusted = "its certificate is not trusted"
    with http_receiver(good) as http, http_receiver(old) as expired:
        urls = [f"jsons://127.0.0.1:{port}/" for port in (http.port, expired.port)]
        assert sent(urls) == [untrusted, untrusted]
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca))
        assert sent(urls) == ["", untrusted]


# ---- the process


def waited(sender: SendingProcess, wake: threading.Event, count: int = 1) -> list[tuple[int, bool]]:
    found: list[tuple[int, bool]] = []
    until_s = time.monotonic() + 20
    while len(found) < count and time.monotonic() < until_s:
        found += [(answer.number, answer.ok) for answer in sender.answers()]
        wake.wait(0.05)
        wake.clear()
    return found


def test_the_process_ends_when_there_is_nothing_to_send_and_starts_again() -> None:
    wake = threading.Event()
    with http_receiver() as http:
        sender = SendingProcess(wake.set)
        for number in (1, 2):
            assert sender.ask(Request(number, f"json://127.0.0.1:{http.port}/", "t", "b", "info"), 100.0)
            assert waited(sender, wake) == [(number, True)]
            assert sender.starts == number
            sender.rest(159.0)
            assert sender.pid is not None
            sender.rest(161.0)
            assert sender.pid is None
        assert sender.answers() == []


def test_a_process_that_is_killed_says_so_and_the_next_one_works() -> None:
    wake = threading.Event()
    with http_receiver() as http, deaf_receiver() as deaf:
        sender = SendingProcess(wake.set)
        assert sender.ask(Request(1, f"json://127.0.0.1:{deaf}/?rto=30", "t", "b", "info"), 0.0)
        assert sender.pid is not None
        os.kill(sender.pid, signal.SIGKILL)
        assert waited(sender, wake) == [(0, False)]
        assert sender.ask(Request(2, f"json://127.0.0.1:{http.port}/", "t", "b", "info"), 0.0)
        assert waited(sender, wake) == [(2, True)]
        sender.end()
        sender.end()


def test_a_process_that_cannot_be_started_or_talks_nonsense() -> None:
    wake = threading.Event()
    assert not SendingProcess(wake.set, ("/no/such/program",)).ask(Request(1, "u", "t", "b", "info"), 0.0)
    noise = (
        'print("hello"); print("{}"); print("[1]"); input(); print(\'{"number": 1, "ok": true, "text": ""}\')'
    )
    sender = SendingProcess(wake.set, (COMMAND[0], "-uc", noise))
    assert sender.ask(Request(1, "u", "t", "b", "info"), 0.0)
    assert waited(sender, wake, 2) == [(1, True), (0, False)]


def test_it_ends_with_the_gateway_whatever_it_waits_for() -> None:
    with http_receiver() as http:
        http.slow_s = 30.0
        url = f"json://127.0.0.1:{http.port}/?rto=60"
        request = {"number": 1, "url": url, "title": "", "body": "b", "kind": "info"}
        process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert process.stdin is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        assert http.asked.wait(10)
        process.stdin.close()
        assert process.wait(5) == 0


def test_an_address_is_in_no_list_of_processes_and_no_representation() -> None:
    request = Request(1, "json://user:sesame@host", "t", "b", "info")
    assert "sesame" not in repr(request)
    sender = SendingProcess(lambda: None)
    assert sender.ask(request, 0.0)
    assert b"sesame" not in Path(f"/proc/{sender.pid}/cmdline").read_bytes()
    assert b"sesame" not in Path(f"/proc/{sender.pid}/environ").read_bytes()
    sender.end()
