"""Numbers on the command line, with what is expected said where one is not."""

from __future__ import annotations

import argparse
import math


def seconds(text: str) -> float:
    """Above 0, at most an hour."""
    return number(text, 1e-3, 3600.0, "0.001 to 3600 seconds")


def tone_seconds(text: str) -> float:
    """Length of a tone."""
    return number(text, 5e-3, 60.0, "0.005 to 60 seconds")


def pause_seconds(text: str) -> float:
    """Length of a pause; 0 for none."""
    return number(text, 0.0, 60.0, "0 to 60 seconds")


def hertz(text: str) -> float:
    """What a voice channel can carry."""
    return number(text, 20.0, 20_000.0, "20 to 20000 Hz")


def share(text: str) -> float:
    """0 to 1."""
    return number(text, 0.0, 1.0, "0 to 1")


def level(text: str) -> float:
    """dBFS."""
    return number(text, -120.0, 0.0, "-120 to 0 dBFS")


def snr(text: str) -> float:
    """dB."""
    return number(text, -60.0, 120.0, "-60 to 120 dB")


def count(text: str) -> int:
    """A whole number from 1."""
    return int(number(text, 1, 10**9, "a whole number from 1", whole=True))


def rate(text: str) -> int:
    """A sample rate."""
    return int(number(text, 2000, 400_000, "a whole number of 2000 to 400000 Hz", whole=True))


def number(text: str, low: float, high: float, expected: str, whole: bool = False) -> float:
    """ArgumentTypeError unless it is a number from low to high."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high or (whole and not value.is_integer()):
        raise argparse.ArgumentTypeError(f"{text}: expected {expected}")
    return value
