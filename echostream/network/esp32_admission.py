"""Who a device is, and whether it is let in. Pure: address and hello in, a verdict out."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from echostream.audio.sample_forms import SampleFormat
from echostream.config.esp32_models import DeviceDefaults, Esp32
from echostream.wire.esp32_hello import Hello

_NOBODY: Final = "nobody"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A stream that is taken, and how it is read.

    name: unique among devices with an entry or a name of their own; an anonymous one (no name of its own) may
    get a number behind it. settings: where it goes, for those who open sinks.
    """

    name: str
    label: str
    rate_hz: int
    sample_format: SampleFormat
    channels: int
    settings: DeviceDefaults
    known: bool
    quarantined: bool
    anonymous: bool

    @property
    def talks(self) -> bool:
        """Its audio may go on the air."""
        return self.settings.transmit != "never" and not self.quarantined

    @property
    def reading(self) -> tuple[object, ...]:
        """What cannot change while a stream goes on."""
        return (
            self.name,
            self.rate_hz,
            self.sample_format,
            self.channels,
            self.known,
            self.quarantined,
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """reason: a few short codes, fit to count by. message: for the log; it holds no secret."""

    reason: str
    message: str


def plain_address(address: str) -> str:
    """An address without its scope, and IPv4 as IPv4: ::ffff:192.0.2.17 is 192.0.2.17."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def name_of_address(address: str) -> str:
    """What a device without any name is called; fit for a file's name."""
    return "esp32-" + address.replace(":", "-")


class Admission:
    """The rules of one configuration. tokens: by name of the device, as read from where it says."""

    def __init__(self, esp32: Esp32, tokens: Mapping[str, str]) -> None:
        self._unknown = esp32.unknown
        self._defaults = esp32.defaults
        self._by_name = {device.name: device for device in esp32.devices}
        self._tokens = dict(tokens)
        self._networks: dict[tuple[int, int], dict[int, str]] = {}
        """By version of IP and shift (bits behind the prefix): by prefix, the name."""
        self._by_address: dict[str, str] = {}
        for device in esp32.devices:
            if device.address is None:
                continue
            network = ipaddress.ip_network(device.address, strict=False)
            if network.num_addresses == 1:
                self._by_address[str(network.network_address)] = device.name
            else:
                shift = network.max_prefixlen - network.prefixlen
                same = self._networks.setdefault((network.version, shift), {})
                same[int(network.network_address) >> shift] = device.name
        self._networks = dict(sorted(self._networks.items()))  # the narrowest that fits comes first

    def judge(self, address: str, hello: Hello | None) -> Admitted | Refused:
        """address: as plain_address gives it. hello None: the stream is audio from its first byte on."""
        if hello is not None:
            return self._judge_hello(address, hello)
        name = self._by_address.get(address)
        if name is not None:
            return self._known(name, name, None)
        name = self._of_network(address)
        if name is not None:
            # Several devices may share a network: the address tells them apart, today and tomorrow.
            return self._known(name, f"{name}-{address.replace(':', '-')}", None)
        return self._stranger(address, None)

    def knows(self, address: str) -> bool:
        """Whether a stream without hello from there has an entry."""
        return address in self._by_address or self._of_network(address) is not None

    def _judge_hello(self, address: str, hello: Hello) -> Admitted | Refused:
        device = self._by_name.get(hello.device)
        if device is None:
            return self._stranger(address, hello)
        if device.token is not None:
            expected = self._tokens.get(device.name, "")
            given = hello.token or ""
            if not expected:
                return Refused("no_token", f"{device.name}: its token could not be read here; see the log")
            if not hmac.compare_digest(expected.encode(), given.encode()):
                said = "a wrong token" if given else "no token"
                return Refused("bad_token", f"{device.name}: its hello carries {said}")
        return self._known(device.name, device.name, hello)

    def _known(self, entry: str, name: str, hello: Hello | None) -> Admitted | Refused:
        device = self._by_name[entry]
        if not device.enabled:
            return Refused("disabled", f"{entry}: enabled is false")
        return _admitted(name, device.label, device, hello, known=True)

    def _stranger(self, address: str, hello: Hello | None) -> Admitted | Refused:
        said = f"calls itself {hello.device}" if hello is not None else "says no name"
        if self._unknown == "refuse":
            return Refused("unknown", f'it {said} and has no entry; esp32.unknown is "refuse"')
        if self._unknown == "accept":
            if hello is None:
                return _admitted(name_of_address(address), "", self._defaults, None, anonymous=True)
            return _admitted(hello.device, "", self._defaults, hello)
        # A name that nobody vouches for must not take the place of another's recordings: the address is the
        # name, what it calls itself a remark.
        label = hello.device if hello is not None else ""
        return _admitted(
            name_of_address(address), label, self._defaults, hello, quarantined=True, anonymous=True
        )

    def _of_network(self, address: str) -> str | None:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return None
        # A look for each length of prefix, not for each entry: a forged sender may be anybody, at any rate.
        for (version, shift), names in self._networks.items():
            if version == found.version:
                name = names.get(int(found) >> shift)
                if name is not None:
                    return name
        return None


def _admitted(
    name: str,
    label: str,
    settings: DeviceDefaults,
    hello: Hello | None,
    *,
    known: bool = False,
    quarantined: bool = False,
    anonymous: bool = False,
) -> Admitted:
    hello = hello or Hello(_NOBODY)
    return Admitted(
        name,
        label,
        hello.rate_hz or settings.rate_hz,
        hello.sample_format or settings.format,
        hello.channels,
        settings,
        known,
        quarantined,
        anonymous,
    )
