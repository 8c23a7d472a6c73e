"""The archive changes under a gateway that goes on: nobody waits for an old disk."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from echostream.channels.channel_runtime import Hardware
from echostream.config.changes import compare
from echostream.config.models import Channel, Config, ControlServer, Esp32
from echostream.config.models import Gateway as Identity
from echostream.config.recording_models import Recording
from echostream.gateway import Gateway, Secrets
from echostream.simulator.file_cards import FileCards
from echostream.simulator.member import _NoCosReaders, _NoOutputs

WAIT_S = 5.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PORT = free_port()


def config(folder: Path, microphones: bool = True) -> Config:
    return Config(
        gateway=Identity(id="g", affiliation_id="g"),
        control_server=ControlServer(url="ws://127.0.0.1:9"),
        channels=(Channel(id="fire", card="none"),),
        esp32=Esp32(enabled=microphones, bind="127.0.0.1", tcp_port=PORT, udp_port=None, announce=False),
        recording=Recording(enabled=True, directory=str(folder)),
    )


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    hardware = Hardware(FileCards({}), None, _NoOutputs(), _NoCosReaders())
    built = Gateway(config(tmp_path / "a"), Secrets(), hardware, lambda reason: None)
    built.start()
    yield built
    built.stop()


def test_an_old_disk_that_hangs_holds_no_reload(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = gateway.records
    assert old is not None
    assert gateway.microphones is not None
    answers = threading.Event()
    stop = old.stop

    def hang() -> None:
        assert answers.wait(WAIT_S)
        stop()

    monkeypatch.setattr(old, "stop", hang)
    new = config(tmp_path / "b", microphones=False)
    gateway.apply(new, Secrets(), compare(gateway.config, new))  # comes back
    assert not answers.is_set()
    assert gateway.records is not old
    assert gateway.microphones is None
    answers.set()
    gateway.stop()
    assert all(worker.join(0) for worker in old.workers)
    assert set(os.listdir(tmp_path / "a" / ".open")) <= {".lock", ".boot"}


def test_a_page_is_noted_in_whatever_is_recorded_of_its_channel(gateway: Gateway, tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        new = config(folder)
        gateway.apply(new, Secrets(), compare(gateway.config, new))
        assert gateway.records is not None
        assert gateway.manager.pages.mark == gateway.records.recorder.mark
