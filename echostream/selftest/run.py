"""One self-test from beginning to end: the card, the wire, the network, in this order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from echostream.audio.ports import CardSpec, Side
from echostream.errors import AudioError, EchoStreamError, GpioError, LibraryMissing
from echostream.selftest.analysis import Measured, analyse
from echostream.selftest.items import Item, failed, noted
from echostream.selftest.judge import judge_take
from echostream.selftest.keying import judge_keying, key_rounds
from echostream.selftest.parts import Simulation, open_cards, open_wire
from echostream.selftest.report import Report
from echostream.selftest.setup import Asked, Setup
from echostream.selftest.signal import KnownSignal, known_signal
from echostream.selftest.take import Cards, Take, take

ROUNDS, QUICK_ROUNDS = 10, 3


@dataclass(frozen=True, slots=True)
class Heard:
    """What a picture is drawn of."""

    signal: KnownSignal
    taken: Take
    measured: Measured | None


def run_fairly(asked: Asked, setup: Setup, simulation: Simulation) -> tuple[Report, Heard | None]:
    """As `run`. Where all is simulated only software is on trial: one failure may be a busy machine's, two
    are its own."""
    report, heard = run(asked, setup, simulation)
    if report.passed or asked.simulate != "all":
        return report, heard
    first = ", ".join(item.name for item in report.items if item.verdict == "fail")
    again = Simulation(asked.simulate, setup)
    again.said.append(f"this is a second run; in the first one failed: {first}")
    return run(asked, setup, again)


def run(asked: Asked, setup: Setup, simulation: Simulation) -> tuple[Report, Heard | None]:
    """Never raises for what is wrong with a part: that is an item. LibraryMissing where a library is not
    installed."""
    report = Report(setup.name, simulated=simulation.said)
    with ThreadPoolExecutor(1, "selftest-network") as beside:
        # A quick one does not wait for the network, although what is measured beside it is less exact.
        network = beside.submit(_network) if asked.quick else None
        heard = _audio(asked, setup, simulation, report)
        _keying(asked, setup, simulation, report)
        report.items += _network() if network is None else network.result()
    return report, heard


def _audio(asked: Asked, setup: Setup, simulation: Simulation, report: Report) -> Heard | None:
    if setup.card is None:
        report.items.append(noted("audio", "card", "the channel has none"))
        return None
    signal = known_signal(asked.quick)
    try:
        with open_cards(setup.card, simulation, sound_server=asked.simulate == "missing") as (cards, name):
            taken = take(cards, CardSpec(name, setup.side), signal.samples)
            measured = analyse(signal, taken.heard)
            other_db = None
            if measured is None and setup.side != "mono":
                other_db = _other_side(cards, name, setup.side)
    except LibraryMissing:
        raise
    except AudioError as error:
        remedy = (
            "`echostream devices` lists the cards; where the gateway uses it: sudo systemctl stop echostream"
        )
        report.items.append(failed("audio", "card", str(error), remedy))
        return None
    report.items += judge_take(taken, measured, other_db)
    return Heard(signal, taken, measured)


def _other_side(cards: Cards, name: str, side: Side) -> float | None:
    """How loud the signal comes back on the side that the channel does not use, dBFS."""
    signal = known_signal(quick=True)
    other: Side = "left" if side == "right" else "right"
    measured = analyse(
        signal, take(cards, CardSpec(name, side), signal.samples, hear=CardSpec(name, other)).heard
    )
    return None if measured is None else measured.tone.level_dbfs


def _keying(asked: Asked, setup: Setup, simulation: Simulation, report: Report) -> None:
    wire = setup.wire
    if wire is None:
        report.items.append(noted("keying", "wire", f"not measured: {setup.why_no_wire}"))
        return
    try:
        with open_wire(wire, setup.chip, simulation) as (line, edges):
            keyed = key_rounds(line, edges, QUICK_ROUNDS if asked.quick else ROUNDS)
    except GpioError as error:
        remedy = "where the gateway holds the pins: sudo systemctl stop echostream"
        report.items.append(failed("keying", "wire", str(error), remedy))
        return
    report.items += judge_keying(keyed, wire.out, wire.into)


def _network() -> list[Item]:
    # Here, because it loads the whole gateway.
    from echostream.selftest.network_loop import judge_network, measure_network

    try:
        return judge_network(measure_network())
    except (EchoStreamError, OSError) as error:
        remedy = "a library is broken or 127.0.0.1 is not up: `echostream doctor`"
        return [failed("network", "Opus, AES and UDP", str(error), remedy)]
