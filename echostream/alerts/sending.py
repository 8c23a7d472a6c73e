"""Sends one message to one address with Apprise (https://github.com/caronc/apprise), and says what came back.

Apprise and its 180 services cost 0.4 s and 45 MB (several times that long on a Pi), and hang as long as a
name server or a mail server does. So the gateway sends from a process of its own, which is there only while
there is something to send and can be ended: `python -m echostream.alerts.sending`. It reads requests as JSON
lines ({"number", "url", "title", "body", "kind"}), and answers each with one ({"number", "ok", "text"}) in
the order in which they are done. The address comes over the pipe, where no list of processes shows it.
"""

from __future__ import annotations

import contextvars
import json
import logging
import os
import re
import sys
import threading
from dataclasses import dataclass
from typing import Any, Final, TextIO
from urllib.parse import unquote

MOST_TEXT: Final = 200
NICE: Final = 10
_PIECES = re.compile(r"[:/@?&=,;\s]+")
_STATUS = re.compile(r"error[= (:]+(\d{3})")
_SAID: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("said", default=None)

_CAUSES: Final = (
    (r"Connection refused", "nobody answers there: connection refused"),
    (
        r"NameResolution|Name or service not known|name resolution|getaddrinfo|nodename nor servname",
        "its name cannot be resolved",
    ),
    (r"CERTIFICATE_VERIFY_FAILED|certificate verify|SSLCertVerification", "its certificate is not trusted"),
    (r"SSLError|WRONG_VERSION_NUMBER|SSL:", "it does not speak TLS as asked"),
    (r"Network is unreachable|No route to host", "there is no way there: network unreachable"),
    (r"SMTPAuthentication|authentication failed|\b535\b", "the user or the password is wrong"),
    (r"SMTPRecipientsRefused|\b55[0-4]\b", "the mail server refuses the recipient or the sender"),
    (r"[Tt]imed? ?out|Timeout", "no answer in time"),
    (r"Connection reset|Connection aborted|RemoteDisconnected|unexpectedly closed", "it hung up"),
)
_STATUSES: Final = {
    400: "it does not understand the request",
    401: "the user, the password or the token is wrong",
    402: "the account has no credit",
    403: "the user, the password or the token may not do this",
    404: "there is nothing of that name",
    413: "the message is too long",
    429: "too many messages",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a message. text: why not, without anything of the address; "" when it arrived."""

    ok: bool
    text: str = ""


def send(url: str, title: str, body: str, kind: str) -> Sent:
    """kind: "info", "success", "warning" or "failure". Takes as long as the service does."""
    try:
        import apprise
    except ImportError:
        return Sent(False, "Apprise is not installed: pip install apprise")
    _listen()
    said: list[str] = []
    context = contextvars.copy_context()
    context.run(_SAID.set, said)
    return context.run(_send, apprise, url, title, body, kind, said)


def _send(apprise: Any, url: str, title: str, body: str, kind: str, said: list[str]) -> Sent:
    asset = apprise.AppriseAsset(app_id="EchoStream", app_desc="EchoStream", async_mode=False)
    service = apprise.Apprise(asset=asset)
    if not service.add(url) or len(service) == 0:
        return Sent(False, f"this is no address that Apprise knows: {reason(said, url, plain=True)}")
    if service.notify(body=body, title=title, notify_type=kind, body_format="text"):
        return Sent(True)
    return Sent(False, reason(said, url))


def reason(said: list[str], url: str, plain: bool = False) -> str:
    """Why it failed, of what Apprise wrote while it tried. plain: not of the network."""
    whole = "\n".join(said)
    if not plain:
        status = _STATUS.search(whole)
        if status is not None:
            code = int(status[1])
            words = _STATUSES.get(code, "the service fails" if code >= 500 else "it refuses")
            return f"{words} (HTTP {code})"
        for pattern, words in _CAUSES:
            if re.search(pattern, whole):
                return words
    loud = [line for line in said if line.strip()]
    return scrubbed(loud[-1], url)[:MOST_TEXT] if loud else "it says nothing"


def scrubbed(text: str, url: str) -> str:
    """The text without any piece of the address: which of them is the password is known to nobody."""
    pieces = {piece for whole in (url, unquote(url)) for piece in _PIECES.split(whole) if len(piece) >= 3}
    for piece in sorted(pieces, key=len, reverse=True):
        text = re.sub(re.escape(piece), "…", text, flags=re.IGNORECASE)
    return re.sub(r"(\w+://)\S+", r"\1…", text)


class _Listener(logging.Handler):
    """What Apprise writes while it sends goes to whoever asked it to, and nowhere else."""

    def emit(self, record: logging.LogRecord) -> None:
        said = _SAID.get()
        if said is not None and len(said) < 50:
            said.append(record.getMessage()[:2000])


def _listen() -> None:
    logger = logging.getLogger("apprise")
    if not any(isinstance(handler, _Listener) for handler in logger.handlers):
        logger.handlers[:] = [_Listener()]
        logger.propagate = False
        logger.setLevel(logging.DEBUG)


# ---- the process


def main(requests: TextIO, answers: TextIO) -> None:
    """Until there are no more requests; each in a thread of its own, for one that hangs must hold up none."""
    lock = threading.Lock()

    def serve(request: dict[str, Any]) -> None:
        sent = Sent(False, "the service's part of Apprise failed")
        try:
            sent = send(request["url"], request["title"], request["body"], request["kind"])
        finally:
            answer(request["number"], sent)

    def answer(number: int, sent: Sent) -> None:
        with lock:
            answers.write(json.dumps({"number": number, "ok": sent.ok, "text": sent.text}) + "\n")
            answers.flush()

    for line in requests:
        request = json.loads(line)
        threading.Thread(target=serve, args=(request,), name=f"send-{request['number']}", daemon=True).start()


if __name__ == "__main__":
    os.nice(NICE)
    main(sys.stdin, sys.stdout)
    os._exit(0)  # the gateway has ended: a service that hangs must not keep this process, nor may its threads
