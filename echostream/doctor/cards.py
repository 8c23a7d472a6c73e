"""Group `cards`: whether each channel's sound card is there, does what is asked of it, and who has it."""

from __future__ import annotations

import errno
import os
import re
from functools import cache
from typing import Final

from echostream.audio.format import RATE_HZ
from echostream.config.models import NO_CARD, Channel
from echostream.doctor.mixer import MixerReader, mixer_findings
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.hardware.alsa_library import AlsaLibrary
from echostream.hardware.card_identity import AlsaCard, Kernel, card_behind, may_be_pcm

THERE: Final = Kind("cards.there", Level.OK, "{card}: {name}{port}, {rates}")
MISSING: Final = Kind(
    "cards.missing",
    Level.FAILURE,
    "{card} is not plugged in; there is: {there}",
    "plug it in (`lsusb` shows what the bus sees); `echostream devices` lists the names to write here",
)
NO_CAPTURE: Final = Kind(
    "cards.no_capture",
    Level.FAILURE,
    "{card} has no input: nothing of the radio can be heard",
    "use a card with a microphone or line input; many HDMI and headphone outputs have none",
)
NO_PLAYBACK: Final = Kind(
    "cards.no_playback",
    Level.FAILURE,
    "{card} has no output: nothing can be played to the radio",
    "use a card with a headphone or line output",
)
RATE: Final = Kind(
    "cards.rate",
    Level.NOTE,
    "{card} does {rates}, not 48 kHz: the audio is resampled",
    "nothing to do; a card with 48 kHz saves some processor time",
)
TWINS: Final = Kind(
    "cards.twins",
    Level.WARNING,
    "{count} cards are of the same kind ({name}): by their id alone they may change places after a start",
    "name it by its port: {remedy}",
)
TWINS_TOLD: Final = Kind(
    "cards.twins_told", Level.OK, "{count} cards of the same kind ({name}) are told apart by their ports"
)
BUSES: Final = Kind(
    "cards.buses",
    Level.WARNING,
    "this machine has several USB controllers, whose buses may be numbered otherwise at the next start: "
    "{card} may then be another port, or none",
    'name it with its controller: "card": "usb:{place}"',
)
IN_USE: Final = Kind(
    "cards.in_use",
    Level.FAILURE,
    "{card} is used by {program} (process {pid}), so the gateway cannot open it",
    "{how}",
)
OURS: Final = Kind("cards.ours", Level.OK, "{card} is used by the gateway, at {rate}")
PCM: Final = Kind("cards.pcm", Level.OK, "{card} is a PCM of an ALSA configuration file, and opens both ways")
ONE_WAY: Final = Kind(
    "cards.one_way",
    Level.FAILURE,
    "{card} is a PCM of an ALSA configuration file, and does not open for {way}",
    "look at its definition in /etc/asound.conf: `arecord -D {card}` and `aplay -D {card}` say more",
)
SHUT: Final = Kind(
    "cards.shut",
    Level.FAILURE,
    "{card} does not open for {way}: {why}",
    "plug it in again; where that does not help, `dmesg` says what its driver complains of",
)
NONE: Final = Kind("cards.none", Level.NOTE, "no channel has a sound card")
SPARE: Final = Kind("cards.spare", Level.NOTE, "{card} ({name}{port}) is plugged in, and no channel uses it")
SOUND_SERVER: Final = Kind(
    "cards.sound_server",
    Level.WARNING,
    "the sound server {program} runs (process {pid}): it may take a card that comes back",
    "systemctl --user mask --now {program}.socket {program}.service; on a gateway without a desktop: "
    "sudo apt remove {program}",
)
UNPLUGGED: Final = Kind(
    "cards.unplugged",
    Level.WARNING,
    "USB devices went away {count} times within the last day",
    "look at plugs, cables and the power supply: journalctl -k -g 'USB disconnect' says which port and when",
)
_WAYS: Final = (("capture", True), ("playback", False))
OFTEN: Final = 3
"""Somebody who moves a plug makes one or two."""
SOUND_SERVERS: Final = ("pulseaudio", "pipewire", "pipewire-pulse", "jackd")
GATEWAY: Final = "echostream"


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [
        Check("cards", "channels", _channels),
        Check("cards", "mixers", _mixers),
        Check("cards", "opens", _opens, slow=True),
        Check("cards", "spare", _spare),
        Check("cards", "sound_server", _sound_server),
        Check("cards", "unplugged", _unplugged),
    ]


