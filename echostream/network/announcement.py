"""The gateway says over mDNS where devices find it: `_echostream._tcp` (DNS-SD, RFC 6763; mDNS, RFC 6762).

Nothing depends on it: a network without multicast, an interface that goes or an address that changes is
logged and tried again, and devices that know the gateway's address never notice.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from echostream.coordinator.mailbox import Mailbox
from echostream.coordinator.worker import Worker
from echostream.events import Post
from echostream.wire.strict_text import display_text

if TYPE_CHECKING:
    from zeroconf import ServiceInfo
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

log = logging.getLogger(__name__)

SERVICE: Final = "_echostream._tcp.local."
LOOK_AGAIN_S: Final = 30.0
"""How often the machine's addresses are looked at: Wi-Fi may come up after the gateway."""
REGISTER_S: Final = 10.0
GOODBYE_S: Final = 0.5
_ANSWER_MS: Final = 1000
_OTHERS_S: Final = 0.5
"""After one gateway, the time that others have to answer."""
_LABEL_BYTES: Final = 63
"""Longest label of a DNS name (RFC 1035)."""
_SIOCGIFADDR: Final = 0x8915
_ANY: Final = ("", "0.0.0.0", "::")


class Announcement(Worker):
    """Thread `announcement`. TXT: `id` of the gateway, `hello=1` (it takes the hello line), `udp` port."""

    def __init__(self, gateway_id: str, bind: str, tcp_port: int, udp_port: int | None, post: Post) -> None:
        super().__init__("announcement", post)
        self.announced: tuple[str, ...] = ()
        """The addresses it is announced with now; empty while it is not."""
        self.name_given = ""
        """The name it goes by: another one where somebody else had ours."""
        self._id = gateway_id
        self._bind = bind
        self._port = tcp_port
        self._udp_port = udp_port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._complaint = ""

    # ---- the thread

    def _work(self) -> None:
        asyncio.run(self._announce())

    def _unblock(self) -> None:
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None and not loop.is_closed():
            loop.call_soon_threadsafe(wake.set)

    async def _announce(self) -> None:
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        responder: AsyncZeroconf | None = None
        try:
            while not self._stopping.is_set():
                addresses = usable_addresses(self._bind)
                if addresses != self.announced:
                    await self._withdraw(responder)
                    responder = await self._offer(addresses) if addresses else None
                await self._pause()
        finally:
            await self._withdraw(responder)
            self._loop = None

    async def _pause(self) -> None:
        assert self._wake is not None
        try:
            await asyncio.wait_for(self._wake.wait(), LOOK_AGAIN_S)
        except TimeoutError:
            return

    # ---- one announcement

    async def _offer(self, addresses: tuple[str, ...]) -> AsyncZeroconf | None:
        """Register under these addresses; None, with a word in the log, where that fails."""
        from zeroconf import Error, IPVersion
        from zeroconf.asyncio import AsyncZeroconf

        try:
            _check_ours(addresses)
            responder = AsyncZeroconf(interfaces=list(addresses), ip_version=IPVersion.V4Only)
        except OSError as error:
            self._complain(f"port 5353 of {', '.join(addresses)}: {error}")
            return None
        info = self._info(addresses)
        try:
            if not await self._unless_stopped(responder, info):
                await responder.async_close()
                return None
        except (OSError, Error, TimeoutError) as error:
            self._complain(f"{', '.join(addresses)}: {str(error) or type(error).__name__}")
            await responder.async_close()
            return None
        self.announced, self.name_given = addresses, info.name
        self._complaint = ""
        log.info("devices find this gateway by mDNS: %s at %s", info.name, ", ".join(addresses))
        return responder

    async def _unless_stopped(self, responder: AsyncZeroconf, info: AsyncServiceInfo) -> bool:
        """Probing takes nearly two seconds (RFC 6762, 8.1); a gateway that stops does not wait for it."""
        assert self._wake is not None
        registering = asyncio.ensure_future(_register(responder, info))
        stopped = asyncio.ensure_future(self._wake.wait())
        try:
            done, _ = await asyncio.wait(
                (registering, stopped), timeout=REGISTER_S, return_when=asyncio.FIRST_COMPLETED
            )
            if registering in done:
                registering.result()
                return True
            if not done:
                raise TimeoutError(f"not registered within {REGISTER_S:.0f} s")
            return False
        finally:
            for task in (registering, stopped):
                task.cancel()
            await asyncio.gather(registering, stopped, return_exceptions=True)

    async def _withdraw(self, responder: AsyncZeroconf | None) -> None:
        """Say goodbye, so that devices forget it at once. Bounded."""
        self.announced, self.name_given = (), ""
        if responder is None:
            return
        try:
            await asyncio.wait_for(responder.async_close(), GOODBYE_S)
        except (OSError, TimeoutError) as error:
            log.debug("mDNS: no goodbye: %s", error)

    def _info(self, addresses: tuple[str, ...]) -> AsyncServiceInfo:
        from zeroconf.asyncio import AsyncServiceInfo

        label = _label(self._id)
        told = {"id": self._id, "hello": "1"}
        if self._udp_port is not None:
            told["udp"] = str(self._udp_port)
        return AsyncServiceInfo(
            SERVICE,
            f"{label}.{SERVICE}",
            port=self._port,
            properties=told,
            # A host name of its own: the machine's may already be announced by another responder.
            server=f"{_label('echostream-' + label)}.local.",
            addresses=[socket.inet_aton(address) for address in addresses],
        )

    def _complain(self, what: str) -> None:
        """Once for each reason: it is tried again every half minute."""
        if what != self._complaint:
            self._complaint = what
            log.warning("not announced by mDNS: %s; devices need this gateway's address instead", what)


