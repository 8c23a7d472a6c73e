"""Keying over a wire: times that are right, lines that hang, wires that are not there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from echostream.errors import GpioError
from echostream.selftest.items import Item
from echostream.selftest.keying import Edges, Keyed, judge_keying, key_rounds
from echostream.selftest.parts import Simulation, open_wire
from echostream.selftest.setup import KeyWire, Setup

WIRE = KeyWire(12, None, 20)


def by_name(keyed: Keyed) -> dict[str, Item]:
    return {item.name: item for item in judge_keying(keyed, "BCM 12", "BCM 20")}


class SlowLine:
    """A line that follows late. `lapse_s`: how long after the last renewal it drops; None: never."""

    fault = None

    def __init__(self, edges: Edges, up_s: float, down_s: float, lapse_s: float | None) -> None:
        self._tell: Callable[[bool, float], None] = edges.on_change
        self._up_s, self._down_s, self._lapse_s = up_s, down_s, lapse_s
        self._renewed_s = 0.0
        self._keyed = False
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="test-line")
        self._thread.start()

    def key(self) -> None:
        with self._lock:
            self._renewed_s = time.monotonic()
            if not self._keyed:
                self._keyed = True
                self._tell(True, time.monotonic() + self._up_s)

    def unkey(self) -> None:
        with self._lock:
            if self._keyed:
                self._keyed = False
                self._tell(False, time.monotonic() + self._down_s)

    def close(self) -> None:
        self._ends.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ends.wait(0.005):
            with self._lock:
                over = self._lapse_s is not None and time.monotonic() - self._renewed_s > self._lapse_s
                if self._keyed and over:
                    self._keyed = False
                    self._tell(False, time.monotonic())


def test_times_are_those_of_the_line() -> None:
    edges = Edges()
    line = SlowLine(edges, up_s=0.031, down_s=0.012, lapse_s=0.2)
    keyed = key_rounds(line, edges, rounds=3)
    line.close()
    assert all(one == pytest.approx(31.0, abs=5.0) for one in keyed.up_ms)
    assert all(one == pytest.approx(12.0, abs=5.0) for one in keyed.down_ms)
    assert keyed.lapse_ms is not None
    assert 100 < keyed.lapse_ms < 350
    assert {item.verdict for item in judge_keying(keyed, "BCM 12", "BCM 20")} == {"pass"}


def test_a_slow_line_is_failed() -> None:
    items = by_name(Keyed((10.0, 80.0), (60.0, 5.0), 700.0))
    assert {name: item.verdict for name, item in items.items()} == dict.fromkeys(
        ("key-up", "key-down", "drops by itself"), "fail"
    )


def test_a_line_that_stays_keyed_is_failed_loudly() -> None:
    items = by_name(Keyed((1.0,), (1.0,), None))
    assert items["drops by itself"].verdict == "fail"
    assert "do not put a radio" in items["drops by itself"].remedy


def test_one_round_of_three_that_is_not_seen_fails() -> None:
    items = by_name(Keyed((1.0, None, 1.0), (1.0, 1.0, 1.0), 200.0))
    assert items["key-up"].verdict == "fail"
    assert "1 of 3" in items["key-up"].shown


def test_without_a_wire_that_is_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echostream.selftest.keying._EDGE_WAIT_S", 0.05)

    class Deaf:
        fault = None
        keyed = False

        def key(self) -> None:
            self.keyed = True

        def unkey(self) -> None:
            self.keyed = False

    line = Deaf()
    keyed = key_rounds(line, Edges(), rounds=2)
    found = judge_keying(keyed, "BCM 12", "BCM 20")
    assert [item.verdict for item in found] == ["fail"]
    assert "is there a wire from BCM 12 to BCM 20" in found[0].remedy
    assert not line.keyed


@pytest.mark.parametrize("active_low", [False, True])
def test_simulated_pins_are_wired_whichever_way_the_line_is_active(active_low: bool) -> None:
    setup = Setup("channel", None)
    with open_wire(KeyWire(12, None, 20, active_low), "auto", Simulation("all", setup)) as (line, edges):
        keyed = key_rounds(line, edges, rounds=2)
    assert {item.verdict for item in judge_keying(keyed, "BCM 12", "BCM 20")} == {"pass"}


def test_a_pin_that_the_chip_does_not_have_is_refused() -> None:
    with (
        pytest.raises(GpioError, match="BCM 99"),
        open_wire(KeyWire(12, None, 99), "auto", Simulation("all", Setup("channel", None))),
    ):
        pass


def test_edges_are_bounded() -> None:
    edges = Edges()
    for number in range(1000):
        edges.on_change(bool(number % 2), float(number))
    edges.forget()
    assert edges.wait(True, time.monotonic() + 0.01, lambda: None) is None
