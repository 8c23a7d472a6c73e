"""Streams that are served by processes of their own: recorded to the sample, also when one of them dies."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from esp32_bench import Bench, closed_by_relay, noise, running

from echostream.audio.format import Samples
from echostream.config.esp32_models import DeviceDefaults, Esp32, Esp32Device, Relay
from echostream.config.recording_models import Recording
from echostream.events import WorkerFailed
from echostream.network.esp32_admission import Admitted
from echostream.network.esp32_pipe import Pipe, Record, Take, Told
from echostream.network.esp32_workers import RecordJob, StreamWorker
from echostream.relay_worker import WorkerRecorder
from echostream.wire.esp32_hello import Opening

TWO = Relay(workers=2, max_per_address=100)
START_S = 20.0


@dataclass
class Archive:
    """A folder, and what was told of it."""

    directory: Path
    changed: set[Path] = field(default_factory=set)
    closed: list[Path] = field(default_factory=list)

    @property
    def recording(self) -> Recording:
        return Recording(enabled=True, directory=str(self.directory))

    @property
    def job(self) -> RecordJob:
        return RecordJob(self.recording, "site", self.changed.add, self.closed.append)

    def samples_of(self, source: str) -> list[Samples]:
        """What was recorded of a source, by file, oldest first."""
        found = []
        for path in sorted(self.directory.glob("*/.meta/*.json"), key=lambda one: one.stem):
            said = json.loads(path.read_text())
            if said["source"] == source:
                data = (self.directory / said["path"]).read_bytes()
                found.append(np.frombuffer(data[data.index(b"data") + 8 :], "<i2")[: said["samples"]])
        return found


@contextlib.contextmanager
def working(archive: Archive, relay: Relay = TWO, esp32: Esp32 | None = None) -> Iterator[Bench]:
    with running(esp32, relay) as bench:
        bench.relay.record_in_workers(archive.job)
        assert bench.until(lambda: len(pids(bench)) == relay.workers, START_S)
        yield bench


def pids(bench: Bench) -> list[int]:
    return [
        worker._running.process.pid for worker in bench.relay._pool.workers if worker._running is not None
    ]


def seen(bench: Bench, name: str, samples: int) -> bool:
    """Whether a device is told of with so many samples: it is served."""
    return bench.until(
        lambda: any(one.name == name and one.samples >= samples for one in bench.relay.devices()), START_S
    )


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_what_is_handed_over_is_recorded_to_the_sample(archive: Archive) -> None:
    names = [f"d{number}" for number in range(6)]
    with working(archive) as bench:
        with contextlib.ExitStack() as stack:
            for number, name in enumerate(names):
                sock = stack.enter_context(bench.device(hello={"device": name}))
                sock.sendall(noise(20_000, number).tobytes()[:-1])  # the last byte comes later
                stack.callback(sock.sendall, noise(20_000, number).tobytes()[-1:])
            for name in names:
                assert seen(bench, name, 19_999)
            assert bench.until(lambda: all(device.recorded for device in bench.relay.devices()), START_S)
        assert bench.until(lambda: len(archive.closed) == len(names), START_S)
        assert bench.streams == []
        assert sorted(change.name for change in bench.changes if not change.present) == names
        assert {(one.connected, one.samples) for one in bench.relay.devices()} == {(False, 20_000)}
    for number, name in enumerate(names):
        (recorded,) = archive.samples_of(name)
        assert np.array_equal(recorded, noise(20_000, number))
    assert set(archive.closed) <= archive.changed
    marked = {path.name for path in (archive.directory / ".closed").iterdir()}
    assert marked == {path.stem for path in archive.closed}  # the gateway's thread `esp32` touches no disk


def test_those_that_talk_stay_with_the_gateway(archive: Archive) -> None:
    esp32 = Esp32(devices=(Esp32Device(name="porch", channel="4", transmit="vox"),))
    with working(archive, esp32=esp32) as bench, bench.device(hello={"device": "porch"}) as sock:
        sock.sendall(noise(100).tobytes())
        assert bench.until(lambda: bool(bench.streams) and bench.streams[0].samples.size == 100)


def test_a_new_connection_ends_the_old_one_there_and_loses_none_of_its_audio(archive: Archive) -> None:
    sent = noise(20_000)
    with working(archive) as bench, bench.device(hello={"device": "d"}) as old:
        old.sendall(sent[:500].tobytes())
        assert seen(bench, "d", 500)
        old.sendall(sent[500:].tobytes())
        with bench.device(hello={"device": "d"}) as new:
            new.sendall(sent[:700].tobytes())
            assert closed_by_relay(old)
            assert bench.until(lambda: bench.relay.devices()[0].samples == 700, START_S)
    first, second = archive.samples_of("d")
    assert np.array_equal(first, sent)
    assert np.array_equal(second, sent[:700])


def test_a_process_that_dies_is_started_again_and_what_it_wrote_is_repaired(archive: Archive) -> None:
    sent = noise(16_000)
    with working(archive, Relay(workers=2)) as bench:
        with bench.device(hello={"device": "d"}) as sock:
            sock.sendall(sent.tobytes())
            assert seen(bench, "d", sent.size)
            assert bench.until(lambda: bool(archive.changed), START_S)
            threading.Event().wait(0.7)  # twice a second it is written
            before = pids(bench)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            assert closed_by_relay(sock)
        assert bench.until(lambda: any(not change.present for change in bench.changes))
        assert bench.until(lambda: len(set(pids(bench)) - set(before)) == 2, START_S)
        assert sum(isinstance(event, WorkerFailed) for event in bench.events) == 2
        with bench.device(hello={"device": "d"}) as sock:
            sock.sendall(sent.tobytes())
            assert seen(bench, "d", sent.size)
        assert bench.until(lambda: len(archive.closed) == 2, START_S)
    first, second = archive.samples_of("d")
    assert np.array_equal(first, sent)
    assert np.array_equal(second, sent)


def test_the_number_of_processes_and_their_recorder_change_while_they_run(
    archive: Archive, tmp_path: Path
) -> None:
    other = Archive(tmp_path / "other")
    with working(archive) as bench:
        with bench.device(hello={"device": "d"}) as sock:
            sock.sendall(noise(1000).tobytes())
            assert seen(bench, "d", 1000)
            bench.relay.record_in_workers(other.job)
            assert bench.until(other.directory.exists, START_S)
            sock.sendall(noise(500).tobytes())
            assert seen(bench, "d", 1500)
            bench.relay.reconfigure(bench.relay._esp32, Relay(), {})
            assert closed_by_relay(sock)
        assert bench.until(lambda: pids(bench) == [])
        assert [one.size for one in archive.samples_of("d")] == [1000]
        assert [one.size for one in other.samples_of("d")] == [500]
        with bench.device(hello={"device": "d"}) as sock:
            sock.sendall(noise(100).tobytes())
            assert bench.until(lambda: bool(bench.streams) and bench.streams[0].samples.size == 100)


def test_a_process_that_hangs_is_killed_and_started_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with working(archive) as bench, bench.device(hello={"device": "d"}) as sock:
        sock.sendall(noise(100).tobytes())
        assert seen(bench, "d", 100)
        worker = bench.relay._pool.worker_for("d")
        assert worker is not None
        assert worker._running is not None
        monkeypatch.setattr("echostream.network.esp32_workers.SILENT_S", 1.5)
        pid = worker._running.process.pid
        os.kill(pid, signal.SIGSTOP)
        assert closed_by_relay(sock)
        assert bench.until(lambda: f"{worker.name}: it hangs" in caplog.text)
        assert bench.until(lambda: len(pids(bench)) == 2 and pid not in pids(bench), START_S)
        assert bench.until(lambda: bench.changes[-1].detail == "its process ended")


def test_a_process_that_a_hanging_disk_keeps_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that reads every microphone must not wait for it."""

    class Kept:
        def kill(self) -> None:
            return

        def wait(self, timeout: float | None = None) -> int:
            assert timeout is not None
            raise subprocess.TimeoutExpired("relay_worker", timeout)

    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **more: Kept())
    with selectors.DefaultSelector() as selector:
        worker = StreamWorker(1, selector, lambda worker, now: None)
        worker.keep_up(TWO, Record(None, ""), 0.0)
        assert worker.running
        assert "hangs" in worker.end("it hangs", 1.0)
        assert not worker.running


