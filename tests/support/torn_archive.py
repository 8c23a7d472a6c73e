"""Gateways that record, and die: what is on the disk then, against what their devices had handed over."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torn_log
from esp32_bench import free_port
from known_devices import Connection, Firmware, KnownDevices
from numpy.typing import NDArray

from echostream.archive.file_names import place_of
from echostream.archive.meta_files import read_meta
from echostream.archive.recording import Recording
from echostream.archive.sound_library import AudioReader
from echostream.errors import BrokenFile, IndexUnavailable
from echostream.index.door import open_index
from echostream.index.query import Query

Form = Literal["wav", "flac", "opus"]
LOST_S = 2.0
WHOLE_S = 10.0
START_ERROR_MS = 100.0
CHANNEL = "room"
FIRMWARES = (
    Firmware("porch"),
    Firmware("yard", rate_hz=8000, chunk=321),
    Firmware("hall", rate_hz=48_000, chunk=19_200),
    Firmware("barn", form="u8", chunk=1024),
    Firmware("pump", chunk=4096, kept_s=1.5),
)


@dataclass(slots=True)
class Round:
    """One life of a gateway. Times: monotonic seconds."""

    began_s: float
    struck_s: float
    judged: bool = False


@dataclass(slots=True)
class Verdict:
    """What a lane has found. lost_s: how long before the blow the oldest sample that is lost had been handed
    over. whole_s: start of a gateway until all before it was repaired and indexed."""

    rounds: int = 0
    recordings: int = 0
    connections: int = 0
    lost_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    start_error_ms: list[float] = field(default_factory=list)
    gap_rows: int = 0
    faults: list[str] = field(default_factory=list)


class Lane:
    """One gateway after another on one archive, with devices that outlive them.

    strike(): ends the gateway, and returns the monotonic time up to which all that was handed over counts.
    cause: what the gaps have to be called. command: goes before the gateway's own.
    """

    def __init__(
        self,
        form: Form,
        archive: Path,
        work: Path,
        seed: int,
        cause: str = "killed",
        command: Sequence[str] = (),
        firmwares: Sequence[Firmware] = FIRMWARES,
    ) -> None:
        self.form = form
        self.archive = archive
        self.cause = cause
        self.verdict = Verdict()
        self.rounds: list[Round] = []
        self.random = random.Random(f"{seed}-{form}")
        self._log = (work / f"{form}.log").open("a", encoding="utf-8")
        self._config = work / f"{form}.json"
        self._instance = f"torture-{os.getpid()}-{form}"
        self._command = [*command]
        port = free_port()
        self._config.write_text(json.dumps(_config(form, archive, port)))
        self.devices = KnownDevices(firmwares, port, seed)
        self._judged: set[tuple[str, int]] = set()
        self._checked: set[str] = set()
        self.process: subprocess.Popen[bytes] | None = None

    # ---- a gateway's life

    def start(self) -> Round:
        """A new one, on the archive as it is."""
        arguments = ["run", "--config", str(self._config), "--instance", self._instance, "--no-live"]
        self._log.write(f"---- round {len(self.rounds) + 1}\n")
        self._log.flush()
        self.rounds.append(Round(time.monotonic(), 0.0))
        self.process = subprocess.Popen(
            [*self._command, sys.executable, "-m", "echostream", *arguments, "--log", "lines"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        return self.rounds[-1]

    def kill(self) -> float:
        """kill -9; when that was."""
        assert self.process is not None
        struck_s = time.monotonic()
        self.process.kill()
        self.process.wait()
        return struck_s

    def ended(self, struck_s: float) -> None:
        """The gateway is gone since then."""
        self.rounds[-1].struck_s = struck_s
        self.verdict.rounds += 1

    def stop(self) -> None:
        """In an orderly way: what is written last is closed, filed and indexed."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.fault("the gateway did not end within 15 s of SIGTERM")
                self.process.kill()
                self.process.wait()
        self._log.close()

    def fault(self, words: str) -> None:
        self.verdict.faults.append(f"{self.form} round {len(self.rounds)}: {words}")

    # ---- what it left

    def left(self) -> dict[str, Recording]:
        """All recordings on the disk, by name, as their meta files tell of them; a broken one is a fault."""
        found = {}
        for meta in sorted(self.archive.glob("*/.meta/*.json")):
            try:
                if meta.stat().st_size:
                    found[meta.stem] = read_meta(meta)
            except FileNotFoundError:
                continue
            except BrokenFile as error:
                self.fault(f"{meta.name} is broken: {error}")
        return found

    def look_at_torn(self) -> dict[str, str]:
        """Directly after the blow: names and ids of what was being written. Before anything is repaired, what
        is longer than a moment opens."""
        torn = {}
        for stem in [path.name for path in (self.archive / ".open").glob("[0-9]*")]:
            place = place_of(self.archive, f"{stem}.json")
            torn[stem] = _id(place.meta)
            audio = place.audio(self.form)
            if audio.exists() and audio.stat().st_size > 16_384:
                why = _refusal(audio, self.form != "flac")  # its length is told by the repair
                if why:
                    self.fault(f"{audio.name} does not open before repair: {why}")
        return torn

    def wait_whole(self, within_s: float, torn: dict[str, str]) -> bool:
        """Until what was half-written is repaired and indexed as it lies there; the time is noted. Time in
        which the machine gave it no core, because others were busy, is not the gateway's."""
        unfinished: list[str] = []
        began_s = self.rounds[-1].began_s
        assert self.process is not None
        while self._own_s(began_s) < within_s:
            if self.process.poll() is not None:
                self.fault(f"the gateway ended by itself with {self.process.returncode}")
                return False
            unfinished = self._unfinished(torn)
            if not unfinished:
                self.verdict.whole_s.append(self._own_s(began_s))
                return True
            time.sleep(0.1)
        some = f"{len(unfinished)} of {len(torn)} ({'; '.join(unfinished[:2])})"
        self.fault(f"not whole and indexed in {within_s:.0f} s: {some}")
        return False

    def _own_s(self, began_s: float) -> float:
        assert self.process is not None
        now = time.monotonic()
        waited_ns = [0]
        with contextlib.suppress(OSError, ValueError):  # it ended, or the kernel does not say
            for task in Path(f"/proc/{self.process.pid}/task").iterdir():
                waited_ns.append(int((task / "schedstat").read_text().split()[1]))
        return now - began_s - max(waited_ns) / 1e9

    def _unfinished(self, torn: dict[str, str]) -> list[str]:
        """Those that are not yet as they shall be."""
        known = {}
        try:
            with open_index(self.archive, create=False) as index:
                for one in index.all(Query()):
                    known[Path(one.path).stem] = one
        except IndexUnavailable:
            return ["the index"]
        unfinished = []
        for stem, torn_id in torn.items():
            place = place_of(self.archive, f"{stem}.json")
            try:
                meta = read_meta(place.meta)
            except FileNotFoundError:  # there was nothing in it
                if stem in known:
                    unfinished.append(f"{stem} is indexed and not there")
                continue
            except BrokenFile as error:
                unfinished.append(str(error))
                continue
            row = known.get(stem)
            if meta.id != torn_id:
                continue  # there was nothing in it, and its name was given away again
            if meta.state == "open" or row is None or row.samples != meta.samples or row.state == "open":
                told = None if row is None else (row.state, row.samples)
                unfinished.append(f"{stem}: {meta.state}, {meta.samples} samples; in the index {told}")
        return unfinished

    def settle(self, torn: dict[str, str]) -> None:
        """What was torn is whole in time, and then what is there is judged."""
        if self.wait_whole(WHOLE_S, torn):
            self.judge()

    def judge(self) -> None:
        """All connections that have ended, against the recordings of them."""
        recordings = self.left()
        offset_us = round((time.time() - time.monotonic()) * 1e6)
        for number, one in enumerate(self.rounds):
            if one.judged or not one.struck_s:
                continue
            one.judged = True
            for connection in self.devices.connections():
                if not one.began_s < connection.connected_s < one.struck_s:
                    continue
                self._judge(connection, one, recordings, offset_us, number > 0)
            self._judge_channel(one, recordings, offset_us)

    def _judge(
        self,
        connection: Connection,
        one: Round,
        recordings: dict[str, Recording],
        offset_us: int,
        later: bool,
    ) -> None:
        name, rate_hz = connection.firmware.name, connection.firmware.rate_hz
        handed = connection.handed_by(one.struck_s)
        first_us, struck_us = (round(at * 1e6) + offset_us for at in (connection.first_s, one.struck_s))
        begins_us, ends_us = (round(at * 1e6) + offset_us for at in self._span(connection))
        pieces = [
            recording
            for recording in recordings.values()
            if recording.source == name and begins_us < recording.start_us < min(struck_us, ends_us)
        ]
        pieces = sorted(pieces, key=lambda piece: piece.start_us)
        heard, silent = self._heard(pieces)
        lost_s = max(0.0, one.struck_s - connection.handed_at(heard.size))
        self.verdict.connections += 1
        self.verdict.lost_s.append(lost_s)
        where = f"{name} connection {connection.number}"
        if lost_s > LOST_S:
            had_s, kept_s = handed / rate_hz, heard.size / rate_hz
            self.fault(
                f"{where}: lost what came {lost_s:.2f} s before; {kept_s:.2f} of {had_s:.2f} s are there"
            )
        if heard.size > connection.position:
            self.fault(f"{where}: {heard.size} samples recorded, {connection.position} sent")
        elif heard.size:
            self._compare(where, connection, heard)
        if silent:
            self.fault(f"{where}: {silent} samples of silence within, and nothing was lost on the way")
        if not pieces:
            return
        self.verdict.start_error_ms.append(abs(pieces[0].start_us - first_us) / 1000)
        if handed > 2.5 * rate_hz and self.verdict.start_error_ms[-1] > START_ERROR_MS:
            off_ms, told_ms = (pieces[0].start_us - first_us) / 1000, pieces[0].start_error_ms
            self.fault(
                f"{where}: starts {off_ms:+.0f} ms off, told {told_ms:.0f}; {handed / rate_hz:.1f} s long"
            )
        gap = pieces[0].gap_before
        if gap is not None:
            self.verdict.gap_rows += gap.cause == self.cause
            if gap.cause != self.cause:
                self.fault(f"{where}: the gap before it is called {gap.cause!r}")
            if abs(gap.end_us - pieces[0].start_us) > 1000 or gap.start_us > gap.end_us:
                self.fault(f"{where}: the gap before it ends {gap.end_us - pieces[0].start_us} us off")
        elif later and not connection.firmware.kept_s and self._heard_before(name, pieces[0], recordings):
            self.fault(f"{where}: no gap row before {pieces[0].path}")

    def _span(self, connection: Connection) -> tuple[float, float]:
        """Between which starts a recording is this connection's: those before and after it may be near, where
        a gateway lived for a moment only."""
        own = [one for one in self.devices.connections() if one.firmware is connection.firmware]
        at = own.index(connection)
        begins_s = _border_s(own[at - 1], connection) if at else connection.first_s - 1.0
        ends_s = _border_s(connection, own[at + 1]) if at + 1 < len(own) else 2.0**40
        return begins_s, ends_s

    def _judge_channel(self, one: Round, recordings: dict[str, Recording], offset_us: int) -> None:
        """The channel is recorded from its first frame on; nobody but the clock knows how much that is."""
        began_us, struck_us = (round(at * 1e6) + offset_us for at in (one.began_s, one.struck_s))
        pieces = [
            recording
            for recording in recordings.values()
            if recording.source == CHANNEL and began_us < recording.start_us < struck_us
        ]
        if not pieces:
            return
        pieces.sort(key=lambda piece: piece.start_us)
        lost_s = (struck_us - pieces[-1].end_us) / 1e6
        self.verdict.lost_s.append(lost_s)
        if lost_s > LOST_S:
            self.fault(f"{CHANNEL}: {lost_s:.2f} s lost")
        for before, after in pairwise(pieces):
            if abs(after.start_us - before.end_us) > 1000 and after.gap_before is None:
                self.fault(
                    f"{after.path} begins {after.start_us - before.end_us} us after {before.path} ends"
                )

    def _heard_before(self, name: str, piece: Recording, recordings: dict[str, Recording]) -> bool:
        return any(one.source == name and one.start_us < piece.start_us for one in recordings.values())

    def _heard(self, pieces: list[Recording]) -> tuple[NDArray[np.int16], int]:
        """The samples of a connection without the silence that fills gaps, and how much of that there was."""
        parts, silent = [], 0
        for piece in pieces:
            samples = self._read(piece)
            if samples is None:
                continue
            if samples.size != piece.samples:
                self.fault(f"{piece.path}: {samples.size} samples in it, {piece.samples} told")
            for gap in reversed([gap for gap in piece.gaps if gap.position is not None]):
                count = round((gap.end_us - gap.start_us) * piece.rate_hz / 1e6)
                assert gap.position is not None
                samples = np.delete(samples, slice(gap.position, gap.position + count))
                silent += count
            parts.append(samples)
        self.verdict.recordings += len(pieces)
        return (np.concatenate(parts) if parts else np.zeros(0, np.int16)), silent

    def _read(self, piece: Recording) -> NDArray[np.int16] | None:
        """All of it, after every player has opened it; None when one does not."""
        for _ in range(3):
            now = read_meta(place_of(self.archive, piece.path).meta)
            audio = self.archive / now.path
            why = _refusal(audio) or ("" if now.path in self._checked else _players_refuse(audio))
            if why and not audio.exists():
                continue  # a WAV has become a FLAC meanwhile
            self._checked.add(now.path)
            if why:
                break
            with contextlib.suppress(FileNotFoundError), AudioReader(audio) as reader:
                return reader.read(piece.samples + 48_000)
        self.fault(f"{piece.path} does not open: {why}")
        return None

    def _compare(self, where: str, connection: Connection, heard: NDArray[np.int16]) -> None:
        sent = self.devices.sound(connection, 0, heard.size)
        if self.form == "opus":
            if heard.size < connection.firmware.rate_hz // 2:
                return
            alike = np.corrcoef(sent.astype(np.float64), heard.astype(np.float64))[0, 1]
            if alike < 0.8:
                self.fault(f"{where}: what was recorded is not what was sent ({alike:.2f} alike)")
        elif not np.array_equal(sent, heard):
            at = int(np.flatnonzero(sent != heard)[0])
            self.fault(f"{where}: sample {at} of {heard.size} is not what was sent")


