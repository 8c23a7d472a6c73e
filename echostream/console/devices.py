"""`echostream devices`: what is plugged in, by the names that a configuration can use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from echostream.config.load import load_config
from echostream.config.models import NO_CARD, Channel
from echostream.errors import ConfigError, LibraryMissing
from echostream.hardware.audio_hardware import AudioHardware
from echostream.hardware.card_identity import CardInfo
from echostream.hardware.gpio_chips import list_chips
from echostream.hardware.gpio_uapi import ChipInfo


def devices(config_path: Path | None, *, as_json: bool, out: TextIO) -> int:
    """Print cards and chips; exit code 0, 2 for a refused configuration, 3 without PortAudio."""
    channels: tuple[Channel, ...] = ()
    try:
        if config_path is not None:
            everyone = load_config(config_path).config.channels
            channels = tuple(channel for channel in everyone if channel.card != NO_CARD)
        hardware = AudioHardware([channel.card for channel in channels])
    except ConfigError as error:
        out.write(f"{error}\n")
        return 2
    except LibraryMissing as error:
        out.write(f"{error}\n")
        return 3
    try:
        cards = hardware.cards()
        missing = [channel for channel in channels if not hardware.present(channel.card)]
    finally:
        hardware.close()
    chips = list_chips()
    if as_json:
        document = {
            "cards": [{**asdict(card), "channels": _users(card, channels)} for card in cards],
            "gpio_chips": [chip._asdict() for chip in chips],
            "missing": [{"channel": channel.id, "card": channel.card} for channel in missing],
        }
        out.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return 0
    _print_cards(cards, channels, out)
    _print_chips(chips, out)
    for channel in missing:
        out.write(f"channel {channel.id}: its card {channel.card} is not plugged in\n")
    return 0


def _users(card: CardInfo, channels: tuple[Channel, ...]) -> list[str]:
    names = {card.name, card.alsa_id, f"alsa:{card.alsa_id}", f"usb:{card.port}", f"usb:{card.place}"}
    return [channel.id for channel in channels if channel.card in names]


def _print_cards(cards: list[CardInfo], channels: tuple[Channel, ...], out: TextIO) -> None:
    if not cards:
        out.write("sound cards: none (plug one in; `lsusb` shows what the bus sees)\n")
        return
    out.write('sound cards (write the first column into a channel\'s "card"):\n')
    rows = [("card", "ALSA id", "in", "out", "rates", "used by", "what it is")]
    for card in cards:
        rates = ", ".join(f"{rate / 1000:g}k" for rate in card.rates_hz) or "not told"
        used_by = ", ".join(_users(card, channels)) or "-"
        counts = (str(card.max_inputs), str(card.max_outputs))
        rows.append((card.name, card.alsa_id or "-", *counts, rates, used_by, card.long_name))
    _print_rows(rows, out)


def _print_chips(chips: list[ChipInfo], out: TextIO) -> None:
    if not chips:
        out.write("GPIO chips: none (not a Raspberry Pi, or no permission: add the user to the group gpio)\n")
        return
    out.write("GPIO chips:\n")
    _print_rows([(chip.path, chip.label, f"{chip.lines} lines") for chip in chips], out)


def _print_rows(rows: Sequence[tuple[str, ...]], out: TextIO) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.write(f"  {line.rstrip()}\n")
