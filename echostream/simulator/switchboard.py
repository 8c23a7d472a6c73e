"""Who is on which channel, and who hears what: the control server without its sockets. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from echostream.errors import WireError
from echostream.events import Member
from echostream.wire.packet_v1 import MAX_DATAGRAM
from echostream.wire.signalling_v1 import parse_client_message
from echostream.wire.strict_text import channel_id_of, load_object

UsersForm = Literal["flat", "nested"]

MAX_CHANNELS_PER_CLIENT: Final = 64

Sends = list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a message leads to. `sends`: (client, text); `renew_port`: the client's UDP port must be open."""

    sends: Sends = field(default_factory=list)
    renew_port: bool = False


class Switchboard:
    """The channels and their members. A client is a number; the server knows which socket that is.

    `channels`: the ones that exist; None: any. `patches`: groups of channels that hear each other's audio.
    """

    def __init__(
        self,
        channels: Collection[str] | None = None,
        users_form: UsersForm = "flat",
        patches: Iterable[Collection[str]] = (),
    ) -> None:
        self._known = None if channels is None else frozenset(channels)
        self._users_form = users_form
        self._members: dict[str, dict[int, Member]] = {}
        self._joined: dict[int, set[str]] = {}
        self._patched: dict[str, tuple[str, ...]] = {}
        for group in patches:
            for channel in group:
                self._patched[channel] = tuple(other for other in group if other != channel)
        self.counts: Counter[str] = Counter()

    def members(self) -> dict[str, int]:
        """Members of each channel that has any."""
        return {channel: len(members) for channel, members in self._members.items()}

    def message(self, client: int, text: str) -> Reaction:
        """A text frame of a client. What cannot be understood is counted and has no effect."""
        try:
            message = parse_client_message(text)
        except WireError:
            self.counts["rubbish"] += 1
            return Reaction()
        self.counts[f"in_{message.kind}"] += 1
        match message.kind:
            case "connect" if message.member is not None:
                return self._connect(client, message.channel_id, message.member)
            case "disconnect":
                return Reaction(self._leave(client, message.channel_id))
            case "transmit_started" | "transmit_ended":
                return Reaction(self._relay(client, message.channel_id, text))
        return Reaction()

    def leave(self, client: int) -> Sends:
        """The client is gone: off all its channels."""
        sends: Sends = []
        for channel in sorted(self._joined.get(client, ())):
            sends += self._leave(client, channel)
        return sends

    def _connect(self, client: int, channel: str, member: Member) -> Reaction:
        if self._known is not None and channel not in self._known:
            return Reaction([(client, _error("CHANNEL_NOT_FOUND", f"there is no channel {channel!r}"))])
        joined = self._joined.setdefault(client, set())
        if channel not in joined and len(joined) >= MAX_CHANNELS_PER_CLIENT:
            return Reaction([(client, _error("TOO_MANY_CHANNELS", "too many channels on one connection"))])
        members = self._members.setdefault(channel, {})
        new = client not in members
        members[client] = member
        joined.add(channel)
        return Reaction(self._tell_users(channel) if new else [], renew_port=True)

    def _leave(self, client: int, channel: str) -> Sends:
        members = self._members.get(channel, {})
        if members.pop(client, None) is None:
            return []
        joined = self._joined[client]
        joined.discard(channel)
        if not joined:
            del self._joined[client]
        if not members:
            del self._members[channel]
        return self._tell_users(channel)

    def _relay(self, client: int, channel: str, text: str) -> Sends:
        members = self._members.get(channel, {})
        if client not in members:
            self.counts["not_member"] += 1
            return []
        return [(other, text) for other in members if other != client]

    def _tell_users(self, channel: str) -> Sends:
        members = self._members.get(channel, {})
        users = [_user(member) for member in members.values()]
        told: dict[str, Any] = {"channel_id": channel, "users_connected": users}
        if self._users_form == "nested":
            told = {"users_connected": {"total": len(users), "connected": users}}
        text = json.dumps(told)
        return [(other, text) for other in members]

    def audio(self, client: int, datagram: bytes) -> list[tuple[int, bytes]]:
        """A datagram of a client: (client, datagram) for each who is to hear it, never the sender.

        The JSON is parsed and written again: unknown keys survive, order and spacing may not. `channel_id` is
        rewritten for patched channels.
        """
        if len(datagram) > MAX_DATAGRAM:
            self.counts["oversized"] += 1
            return []
        try:
            packet = load_object(datagram, MAX_DATAGRAM)
            if packet.get("type") == "KEEP_ALIVE":
                self.counts["heartbeats"] += 1
                return []
            channel = channel_id_of(packet.get("channel_id"))
        except WireError:
            self.counts["malformed"] += 1
            return []
        if channel not in self._joined.get(client, ()):
            self.counts["not_member"] += 1
            return []
        return [
            hop
            for heard_on in (channel, *self._patched.get(channel, ()))
            for hop in self._hops(client, heard_on, packet, rewrite=heard_on != channel)
        ]

    def _hops(
        self, client: int, channel: str, packet: dict[str, object], *, rewrite: bool
    ) -> list[tuple[int, bytes]]:
        listeners = [other for other in self._members.get(channel, ()) if other != client]
        if not listeners:
            return []
        relayed = {**packet, "channel_id": channel} if rewrite else packet
        data = json.dumps(relayed, ensure_ascii=False).encode()
        return [(other, data) for other in listeners]


def _user(member: Member) -> dict[str, Any]:
    return {
        "affiliation_id": member.affiliation_id,
        "user_name": member.user_name,
        "agency_name": member.agency_name,
        "time": int(member.since_s),
    }


def _error(code: str, message: str) -> str:
    return json.dumps({"error": True, "message": message, "code": code})