def _border_s(one: Connection, other: Connection) -> float:
    """From when on a recording is the later connection's: times are right within less. What is cut at a
    segment's border a moment before is still the earlier one's."""
    return other.first_s - min(0.3, (other.first_s - one.first_s) / 2)


def finish(lane: Lane) -> None:
    """The last gateway ends in an orderly way; then the archive is verified, and indexed of nothing."""
    lane.stop()
    verified = _recordings("verify", "--directory", str(lane.archive))
    if verified.returncode:
        lane.fault(f"recordings verify: {verified.stdout[-1500:]}{verified.stderr[-500:]}")
    for words in torn_log.faults(_events(lane.archive), [one.struck_s - one.began_s for one in lane.rounds]):
        lane.fault(words)
    with open_index(lane.archive) as index:
        before = {one.id: one for one in index.all(Query())}
    for path in lane.archive.glob("index.sqlite3*"):
        path.unlink()
    with open_index(lane.archive) as index:
        index.rebuild()
        after = {one.id: one for one in index.all(Query())}
    if before != after:
        odd = [one for one in {*before, *after} if before.get(one) != after.get(one)]
        lane.fault(f"the index made anew of the files differs in {len(odd)} of {len(before)} recordings")


def _bad_lines(told: str) -> str:
    """What verify objects to."""
    bad = [line for line in told.splitlines() if ": " in line]
    return "; ".join([told.splitlines()[-1], *bad[:5]]) if told else ""


