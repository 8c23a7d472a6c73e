"""The sketch of docs/esp32.md is compiled for the host, and the gateway's own reader takes its stream."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from echostream.config.load import parse_config
from echostream.wire.esp32_hello import Opening, parse_hello
from echostream.wire.esp32_stream import SampleAssembler

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = (REPOSITORY / "docs" / "esp32.md").read_text("utf-8")
BOARD = REPOSITORY / "tests" / "support" / "arduino"
RATE_HZ = 16_000


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def sketch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    folder = tmp_path_factory.mktemp("sketch")
    source, program = folder / "sketch.cpp", folder / "sketch"
    (text,) = blocks("cpp")
    source.write_text(text.replace('TOKEN[] = ""', 'TOKEN[] = "a secret"'))
    warnings = ("-std=c++17", "-Wall", "-Wextra", "-Werror", "-pthread")
    subprocess.run([compiler, *warnings, f"-I{BOARD}", source, "-o", program], check=True)
    return program


@contextmanager
def running(program: Path, port: int) -> Iterator[None]:
    process = subprocess.Popen(
        [program], env={**os.environ, "HOST_GATEWAY_PORT": str(port)}, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def stream(listening: socket.socket, samples: int) -> tuple[dict[str, object], np.ndarray]:
    """The hello and the first samples of the next connection, read as the gateway reads them."""
    opening, assembler = Opening(), SampleAssembler("s16le")
    heard = np.zeros(0, np.int16)
    connection, _ = listening.accept()
    with connection:
        connection.settimeout(5.0)
        while heard.size < samples:
            data = connection.recv(999)
            assert data, "the device hung up"
            heard = np.concatenate((heard, assembler.feed(opening.feed(data))))
    assert opening.hello is not None
    said = opening.hello
    return {"device": said.device, "token": said.token, "rate": said.rate_hz}, heard[:samples]


def test_the_sketch_speaks_the_hello_and_sends_what_the_microphone_hears(sketch: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(5.0)
        with running(sketch, listening.getsockname()[1]):
            hello, heard = stream(listening, RATE_HZ)
    assert hello == {"device": "porch", "token": "a secret", "rate": RATE_HZ}
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(heard.size)))
    assert np.argmax(spectrum) == 1000
    # -20 dBFS at the microphone, four times as much after SHIFT.
    assert 20 * np.log10(np.abs(heard).max() / 32_768) == pytest.approx(-20 + 12.04, abs=0.3)
    assert np.abs(np.diff(heard.astype(np.int32))).max() < 0.45 * 13_200, "a sample was cut or lost"


def test_the_sketch_comes_back_with_what_it_kept(sketch: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(8.0)
        with running(sketch, listening.getsockname()[1]):
            stream(listening, 8000)
            _, heard = stream(listening, RATE_HZ)
    assert np.abs(np.diff(heard.astype(np.int32))).max() < 0.45 * 13_200


def test_the_hello_of_the_document_is_understood() -> None:
    lines = [block.strip() for block in blocks("json") if '"hello"' in block]
    assert lines
    for line in lines:
        hello = parse_hello(line.encode())
        assert (hello.device, hello.rate_hz, hello.sample_format, hello.channels) == (
            "porch",
            16_000,
            "s16le",
            1,
        )


def test_the_configuration_of_the_document_holds() -> None:
    whole = json.loads((REPOSITORY / "config.json").read_text("utf-8"))
    (part,) = [json.loads(block) for block in blocks("json") if '"esp32"' in block]
    loaded = parse_config({**whole, **part}, "docs/esp32.md")
    assert not loaded.dropped
    assert [device.name for device in loaded.config.esp32.devices] == ["porch", "garage", "old-mic"]