def kernel_of(world: World) -> Kernel:
    """Where this world's kernel shows its cards."""
    return Kernel(world.path("/proc/asound"), world.path("/sys/class/sound"))


def _wanted(world: World) -> list[tuple[str, Channel]]:
    """The channels that have a card, by their names: where one is left out, the others' numbers change."""
    channels = world.config.channels if world.config is not None else ()
    return [
        (f"channel {channel.id}", channel)
        for channel in channels
        if channel.enabled and channel.card != NO_CARD
    ]


def _channels(world: World) -> list[Finding]:
    cards, changing = kernel_of(world).cards(), kernel_of(world).buses_may_change()
    wanted = _wanted(world)
    findings = []
    for place, channel in wanted:
        card = card_behind(channel.card, cards)
        if card is not None:
            findings += _of_card(place, channel, card, world)
            findings += _twins(place, channel, card, cards)
            if changing and card.place and channel.card == f"usb:{card.port}":
                findings.append(BUSES.at(place, None, card=channel.card, place=card.place))
        else:
            findings.append(_pcm_or_missing(place, channel, cards))
    if world.config is not None and not wanted:
        findings.append(NONE.at())
    return findings


def _pcm_or_missing(place: str, channel: Channel, cards: tuple[AlsaCard, ...]) -> Finding:
    """Of a name that is no card's."""
    shut = []
    if may_be_pcm(channel.card):
        shut = [way for way, capture in _WAYS if not _alsa().can_open(channel.card, capture=capture)]
        if not shut:
            return PCM.at(place, card=channel.card)
        if len(shut) < len(_WAYS):
            return ONE_WAY.at(place, card=channel.card, way=shut[0])
    there = ", ".join(one.alsa_id for one in cards) or "no card at all"
    return MISSING.at(place, card=channel.card, there=there)


@cache
def _alsa() -> AlsaLibrary:
    """One: its messages go to the log from then on."""
    return AlsaLibrary()


def _opens(world: World) -> list[Finding]:
    """Each card that nobody has, for a moment."""
    cards = kernel_of(world).cards()
    findings = []
    for place, channel in _wanted(world):
        card = card_behind(channel.card, cards)
        for way, capture in _WAYS if card is not None else ():
            pcm = card.pcm(capture=capture) if card is not None else None
            code = _alsa().open_error(pcm, capture=capture) if pcm is not None else 0
            if code not in (0, errno.EBUSY):
                findings.append(SHUT.at(place, card=channel.card, way=way, why=os.strerror(code)))
    return findings


def _of_card(place: str, channel: Channel, card: AlsaCard, world: World) -> list[Finding]:
    rates = sorted({rate for half in (card.capture, card.playback) if half for rate in half.rates_hz})
    told = ", ".join(f"{rate / 1000:g} kHz" for rate in rates) or "rates not told"
    findings = [
        THERE.at(
            place,
            {"card": channel.card, "alsa_id": card.alsa_id, "port": card.port, "rates_hz": rates},
            card=channel.card,
            name=card.long_name,
            port=_port(card),
            rates=told,
        )
    ]
    if card.capture is None:
        findings.append(NO_CAPTURE.at(place, card=channel.card))
    if card.playback is None:
        findings.append(NO_PLAYBACK.at(place, card=channel.card))
    if rates and RATE_HZ not in rates:
        findings.append(RATE.at(place, card=channel.card, rates=told))
    return [*findings, *_users(place, channel, card, world)]


