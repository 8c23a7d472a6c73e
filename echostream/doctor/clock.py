"""Group `clock`: whether the wall clock is right. Certificates, recordings and pages carry its time."""

from __future__ import annotations

from typing import Final

from echostream.archive.wall_clock import kernel_clock
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World

SYNCHRONISED: Final = Kind("clock.synchronised", Level.OK, "synchronised, off by at most {error_ms:.0f} ms")
UNSYNCHRONISED: Final = Kind(
    "clock.unsynchronised",
    Level.WARNING,
    "the clock is not synchronised{who}",
    "sudo timedatectl set-ntp true; without internet name a time server of the site in "
    "/etc/systemd/timesyncd.conf (NTP=), then: sudo systemctl restart systemd-timesyncd",
)
UNKNOWN: Final = Kind(
    "clock.unknown", Level.NOTE, "the kernel does not say whether the clock is synchronised"
)
WRONG: Final = Kind(
    "clock.wrong",
    Level.FAILURE,
    "the clock says {date}, which is before this version was made",
    "sudo timedatectl set-ntp true, or by hand: sudo date -s 'YYYY-MM-DD HH:MM:SS'; TLS fails until then",
)
RTC: Final = Kind("clock.rtc", Level.OK, "a clock with a battery keeps time while the power is off ({name})")
NO_RTC: Final = Kind(
    "clock.no_rtc",
    Level.NOTE,
    "no clock with a battery: after a power cut the time is wrong until the network is back",
    "a Pi 5 has a socket for a battery; for others a DS3231 module with dtoverlay=i2c-rtc,ds3231",
)
RTC_BATTERY: Final = Kind(
    "clock.rtc_battery",
    Level.WARNING,
    "the clock with a battery says {date}: its battery is empty, or it was never set",
    "put in a new battery, then: sudo hwclock --systohc",
)
ZONE: Final = Kind("clock.zone", Level.OK, "time zone {zone}")
MADE_US: Final = 1_767_225_600_000_000
"""2026-01-01, before which no version was made."""
_STA_NO_BATTERY_S: Final = 1_262_304_000
"""2010-01-01: what a clock without a battery says lies before."""


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [Check("clock", "time", _time), Check("clock", "rtc", _rtc)]


def _time(world: World) -> list[Finding]:
    findings = []
    now_us = world.now_us()
    if now_us < MADE_US:
        findings.append(WRONG.at(date=_date(now_us // 1_000_000)))
    quality = kernel_clock()
    if quality.state == "unknown":
        findings.append(UNKNOWN.at())
    elif quality.state == "synchronised":
        findings.append(SYNCHRONISED.at(error_ms=quality.error_ms))
    else:
        findings.append(UNSYNCHRONISED.at(who=_who(world)))
    zone = world.text("/etc/timezone") or "UTC"
    return [*findings, ZONE.at(zone=zone)]


def _who(world: World) -> str:
    """Which service should do it, as systemd sees it."""
    for unit in ("systemd-timesyncd", "chrony", "ntpsec", "ntp"):
        ran = world.run("systemctl", "is-active", unit)
        if ran.code == 0:
            return f" (although {unit} runs: it reaches no server)"
        if ran.code is None:
            return ""
    return " (no time service runs)"


def _rtc(world: World) -> list[Finding]:
    for folder in world.glob("/sys/class/rtc/rtc*"):
        name = world.text(f"/sys/class/rtc/{folder.name}/name").split(" ")[0]
        seconds = world.number(f"/sys/class/rtc/{folder.name}/since_epoch")
        if seconds is not None and seconds < _STA_NO_BATTERY_S:
            return [RTC_BATTERY.at(f"/dev/{folder.name}", date=_date(seconds))]
        return [RTC.at(name=name or folder.name)]
    return [NO_RTC.at()]


def _date(unix_s: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
