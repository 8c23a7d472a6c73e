"""Why a broker says no: reason codes of MQTT 5 (section 2.4), to which paho brings those of 3.1.1 too."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

REFUSED: Final = 0x80
"""This and above: no."""

PROTOCOL_VERSION: Final = 0x84
CLIENT_ID: Final = 0x85
PASSWORD: Final = 0x86
NOT_AUTHORISED: Final = 0x87
TAKEN_OVER: Final = 0x8E
TOPIC_INVALID: Final = 0x90
PACKET_TOO_LARGE: Final = 0x95
QUOTA: Final = 0x97
PAYLOAD_INVALID: Final = 0x99

TOO_FAST: Final = 0x96
TOO_MUCH: Final = (TOO_FAST, QUOTA)

_WORDS: Final = {
    0x80: "unspecified error; the broker's log says more",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "the broker does not take it; its log says more",
    PROTOCOL_VERSION: "the broker does not speak this version: set mqtt.protocol to the other one",
    CLIENT_ID: "the broker refuses the client id: set mqtt.client_id (AWS IoT: as its policy has it)",
    PASSWORD: "wrong user or password: mqtt.username, mqtt.password",
    NOT_AUTHORISED: "not authorised: the broker's access list or policy must allow it",
    0x88: "the broker is not available",
    0x89: "the broker is busy",
    0x8A: "the broker has banned this client",
    0x8B: "the broker shuts down",
    0x8D: "the broker heard nothing for too long",
    TAKEN_OVER: "somebody else connected with this client id: each gateway needs its own (mqtt.client_id)",
    TOPIC_INVALID: "the broker refuses the topic",
    0x93: "more at once than the broker takes",
    PACKET_TOO_LARGE: "larger than the broker takes: raise its limit (Mosquitto: max_packet_size)",
    TOO_FAST: "faster than the broker takes",
    QUOTA: "the broker's quota is used up",
    0x98: "ended by somebody at the broker",
    PAYLOAD_INVALID: "the broker refuses the payload",
    0x9A: "the broker keeps no retained messages",
    0x9B: "the broker does not take this QoS",
    0x9C: "the broker asks to use another server",
    0x9D: "the broker has moved for good: set mqtt.host",
    0x9F: "connected too often",
    0xA0: "the broker ends connections of this age",
}


def words(code: int) -> str:
    """One line with the remedy where there is one."""
    return _WORDS.get(code, "refused") + f" (reason code 0x{code:02x})"


def words_at_connect(code: int) -> str:
    """As `words`, of a whole connection: Mosquitto says "not authorised" of a wrong password too."""
    if code == NOT_AUTHORISED:
        return (
            "not authorised: check mqtt.username, mqtt.password, mqtt.client_id and the broker's access list "
            f"(reason code 0x{code:02x})"
        )
    return words(code)


class Verdict(Enum):
    """What becomes of a message after the broker's answer."""

    TAKEN = auto()
    NEVER = auto()
    """It would be refused each time."""
    LATER = auto()
    """A quota may have room again."""


_NEVER: Final = (NOT_AUTHORISED, TOPIC_INVALID, PACKET_TOO_LARGE, PAYLOAD_INVALID)


def verdict(code: int) -> Verdict:
    """Of a PUBACK's reason code. 0x10, "no matching subscribers", is taken as well."""
    if code < REFUSED:
        return Verdict.TAKEN
    return Verdict.NEVER if code in _NEVER else Verdict.LATER
