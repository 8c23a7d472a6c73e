"""ESP32 microphones and record policies, read so that one bad entry costs only itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from typing import TypeVar

from echostream.config.esp32_models import DeviceDefaults, Esp32, Esp32Device
from echostream.config.explain import did_you_mean, read
from echostream.config.findings import Finding, Place, Severity, path_of, shown
from echostream.config.recording_models import Recording, RecordPolicy

MAX_DEVICES = 1000
DROPPED, WARNING = Severity.DROPPED, Severity.WARNING
Device = TypeVar("Device", bound=DeviceDefaults)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network_of(address: str) -> Network | None:
    """ "192.0.2.17" or "192.0.2.0/28" as a network; None where it is neither."""
    try:
        return ipaddress.ip_network(address, strict=False)
    except ValueError:
        return None


def read_esp32(value: object, channels: Sequence[str]) -> tuple[Esp32, list[Finding]]:
    """The section `esp32`. `channels`: ids in force. A bad setting of the section itself switches it off."""
    place: Place = ("esp32",)
    outcome = read(Esp32, value, place, DROPPED)
    if outcome.section is not None:
        devices = dict(enumerate(outcome.section.devices))
        return _settled(outcome.section, devices, channels, [])
    if not isinstance(value, dict):
        return Esp32(), outcome.wrong
    settings = {key: item for key, item in value.items() if key not in ("devices", "defaults")}
    plain = read(Esp32, settings, place, DROPPED)
    if plain.section is None:
        return Esp32(), outcome.wrong
    defaults = read(DeviceDefaults, value.get("defaults", {}), (*place, "defaults"), DROPPED)
    section = plain.section.model_copy(update={"defaults": defaults.section or DeviceDefaults()})
    devices, wrong = _devices(value.get("devices", []), (*place, "devices"))
    return _settled(section, devices, channels, [*defaults.wrong, *wrong])


def _devices(value: object, place: Place) -> tuple[dict[int, Esp32Device], list[Finding]]:
    if not isinstance(value, list):
        return {}, [Finding(path_of(place), shown(value), f"a list of at most {MAX_DEVICES}", "", DROPPED)]
    kept: dict[int, Esp32Device] = {}
    findings: list[Finding] = []
    for at, item in enumerate(value):
        outcome = read(Esp32Device, item, (*place, at), DROPPED)
        findings += outcome.wrong
        if outcome.section is not None:
            kept[at] = outcome.section
    return kept, findings


def _settled(
    section: Esp32, devices: dict[int, Esp32Device], channels: Sequence[str], findings: list[Finding]
) -> tuple[Esp32, list[Finding]]:
    """Names and addresses that two devices cannot share, channels that there are."""
    place: Place = ("esp32", "devices")
    if len(devices) > MAX_DEVICES:
        hint = "the last ones are left out"
        findings.append(
            Finding(
                path_of(place), f"a list of {len(devices)} entries", f"at most {MAX_DEVICES}", hint, DROPPED
            )
        )
    kept: list[Esp32Device] = []
    names: dict[str, int] = {}
    networks: dict[Network, int] = {}
    for at, device in list(devices.items())[:MAX_DEVICES]:
        problem = _clash(device, (*place, at), names, networks, channels)
        if problem is not None:
            findings.append(problem)
            continue
        names[device.name] = at
        network = network_of(device.address) if device.address is not None else None
        if network is not None:
            networks[network] = at
        on, missing = _with_channel(device, (*place, at), channels)
        findings += missing
        kept.append(on)
    defaults, missing = _with_channel(section.defaults, ("esp32", "defaults"), channels)
    return section.model_copy(update={"devices": tuple(kept), "defaults": defaults}), findings + missing


def _clash(
    device: Esp32Device,
    place: Place,
    names: dict[str, int],
    networks: dict[Network, int],
    channels: Sequence[str],
) -> Finding | None:
    if device.name in names:
        hint = f"esp32.devices[{names[device.name]}] has it; this one is left out"
        return Finding(path_of((*place, "name")), shown(device.name), "a name of its own", hint, DROPPED)
    if device.name in channels:
        hint = "a channel is called so: their recordings could not be told apart"
        return Finding(path_of((*place, "name")), shown(device.name), "a name of its own", hint, DROPPED)
    if device.address is None:
        return None
    network = network_of(device.address)
    path = path_of((*place, "address"))
    if network is None:
        hint = "host names are not looked up: give the device a fixed address, or let it send a hello"
        return Finding(path, shown(device.address), 'an address ("192.0.2.17") or a network', hint, DROPPED)
    if network in networks:
        hint = f"esp32.devices[{networks[network]}] has it; this one is left out"
        return Finding(path, shown(device.address), "an address of its own", hint, DROPPED)
    return None


def _with_channel(device: Device, place: Place, channels: Sequence[str]) -> tuple[Device, list[Finding]]:
    """A device whose channel is not there is recorded and not on the air."""
    findings: list[Finding] = []
    if device.record.mode in ("pages", "transmissions") and device.channel is None:
        hint = 'nothing is recorded of it: write "continuous" or "vox", or "never"'
        path = path_of((*place, "record", "mode"))
        findings.append(Finding(path, shown(device.record.mode), "continuous or vox", hint, WARNING))
    if device.channel is None or device.channel in channels:
        return device, findings
    hint = did_you_mean(device.channel, channels) or f"the channels are {', '.join(channels)}"
    path = path_of((*place, "channel"))
    found = Finding(path, shown(device.channel), "a channel's id", f"{hint}; it is not on the air", DROPPED)
    return device.model_copy(update={"channel": None, "transmit": "never"}), [*findings, found]


def advise_devices(section: Esp32, half_duplex: Collection[str]) -> list[Finding]:
    """What holds and yet will not do what somebody wants. half_duplex: ids of such channels."""
    findings: list[Finding] = []
    for at, device in enumerate(section.devices):
        if device.transmit == "always" and device.channel in half_duplex and device.enabled:
            path = path_of(("esp32", "devices", at, "transmit"))
            hint = (
                f'what others say on channel "{device.channel}" is never heard: write "vox", or make the '
                'channel "full" duplex'
            )
            findings.append(Finding(path, '"always"', "a channel of full duplex", hint, WARNING))
    return findings


# ---- the recorder


def read_recording(value: object, channels: Sequence[str]) -> tuple[Recording, list[Finding]]:
    """The section `recording`. A bad policy of one source is left out, so that `default` holds for it."""
    place: Place = ("recording",)
    outcome = read(Recording, value, place, DROPPED)
    section, findings = outcome.section, []
    if section is None:
        if not isinstance(value, dict):
            return Recording(), outcome.wrong
        settings = {key: item for key, item in value.items() if key not in ("channels", "network")}
        plain = read(Recording, settings, place, DROPPED)
        if plain.section is None:
            return Recording(), outcome.wrong
        maps = {
            key: _policies(value.get(key, {}), (*place, key), channels) for key in ("channels", "network")
        }
        findings = [found for _, wrong in maps.values() for found in wrong]
        section = plain.section.model_copy(update={key: policies for key, (policies, _) in maps.items()})
    for key in ("channels", "network"):
        policies: dict[str, RecordPolicy] = getattr(section, key)
        for channel_id in [name for name in policies if name not in channels]:
            del policies[channel_id]
            findings.append(_no_channel(channel_id, (*place, key), channels))
    return section, findings


def _no_channel(channel_id: str, place: Place, channels: Sequence[str]) -> Finding:
    hint = did_you_mean(channel_id, channels) or f"the channels are {', '.join(channels)}"
    path = path_of((*place, channel_id))
    return Finding(path, "a channel that does not exist", "a channel's id", hint, DROPPED)


def _policies(
    value: object, place: Place, channels: Sequence[str]
) -> tuple[dict[str, RecordPolicy], list[Finding]]:
    if not isinstance(value, dict):
        hint = "recording.default holds for every channel now"
        return {}, [
            Finding(path_of(place), shown(value), "an object with a policy per channel", hint, DROPPED)
        ]
    kept: dict[str, RecordPolicy] = {}
    findings: list[Finding] = []
    for channel_id, item in value.items():
        if channel_id not in channels:
            findings.append(_no_channel(channel_id, place, channels))
            continue
        outcome = read(RecordPolicy, item, (*place, channel_id), DROPPED)
        findings += outcome.wrong
        if outcome.section is not None:
            kept[channel_id] = outcome.section
    return kept, findings