async def _register(responder: AsyncZeroconf, info: AsyncServiceInfo) -> None:
    """Probe for the name, then announce it."""
    await (await responder.async_register_service(info, allow_name_change=True))


@dataclass(frozen=True, slots=True)
class Found:
    """A gateway that announces itself. udp_port: None where it has none."""

    gateway_id: str
    host: str
    port: int
    udp_port: int | None


_MOST_HEARD: Final = 256


def find_gateways(wait_s: float, interfaces: Sequence[str] | None = None) -> list[Found]:
    """Those that answer, by id; waits no longer than for the first. For command lines: it blocks.

    interfaces: own addresses to ask from; None: all. OSError where mDNS cannot be used at all.
    """
    from zeroconf import InterfaceChoice, IPVersion, ServiceBrowser, Zeroconf

    heard: Mailbox[str] = Mailbox(_MOST_HEARD)

    def changed(name: str, **_: object) -> None:
        heard.put(name)  # a neighbour that announces without end is not heard out

    asking = Zeroconf(interfaces=interfaces or InterfaceChoice.All, ip_version=IPVersion.V4Only)
    found: dict[str, Found] = {}
    try:
        browser = ServiceBrowser(asking, SERVICE, handlers=[changed])
        try:
            name = heard.get(wait_s)
            while name is not None and len(found) < _MOST_HEARD:
                info = asking.get_service_info(SERVICE, name, _ANSWER_MS)
                if info is not None and info.port and info.parsed_addresses():
                    found[name] = _found(info)
                name = heard.get(_OTHERS_S)
        finally:
            browser.cancel()
    finally:
        asking.close()
    return sorted(found.values(), key=lambda one: (one.gateway_id, one.host))


def _found(info: ServiceInfo) -> Found:
    """What the network says is read with care: keys that are missing or no numbers are left out."""
    told = {key: value or b"" for key, value in info.properties.items()}
    udp = told.get(b"udp", b"")
    name = told.get(b"id", b"").decode("utf-8", "replace") or info.name.removesuffix(f".{SERVICE}")
    return Found(
        display_text(name),
        info.parsed_addresses()[0],
        info.port or 0,
        int(udp) if udp.isdigit() and 0 < int(udp) < 65_536 else None,
    )


def _check_ours(addresses: tuple[str, ...]) -> None:
    """OSError for an address that this machine does not have (now)."""
    for address in addresses:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))


def usable_addresses(bind: str) -> tuple[str, ...]:
    """IPv4 addresses at which devices reach what listens on `bind`; loopback only where bind says so."""
    if bind not in _ANY:
        return (bind,) if _is_ipv4(bind) else ()
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, interface in socket.if_nameindex():
            request = struct.pack("256s", interface.encode()[:15])
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, request)
            except OSError:  # it has no address now
                continue
            found.append(socket.inet_ntoa(answer[20:24]))
    return tuple(sorted({address for address in found if not address.startswith("127.")}))


def _is_ipv4(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return False
    return True


def _label(text: str) -> str:
    """One label of a DNS name: a dot would be two, and more than 63 bytes do not fit."""
    return text.replace(".", "-").encode()[:_LABEL_BYTES].decode(errors="ignore")