def _users(place: str, channel: Channel, card: AlsaCard, world: World) -> list[Finding]:
    """Who has its PCMs open, as /proc/asound/cardN/pcmMc/subK/status says (owner_pid)."""
    findings: dict[str, Finding] = {}
    for path in world.glob(f"/proc/asound/card{card.index}/pcm*/sub*/status"):
        folder = f"/proc/asound/card{card.index}/{path.parent.parent.name}/{path.parent.name}"
        match = re.search(r"^owner_pid\s*:\s*(\d+)", world.text(f"{folder}/status"), re.M)
        if match is None:
            continue
        pid = match[1]
        program = _program(pid, world)
        if program.startswith(GATEWAY):
            rate = re.search(r"^rate:\s*(\d+)", world.text(f"{folder}/hw_params"), re.M)
            hz = f"{int(rate[1]) / 1000:g} kHz" if rate else "an unknown rate"
            findings.setdefault(pid, OURS.at(place, card=channel.card, rate=hz))
        else:
            fields = {"card": channel.card, "program": program, "pid": pid, "how": _how_to_stop(program, pid)}
            findings.setdefault(pid, IN_USE.at(place, None, **fields))
    return list(findings.values())


def _how_to_stop(program: str, pid: str) -> str:
    if program in SOUND_SERVERS:
        return f"switch that sound server off: systemctl --user mask --now {program}.socket {program}.service"
    return f"stop that program: systemctl status {pid} says what started it"


def _program(pid: str, world: World) -> str:
    """ "echostream" for whatever is one of the gateway's processes: a thread's owner_pid is its process."""
    words = world.text(f"/proc/{pid}/cmdline").split("\0")
    if any(word == GATEWAY or word.endswith(f"/{GATEWAY}") for word in words):
        return GATEWAY
    return world.text(f"/proc/{pid}/comm") or "another program"


def _twins(place: str, channel: Channel, card: AlsaCard, cards: tuple[AlsaCard, ...]) -> list[Finding]:
    """Cards whose names are the same but for the port that the driver writes behind them."""
    kind = _kind(card)
    alike = [one for one in cards if one.port and _kind(one) == kind]
    if not card.port or len(alike) < 2:
        return []
    if channel.card.startswith("usb:"):
        return [TWINS_TOLD.at(place, count=len(alike), name=kind)]
    remedy = f'"card": "usb:{card.port}" is the one that {channel.card} means now'
    return [TWINS.at(place, count=len(alike), name=kind, remedy=remedy)]


def _kind(card: AlsaCard) -> str:
    """ "C-Media Electronics Inc. USB PnP Sound Device" of "... at usb-0000:01:00.0-1.2, full speed"."""
    return card.long_name.partition(" at usb-")[0]


def _port(card: AlsaCard) -> str:
    return f", port usb:{card.port}" if card.port else ""


def _mixers(world: World, read: MixerReader | None = None) -> list[Finding]:
    cards = kernel_of(world).cards()
    findings: list[Finding] = []
    seen: set[str] = set()
    for place, channel in _wanted(world):
        card = card_behind(channel.card, cards)
        if card is not None and card.alsa_id not in seen:
            seen.add(card.alsa_id)
            findings += mixer_findings(place, card.alsa_id, read)
    return findings


def _spare(world: World) -> list[Finding]:
    cards = kernel_of(world).cards()
    used = set()
    for _, channel in _wanted(world):
        card = card_behind(channel.card, cards)
        if card is not None:
            used.add(card.index)
    return [
        SPARE.at(card=card.alsa_id, name=card.long_name, port=_port(card))
        for card in cards
        if card.index not in used and card.capture is not None and card.playback is not None
    ]


def _sound_server(world: World) -> list[Finding]:
    for path in world.glob("/proc/[0-9]*/comm"):
        program = world.text(f"/proc/{path.parent.name}/comm")
        if program in SOUND_SERVERS and kernel_of(world).cards():
            return [SOUND_SERVER.at(program=program, pid=path.parent.name)]
    return []


def _unplugged(world: World) -> list[Finding]:
    """As the kernel's log has it."""
    ran = world.run(
        *("journalctl", "-k", "-q", "--no-pager", "-o", "cat", "--since=-1day", "--grep=USB disconnect")
    )
    count = sum("USB disconnect" in line for line in ran.out.splitlines())
    return [UNPLUGGED.at(count=count)] if count > OFTEN else []