def _id(meta: Path) -> str:
    """ "" of one that says nothing yet."""
    try:
        return read_meta(meta).id
    except (OSError, BrokenFile):
        return ""


def _recordings(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "echostream", "recordings", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def _refusal(audio: Path, read: bool = True) -> str:
    """Why soundfile does not take it (read: to the end); "" when it does."""
    import soundfile

    try:
        with soundfile.SoundFile(str(audio)) as file:
            while read and len(file.read(frames=262_144, dtype="int16")):
                pass
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        return str(error)
    return ""


def _players_refuse(audio: Path) -> str:
    """Why one of the other players does not take it whole; "" when all that are installed do."""
    commands = {
        "ffprobe": ["-v", "error", "-show_entries", "stream=codec_name,sample_rate", str(audio)],
        "soxi": [str(audio)],
    }
    for name, arguments in commands.items():
        if shutil.which(name) is None or (
            name == "soxi" and audio.suffix == ".opus" and not _sox_takes_opus()
        ):
            continue
        done = subprocess.run([name, *arguments], capture_output=True, text=True, check=False, timeout=60)
        if done.returncode or (name == "ffprobe" and done.stderr.strip()):
            return f"{name}: {(done.stderr or done.stdout).strip()[:300]}"
    return ""


@functools.cache
def _sox_takes_opus() -> bool:
    """Debian's needs libsox-fmt-all for that."""
    done = subprocess.run(["sox", "--help"], capture_output=True, text=True, check=False, timeout=60)
    formats = next((line for line in done.stdout.splitlines() if "AUDIO FILE FORMATS" in line), "")
    return "opus" in formats.split()


def _events(archive: Path) -> Path:
    """On the same disk."""
    return archive.with_name(archive.name + "-events")


def _config(form: Form, archive: Path, port: int) -> dict[str, Any]:
    return {
        "gateway": {"id": "torture", "affiliation_id": "torture"},
        "control_server": {"url": "ws://127.0.0.1:9"},  # nobody is there: recording needs no network
        "channels": [{"id": CHANNEL, "name": "A room", "card": "none"}],
        "esp32": {
            "enabled": True,
            "bind": "127.0.0.1",
            "tcp_port": port,
            "udp_port": None,
            "announce": False,
            "unknown": "accept",
        },
        "recording": {
            "enabled": True,
            "directory": str(archive),
            "segment_s": 10,
            "write": form,
            "channels": {CHANNEL: {"mode": "continuous"}},
        },
        "events": {"directory": str(_events(archive))},
    }


def in_threads(lanes: Sequence[Lane], work: Callable[[Lane], None]) -> None:
    """`work` on each lane at once; what one of them trips over is its own fault."""

    def guarded(lane: Lane) -> None:
        try:
            work(lane)
        except Exception as error:  # of the proof itself: it must not pass for a success
            lane.fault(f"the proof broke: {error!r}")
            raise

    threads = [threading.Thread(target=guarded, args=(lane,), name=f"lane-{lane.form}") for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
