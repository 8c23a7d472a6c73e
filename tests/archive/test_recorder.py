"""The recorder's files, counts and times, with clocks that are the test's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from recorder_stand import UNIX_S, Device, Stand


def test_what_a_device_sent_is_recorded_bit_for_bit(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(5)
    device.sink.ended("device gone")
    stand.serve()
    (one,) = stand.recordings()
    assert one.state == "closed"
    assert one.ended == "device gone"
    assert one.samples == len(device.all_sent) == 80_000
    assert one.start_us == round(UNIX_S * 1e6)
    assert one.path == "2023-11-14/2023-11-14_2213_20_porch.wav"
    np.testing.assert_array_equal(stand.samples(one), device.all_sent)
    assert stand.closed == [tmp_path / "2023-11-14" / ".meta" / "2023-11-14_2213_20_porch.json"]
    assert stand.recorder.sources == []
