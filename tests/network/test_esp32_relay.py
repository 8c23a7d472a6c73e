"""The relay over real sockets: every sample of every device, and what one device may cost the others."""

from __future__ import annotations

import numpy as np
import pytest
from esp32_bench import noise, running

from echostream.config.esp32_models import Esp32, Esp32Device


def test_a_device_that_knows_nothing_arrives_to_the_sample_in_any_chunks() -> None:
    sent = noise(50_001)
    data = sent.tobytes()
    with running() as bench:
        with bench.device() as sock:
            at = 0
            for size in (1, 2, 3, 4095, 1, 19_200, 8192, 7, 30_000):
                sock.sendall(data[at : at + size])
                at += size
            sock.sendall(data[at:])
            assert bench.until(lambda: bool(bench.streams) and bench.streams[0].samples.size == sent.size)
        (taken,) = bench.streams
        assert bench.until(lambda: taken.causes == ["device gone"])
        assert np.array_equal(taken.samples, sent)
        assert taken.info.name == "esp32-127.0.0.1"
        assert (taken.info.rate_hz, taken.info.known, taken.info.quarantined) == (16_000, False, False)
        assert [block.position for block in taken.blocks] == list(
            np.cumsum([0, *(block.samples.size for block in taken.blocks)])[:-1]
        )
        assert bench.until(lambda: [change.present for change in bench.changes] == [True, False])


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_hello_names_the_device_and_what_follows_it_is_audio(pieces: int) -> None:
    esp32 = Esp32(devices=(Esp32Device(name="porch", label="Porch", rate_hz=8000),))
    sent = noise(3000)
    line = b'{"hello": "echostream", "device": "porch", "rate": 48000, "format": "s16le"}\r\n'
    data = line + sent.tobytes()
    step = len(data) if pieces == 1 else pieces
    with running(esp32) as bench:
        with bench.device() as sock:
            for at in range(0, len(data), step):
                sock.sendall(data[at : at + step])
            assert bench.until(lambda: bool(bench.streams) and bench.streams[0].samples.size == sent.size)
        taken = bench.named("porch")
        assert np.array_equal(taken.samples, sent)
        assert (taken.info.label, taken.info.rate_hz, taken.info.known) == ("Porch", 48_000, True)
