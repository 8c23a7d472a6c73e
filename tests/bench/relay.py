"""A hundred microphones at 16 kHz and four radio channels: loss, CPU, memory, delay. A minute; --long: ten.

The gateway is a process of its own, the microphones are `echostream esp32` in another, with clock errors of
up to 300 ppm; a second member listens and talks on all four channels. Recorded is everything: the microphones
and what the radios hear, as WAV that becomes FLAC when a segment is over. One more microphone is on the air
all the time. Nothing is compared by the gateway's own counters: what was sent is told by the simulator, what
was recorded is read from the files.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from echostream.channels.channel_state import Phase
from echostream.config.models import ControlServer as ServerAddress
from echostream.gateway import Secrets
from echostream.simulator.file_cards import FileCards, Voice
from echostream.simulator.member import Member, MemberIdentity
from echostream.simulator.server_loop import ControlServer
from tests.bench._on_air import OnAir, marked_file
from tests.bench._relay_bench import Compared, Fleet, compare, delays_ms, gateway, job
from tests.bench._relay_process import TALK_CHANNEL, TALKER
from tests.bench._speech import speech
from tests.bench.rows import Row, percentile, skipped

DEVICES, RADIOS = 100, 4
CHUNK_BYTES, TALKER_CHUNK_BYTES = 8192, 1280
MINUTE_S, LONG_S = 60.0, 600.0
SEGMENT_S = {MINUTE_S: 20.0, LONG_S: 300.0}
ONLINE_S = 15.0
SETTLE_S = 3.0
WATCHED_EACH = 5
CPU_GOAL, RSS_GOAL_MB, DELAY_GOAL_MS = 0.60, 350.0, 100.0


def run(long: bool = False) -> list[Row]:
    """Everything is started, watched and ended here."""
    duration_s = LONG_S if long else MINUTE_S
    what = f"{DEVICES} microphones and {RADIOS} radio channels, {duration_s:.0f} s"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="es-relay-")))
        server = ControlServer("127.0.0.1", 0)
        server.start()
        stack.callback(server.stop)
        names = [f"radio-{number}" for number in range(RADIOS)]
        watched = tuple(f"esp32-{number}" for number in range(1, DEVICES + 1, WATCHED_EACH))
        task = job(
            folder,
            url=server.url,
            radios=RADIOS,
            talks=True,
            watched=watched,
            segment_s=SEGMENT_S[duration_s],
        )
        marks = marked_file(folder / "marks.wav")
        process = stack.enter_context(gateway(task, folder))
        voices = {name: Voice(speech(30.0), loop=True) for name in (*names, TALK_CHANNEL)}
        identity = MemberIdentity("other", "Other")
        member = Member(ServerAddress(url=server.url), list(voices), identity, Secrets(), FileCards(voices))
        member.start()
        stack.callback(member.stop)
        if not member.wait_for(lambda: all(member.online(name) for name in voices), ONLINE_S):
            return [skipped("relay", what, "the second member did not come online")]
        on_air = OnAir(member, TALK_CHANNEL)
        for name in names:
            member.press(name)
        member.wait_for(lambda: all(member.phase(name) is Phase.OPEN for name in names), ONLINE_S)
        lasts = str(duration_s + SETTLE_S)
        fleet = Fleet(
            task.port,
            "--devices",
            str(DEVICES),
            "--chunk",
            str(CHUNK_BYTES),
            "--ppm=-300:300",
            "--for",
            lasts,
        )
        talker = Fleet(
            task.port, str(marks), "--name", TALKER, "--chunk", str(TALKER_CHUNK_BYTES), "--for", lasts
        )
        time.sleep(SETTLE_S)
        began_s, busy_s, ready_s = time.monotonic(), process.cpu_s(), process.waited_s()
        peak_mb = 0.0
        while (left_s := began_s + duration_s - 1.0 - time.monotonic()) > 0:
            time.sleep(min(5.0, left_s))
            peak_mb = max(peak_mb, process.rss_mb())
        took_s = time.monotonic() - began_s
        busy, ready = (process.cpu_s() - busy_s) / took_s, (process.waited_s() - ready_s) / took_s
        here = process.ask()["here"]
        sent, late_ms = fleet.sent(60.0)
        spoken, _ = talker.sent(60.0)
        counters = process.ask()
        ended = process.close()
        compared = compare(Path(task.directory), [*sent, *spoken])
        delays = delays_ms(counters["notes"], sent, CHUNK_BYTES // 2)
        rows = [_loss_row(what, compared, here, late_ms, ended), *_cost_rows(busy, ready, peak_mb)]
        rows += _delay_rows(delays, late_ms)
        return [*rows, _air_row(on_air.delays_ms(spoken[0], TALKER_CHUNK_BYTES), counters["frames_lost"])]


def _loss_row(what: str, compared: Compared, here: int, late_ms: float, ended: bool) -> Row:
    good = not compared.samples_lost and not compared.wrong and here == DEVICES + 1 and ended
    note = f"{compared.sent / 1e6:.1f} million sent, {compared.files} files of {compared.bytes / 1e6:.0f} MB"
    if not good:
        note += f"; {here} there at the end; {len(compared.wrong)} wrong: {'; '.join(compared.wrong[:3])}"
    return Row("relay", f"{what}: samples lost", str(compared.samples_lost), "0", good, note)


def _cost_rows(busy: float, ready: float, peak_mb: float) -> list[Row]:
    return [
        Row(
            "relay",
            "CPU of the gateway with all of that",
            f"{100 * busy:.0f} % of a core",
            f"<= {100 * CPU_GOAL:.0f} %",
            busy <= CPU_GOAL,
            f"its threads were ready and waited for a core {100 * ready:.1f} % of the time",
        ),
        Row(
            "relay",
            "its memory at most",
            f"{peak_mb:.0f} MB",
            f"<= {RSS_GOAL_MB:.0f} MB",
            peak_mb <= RSS_GOAL_MB,
        ),
    ]


def _delay_rows(delays: list[float], late_ms: float) -> list[Row]:
    p50, p99 = percentile(delays, 0.5), percentile(delays, 0.99)
    return [
        Row(
            "relay",
            "chunk complete in the device to its samples at the recorder",
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
            f"p99 <= {DELAY_GOAL_MS:.0f} ms",
            p99 <= DELAY_GOAL_MS,
            f"{len(delays)} chunks of {DEVICES // WATCHED_EACH} devices, the simulator's own lateness in it "
            f"(at most {late_ms:.0f} ms)",
        )
    ]


def _air_row(delays: list[float], frames_lost: int) -> Row:
    what = (
        f"on the air: sample taken up to its packet at a member, beyond the chunk of {TALKER_CHUNK_BYTES} B"
    )
    if not delays:
        return Row("relay", what, "-", f"p99 <= {DELAY_GOAL_MS:.0f} ms", False, "no mark was found again")
    p50, p99 = percentile(delays, 0.5), percentile(delays, 0.99)
    return Row(
        "relay",
        what,
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        f"p99 <= {DELAY_GOAL_MS:.0f} ms",
        p99 <= DELAY_GOAL_MS,
        f"{len(delays)} marks; the frame's own 20 ms and Opus' look-ahead are in it; "
        f"{frames_lost} frames lost by the radios",
    )