def test_a_new_recorder_does_not_wait_for_the_one_before(archive: Archive) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pipe, answers = Pipe(ours), threading.Event()
    recorder = WorkerRecorder(pipe)
    recorder.record_with(Record(archive.recording, "site"))
    old = recorder._recorder
    assert old is not None
    old._finish_all = lambda: answers.wait(5)  # type: ignore[method-assign,assignment]
    recorder.record_with(Record(archive.recording, "site"))  # comes back
    assert recorder._recorder not in (None, old)
    answers.set()
    recorder.stop()
    assert old.join(0)
    pipe.close()
    theirs.close()


def test_the_end_of_the_gateway_is_the_end_of_its_processes_and_every_recording_is_whole(
    archive: Archive,
) -> None:
    sent = noise(10_000)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    device, served = socket.socketpair()
    with theirs:
        child = subprocess.Popen([sys.executable, "-m", "echostream.relay_worker"], stdin=theirs.fileno())
    admitted = Admitted("d", "", 16_000, "s16le", 1, DeviceDefaults(), True, False, False)
    opening = Opening()
    opening.give_up()
    pipe = Pipe(ours)
    with device:
        pipe.send(Record(archive.recording, "site"))
        pipe.send(Take(1, "d", "192.0.2.1", admitted, opening, b""), served)
        device.sendall(sent.tobytes())
        until_s = time.monotonic() + START_S
        while not archive.changed and time.monotonic() < until_s:
            for message, _ in pipe.receive() or []:
                if isinstance(message, Told) and message.path is not None:
                    archive.changed.add(message.path)
            time.sleep(0.02)
        child.send_signal(signal.SIGTERM)  # as systemd does to all of a service: the gateway decides
        time.sleep(0.1)
        assert child.poll() is None
        pipe.close()
        assert child.wait(5.0) == 0
    (recorded,) = archive.samples_of("d")
    assert np.array_equal(recorded, sent)
    assert [json.loads(path.read_text())["state"] for path in archive.changed] == ["closed"]


def test_what_a_process_logs_is_in_the_log_of_the_gateway(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    with working(archive) as bench, bench.device(hello={"device": "d", "rate": 8000}) as sock:
        line = json.dumps({"hello": "echostream", "device": "other"}).encode() + b"\n"
        sock.sendall(line)
        assert closed_by_relay(sock)
        assert bench.until(lambda: "a second, different hello" in caplog.text)
