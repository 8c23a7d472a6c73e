"""The recorder's files, counts and times, with clocks that are the test's."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorder_stand import CONTINUOUS, UNIX_S, Device, Stand

from echostream.archive import open_recording, segment_writer
from echostream.archive.audio_file import AudioFile
from echostream.archive.disk_room import Disk
from echostream.archive.meta_files import read_meta, write_meta
from echostream.archive.peaks import read_peaks
from echostream.archive.recording import Recording, ToneMark
from echostream.archive.wall_clock import ClockQuality
from echostream.archive.wav_file import WavFile
from echostream.audio.device_ports import DeviceAudio, StreamInfo
from echostream.audio.format import Samples
from echostream.config.recording_models import RecordPolicy
from echostream.errors import LibraryMissing
from echostream.events import WorkerFailed

RATE = 16_000
UNIX_US = round(UNIX_S * 1e6)


def gone(stand: Stand, device: Device) -> list[Recording]:
    device.sink.ended("device gone")
    stand.serve()
    return stand.recordings()


def test_what_a_device_sent_is_recorded_bit_for_bit(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(5)
    (one,) = gone(stand, device)
    assert (one.state, one.ended, one.samples) == ("closed", "device gone", 80_000)
    assert one.start_us == UNIX_US
    assert one.path == "2023-11-14/2023-11-14_2213_20_porch.wav"
    np.testing.assert_array_equal(stand.samples(one), device.all_sent)
    assert one.bytes == (tmp_path / one.path).stat().st_size
    assert stand.closed == [tmp_path / "2023-11-14" / ".meta" / "2023-11-14_2213_20_porch.json"]
    assert len(read_peaks(stand.closed[0].with_suffix(".peaks")).pairs) == 50
    assert stand.recorder.sources == []
    assert not list((tmp_path / ".open").iterdir())


def test_a_recording_is_known_before_its_end_and_marked_as_being_written(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(1)
    (one,) = stand.recordings()
    assert (one.state, one.label, one.trigger) == ("open", "The porch", "continuous")
    assert [marker.name for marker in (tmp_path / ".open").iterdir()] == ["2023-11-14_2213_20_porch"]
    assert len(stand.samples(one)) > 0
    assert stand.recorder.sources[0].path == one.path
    stand.stop()


def test_an_open_recording_says_each_minute_how_long_it_is(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand, error_ms=10.0)
    device.send(59)
    assert len(stand.changed) == 1
    device.send(5)
    (one,) = stand.recordings()
    assert 60 * RATE <= one.samples <= 61 * RATE
    assert len(stand.changed) == 2
    gone(stand, device)


def test_segments_begin_at_multiples_in_utc_and_lose_nothing_between(tmp_path: Path) -> None:
    stand = Stand(tmp_path, segment_s=60.0)
    device = Device(stand)
    device.send(130)
    first, second, third = gone(stand, device)
    assert [one.start_us for one in (second, third)] == [UNIX_US + 40_000_000, UNIX_US + 100_000_000]
    assert second.start_us % 60_000_000 == third.start_us % 60_000_000 == 0
    assert [first.ended, second.ended] == ["segment", "segment"]
    assert [one.samples for one in (first, second, third)] == [40 * RATE, 60 * RATE, 30 * RATE]
    assert (first.gap_before, second.gap_before, second.gaps) == (None, None, [])
    joined = np.concatenate([stand.samples(one) for one in (first, second, third)])
    np.testing.assert_array_equal(joined, device.all_sent)


def test_a_short_gap_is_silence_of_its_length_and_says_why(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(2)
    device.miss(0.75)
    device.send(1, cause="device lost audio")
    (one,) = gone(stand, device)
    (gap,) = one.gaps
    assert (gap.cause, gap.position) == ("device lost audio", 2 * RATE)
    assert (gap.start_us, gap.end_us) == (UNIX_US + 2_000_000, UNIX_US + 2_750_000)
    heard = stand.samples(one)
    assert len(heard) == one.samples == 3.75 * RATE
    assert not heard[2 * RATE : 2 * RATE + 12_000].any()
    np.testing.assert_array_equal(np.delete(heard, np.s_[2 * RATE : 2 * RATE + 12_000]), device.all_sent)


def test_a_short_gap_over_a_segments_border_is_told_in_both(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.unix_s += 598.0 - (UNIX_S % 600)  # two seconds before a border
    device = Device(stand, error_ms=10.0)
    device.send(1.5)
    device.miss(1.0)
    device.send(1, cause="packets lost")
    first, second = gone(stand, device)
    assert [(gap.position, gap.end_us - gap.start_us) for gap in first.gaps] == [(1.5 * RATE, 500_000)]
    assert [(gap.position, gap.end_us - gap.start_us) for gap in second.gaps] == [(0, 500_000)]
    assert first.samples + second.samples == 3.5 * RATE


def test_a_long_gap_ends_the_file_and_the_next_says_what_is_missing(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(2)
    device.miss(7.5)
    device.send(3, cause="device gone")
    first, second = gone(stand, device)
    assert (first.samples, first.ended) == (2 * RATE, "device gone")
    assert second.start_us == UNIX_US + 9_500_000
    assert second.gap_before is not None
    assert (second.gap_before.start_us, second.gap_before.end_us) == (first.end_us, second.start_us)
    assert second.gap_before.cause == "device gone"
    assert second.samples == 3 * RATE


def test_a_gap_that_turns_out_late_is_told_at_its_time(tmp_path: Path) -> None:
    """The silence stands where it was known; what was written before cannot be moved."""
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(4)
    device.miss(0.5)
    device.send(1, cause="device lost audio", gap_at=2 * RATE)
    (one,) = gone(stand, device)
    (gap,) = one.gaps
    assert gap.position == 4 * RATE
    assert (gap.start_us, gap.end_us) == (one.start_us + 2_000_000, one.start_us + 2_500_000)
    assert one.samples == 5.5 * RATE


@pytest.mark.parametrize("missing_s", [0.5, 5.0])
def test_what_a_device_lost_last_is_told_at_the_end_of_its_stream(tmp_path: Path, missing_s: float) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(4)
    device.miss(missing_s)
    device.block(0, cause="device lost audio", gap_at=2 * RATE)
    device.sink.ended("device gone")
    stand.serve()
    again = Device(stand, stream=2)
    stand.now += 3.0
    again.block(RATE)
    one, two = gone(stand, again)
    if missing_s < 2.0:
        (gap,) = one.gaps
        assert (gap.position, gap.cause, one.samples) == (4 * RATE, "device lost audio", 4.5 * RATE)
        assert gap.start_us == UNIX_US + 2_000_000
        return
    assert (one.samples, one.ended, one.gaps) == (4 * RATE, "device lost audio", [])
    assert two.gap_before is not None
    assert (two.gap_before.cause, two.gap_before.start_us) == ("device lost audio", one.end_us)


def test_what_a_device_lost_before_the_border_moves_the_file_after_it(tmp_path: Path) -> None:
    """It turns out when that file was begun already: its first sample is later than it seemed."""
    stand = Stand(tmp_path, segment_s=60.0)
    device = Device(stand, error_ms=20.0)
    device.send(42)
    device.miss(0.5)
    device.send(3, cause="device lost audio", gap_at=39 * RATE)
    device.miss(0.25)
    device.send(1, cause="packets lost")
    first, second = gone(stand, device)
    assert first.samples == 40 * RATE
    assert second.start_us == UNIX_US + 40_500_000
    assert second.gap_before is not None
    assert second.gap_before.cause == "device lost audio"
    assert (second.gap_before.start_us, second.gap_before.end_us) == (UNIX_US + 40_000_000, second.start_us)
    (gap,) = second.gaps
    assert (gap.cause, gap.position) == ("packets lost", 5 * RATE)
    assert gap.start_us == second.start_us + 5_000_000
    assert second.samples == 6.25 * RATE


def test_a_recorder_that_is_held_up_says_overload_and_keeps_the_time(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(1)
    device.send(21, serve=False)
    stand.serve()
    device.send(1)
    (one,) = gone(stand, device)
    (gap,) = one.gaps
    assert gap.cause == "overload"
    assert one.samples == 23 * RATE
    missing = round((gap.end_us - gap.start_us) * RATE / 1e6)
    assert 0.7 * RATE < missing < 1.0 * RATE
    assert stand.samples(one).astype(bool).sum() < 23 * RATE - missing + 100


def test_many_sources_share_what_may_wait(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    devices = [Device(stand, f"d{number}") for number in range(600)]
    stand.serve()
    for device in devices[:2]:
        for _ in range(100):
            device.block(1600)
    taps = [one.tap for one in stand.recorder._sources[:2]]
    assert [tap.dropped for tap in taps] == [16 * 1600] * 2  # 8.3 s of 10
    for device in devices:
        device.sink.ended("stopped")
    stand.serve()


def test_a_reconnect_in_the_same_second_takes_another_name(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    one = Device(stand)
    one.send(0.3)
    one.sink.ended("device gone")
    two = Device(stand, stream=2)
    two.send(0.4)
    recordings = gone(stand, two)
    assert [Path(known.path).stem[18:] for known in recordings] == ["_porch", "_porch-2"]
    np.testing.assert_array_equal(stand.samples(recordings[0]), one.all_sent)
    np.testing.assert_array_equal(stand.samples(recordings[1]), two.all_sent)
    assert recordings[1].gap_before is None  # nothing is missing


def test_a_device_that_kept_what_it_could_not_send_has_no_gap(tmp_path: Path) -> None:
    """It was away for two seconds, and sends them when it is back; that is known a moment later."""
    stand = Stand(tmp_path)
    one = Device(stand, error_ms=20.0)
    one.send(2)
    one.sink.ended("device gone")
    stand.serve()
    stand.now += 2.0
    two = Device(stand, stream=2, error_ms=3000.0)
    two.block(1600)
    stand.serve()
    for _ in range(19):
        two.block(1600)
    stand.serve()
    two.error_ms = 20.0
    two.send(1)
    old, new = gone(stand, two)
    assert abs(new.start_us - old.end_us) < 1000
    assert new.gap_before is None or new.gap_before.end_us - new.gap_before.start_us < 1000


@pytest.mark.parametrize("mode", ["continuous", "vox"])
def test_a_connection_that_lingers_after_its_successor_began_makes_no_gap(tmp_path: Path, mode: str) -> None:
    stand = Stand(tmp_path, segment_s=60.0)
    policy = RecordPolicy.model_validate({"mode": mode})
    old = Device(stand, policy=policy)
    old.send(2)
    old.send(5, amplitude=20)
    new = Device(stand, policy=policy, stream=2)
    new.send(1, amplitude=20)
    old.sink.ended("device gone")
    stand.serve()
    new.send(40)
    for one in gone(stand, new):
        assert one.gap_before is None


def test_a_connection_without_audio_leaves_nothing(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    stand.serve()
    assert gone(stand, device) == []
    assert not list(tmp_path.glob("2*"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(1, 30_000),
            st.one_of(st.just(0), st.integers(1, 80_000)),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([8000, 11_025, 16_000, 48_000]),
)
def test_whatever_comes_each_sample_is_where_it_belongs(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[tuple[int, int, bool]], rate_hz: int
) -> None:
    stand = Stand(tmp_path_factory.mktemp("any"), segment_s=10.0)
    device = Device(stand, rate_hz=rate_hz)
    device.blocks(blocks)
    recordings = gone(stand, device)
    stream = np.zeros(device.position, np.int16)
    covered = np.zeros(device.position, bool)
    for one in recordings:
        heard = stand.samples(one)
        assert len(heard) == one.samples
        at = round((one.start_us - UNIX_US) * rate_hz / 1e6)
        stream[at : at + len(heard)] = heard
        assert not covered[at : at + len(heard)].any()
        covered[at : at + len(heard)] = True
        for gap in one.gaps:
            length = round((gap.end_us - gap.start_us) * rate_hz / 1e6)
            assert gap.position is not None
            covered[at + gap.position : at + gap.position + length] = False
    np.testing.assert_array_equal(covered, device.covered)
    np.testing.assert_array_equal(stream, device.whole)


def test_what_a_device_kept_while_it_could_not_connect_is_put_at_its_time(tmp_path: Path) -> None:
    """It sends three seconds at once; only later it is known that they were three seconds old."""
    stand = Stand(tmp_path)
    device = Device(stand, error_ms=3000.0)
    began_us = UNIX_US - 3_000_000
    for _ in range(30):  # as if each were taken up just now
        device.block(1600)
    stand.serve()
    device.error_ms = 20.0
    device.send(30)
    (one,) = gone(stand, device)
    assert abs(one.start_us - began_us) < 100_000
    assert one.start_error_ms < 100
    assert one.samples == 33 * RATE


def test_an_open_file_says_how_far_its_time_may_be_off_and_gets_better(tmp_path: Path) -> None:
    """So that what a kill leaves does not claim to be exact."""
    stand = Stand(tmp_path)
    device = Device(stand, error_ms=3000.0)
    for _ in range(15):
        device.block(1600)
    stand.serve()
    assert stand.recordings()[0].start_error_ms == 3001.0
    device.error_ms = 25.0
    device.send(0.5)
    (one,) = stand.recordings()
    assert one.start_error_ms == 26.0
    assert one.start_us == pytest.approx(UNIX_US - 1_500_000, abs=1000)
    gone(stand, device)


def test_a_border_right_after_the_beginning_waits_for_the_next(tmp_path: Path) -> None:
    """Where nobody knows yet how old what comes is, the border is not where it seems."""
    stand = Stand(tmp_path, segment_s=60.0)
    stand.unix_s += 37.0  # three seconds before a border
    device = Device(stand, error_ms=3000.0)
    device.send(4)
    device.error_ms = 20.0
    device.send(61)
    assert [one.ended for one in gone(stand, device)] == ["segment", "device gone"]


def test_no_sample_was_taken_up_later_than_it_arrived(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.sink.audio(DeviceAudio(np.ones(RATE, np.int16), 0, stand.now + 1.4))
    (one,) = gone(stand, device)
    assert one.start_us == UNIX_US - 1_000_000


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("ppm", [-500.0, 0.0, 500.0])
def test_a_clock_that_runs_wrong_moves_no_start(tmp_path: Path, ppm: float, told: bool) -> None:
    stand = Stand(tmp_path, segment_s=120.0)
    device = Device(stand, ppm=ppm)
    if told:
        device.told_ppm = ppm
    device.send(40 + 120 * 3 + 10)
    recordings = gone(stand, device)
    assert len(recordings) == 5
    for one in recordings[1:]:
        assert one.start_us % 120_000_000 < 2000 or one.start_us % 120_000_000 > 119_998_000
    for one in recordings[1:-1]:
        assert one.samples == pytest.approx(120 * RATE * (1 + ppm * 1e-6), abs=40)
    assert recordings[-1].ppm == pytest.approx(ppm, abs=1.0)
    joined = np.concatenate([stand.samples(one) for one in recordings])
    np.testing.assert_array_equal(joined, device.all_sent)


# ---- only what is loud


def test_vox_keeps_what_came_before_and_after_and_nothing_else(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    policy = RecordPolicy(mode="vox", threshold_dbfs=-40, pre_roll_ms=1000, post_roll_ms=2000)
    device = Device(stand, policy=policy)
    device.send(5, amplitude=20)
    device.send(3)
    device.send(1, amplitude=20)
    device.send(1)  # a pause that is shorter than the post-roll
    device.send(10, amplitude=20)
    device.send(2)
    one, two = gone(stand, device)
    assert (one.trigger, one.ended, one.gap_before) == ("vox", "pause", None)
    assert abs(one.start_us - UNIX_US - 4_000_000) <= 20_000
    assert one.samples == pytest.approx((1 + 3 + 1 + 1 + 2) * RATE, abs=2 * 320)
    begin = round((one.start_us - UNIX_US) * RATE / 1e6)
    np.testing.assert_array_equal(stand.samples(one), device.all_sent[begin : begin + one.samples])
    assert abs(two.start_us - UNIX_US - 19_000_000) <= 20_000
    assert two.samples == pytest.approx(3 * RATE, abs=320)
    assert two.gap_before is None


def test_vox_in_which_nothing_is_said_leaves_nothing(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand, policy=RecordPolicy(mode="vox"))
    device.send(20, amplitude=20)
    assert gone(stand, device) == []


def test_a_device_that_goes_in_the_silence_is_told_before_its_next_recording(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    policy = RecordPolicy(mode="vox")
    device = Device(stand, policy=policy)
    device.send(5)
    device.send(10, amplitude=20)
    device.sink.ended("device gone")
    stand.serve()
    stand.now += 60
    again = Device(stand, policy=policy, stream=2)
    again.send(5, amplitude=20)
    again.send(2)
    _, two = gone(stand, again)
    assert two.gap_before is not None
    assert two.gap_before.cause == "device gone"
    assert two.gap_before.start_us == UNIX_US + 15_000_000


@pytest.mark.parametrize("mode", ["never", "pages"])
def test_a_device_of_which_nothing_is_recorded_has_no_sink(tmp_path: Path, mode: str) -> None:
    info = StreamInfo("porch", "", RATE, "192.0.2.7", 1)
    policy = RecordPolicy.model_validate({"mode": mode})
    assert Stand(tmp_path).recorder.open_device(info, policy) is None


def test_a_quarantined_device_is_recorded_apart(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand, name="esp32-192.0.2.17", quarantined=True)
    device.send(1)
    (one,) = gone(stand, device)
    assert (one.kind, one.source) == ("quarantine", "esp32-192.0.2.17")
    assert one.path.endswith("_quarantine.esp32-192.0.2.17.wav")


# ---- disks


def test_a_disk_that_gets_full_stops_the_least_important_first(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    low = Device(stand, "low", policy=CONTINUOUS.model_copy(update={"priority": 1}))
    high = Device(stand, "high", policy=CONTINUOUS.model_copy(update={"priority": 9}))

    def both(seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            low.send(0.1, serve=False)
            high.send(0.0)
            high.block(1600)
            stand.serve()

    both(2)
    stand.disk = Disk(300_000_000, 10**12)  # half way between its two floors
    both(3)
    stand.disk = Disk(10**11, 10**12)
    both(2)
    for device in (low, high):
        device.sink.ended("stopped")
    stand.serve()
    lows = [one for one in stand.recordings() if one.source == "low"]
    (whole,) = [one for one in stand.recordings() if one.source == "high"]
    assert whole.samples == 7 * RATE
    assert [one.ended for one in lows] == ["disk", "stopped"]
    before = lows[1].gap_before
    assert before is not None
    assert before.cause == "disk"
    assert before.end_us - before.start_us == pytest.approx(3_000_000, abs=1_100_000)
    assert before.start_us == lows[0].end_us
    np.testing.assert_array_equal(stand.samples(whole), high.all_sent)


def test_a_write_that_fails_costs_one_file_and_not_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stand = Stand(tmp_path)
    bad, good = Device(stand, "bad"), Device(stand, "good")

    def both(seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            bad.send(0.1, serve=False)
            good.block(1600)
            stand.serve()

    def refuse(self: WavFile, samples: Samples) -> None:
        if "bad" in self.path.name:
            raise OSError(errno.EIO, "Input/output error")
        write(self, samples)

    both(2)
    write = WavFile.write
    monkeypatch.setattr(WavFile, "write", refuse)
    both(1)
    monkeypatch.setattr(WavFile, "write", write)
    both(segment_writer.RETRY_S + 5)
    for device in (bad, good):
        device.sink.ended("stopped")
    stand.serve()
    stand.recorder._left.step(stand.now, 1.0)
    bads = [one for one in stand.recordings() if one.source == "bad"]
    assert [one.state for one in bads] == ["repaired", "closed"]
    assert bads[0].ended == "disk"
    assert bads[0].samples == len(stand.samples(bads[0])) == 2 * RATE
    assert bads[1].gap_before is not None
    assert bads[1].gap_before.cause == "disk"
    (whole,) = [one for one in stand.recordings() if one.source == "good"]
    np.testing.assert_array_equal(stand.samples(whole), good.all_sent)
    assert "Input/output error" in caplog.text
    assert "recording.directory" in caplog.text
    assert not list((tmp_path / ".open").glob("2*"))


def test_a_folder_that_cannot_be_written_is_said_once_and_not_by_each_device(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "file"
    place.write_text("no folder")
    stand = Stand(place)
    devices = [Device(stand, f"d{number}") for number in range(20)]
    for _ in range(5):
        for device in devices:
            device.block(1600)
        stand.now += 0.1
        stand.serve()
    assert sum("is not recorded" in record.message for record in caplog.records) == 1


def test_without_the_library_of_its_form_all_is_recorded_as_wav(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(form: str, path: Path, rate_hz: int, bitrate_bps: int = 0) -> AudioFile:
        if form != "wav":
            raise LibraryMissing("libsndfile is missing: apt install libsndfile1")
        return WavFile(path, rate_hz)

    monkeypatch.setattr(open_recording, "new_audio_file", missing)
    stand = Stand(tmp_path, form="flac")
    one, two = Device(stand, "one"), Device(stand, "two")
    one.send(2)
    two.send(1)
    one.sink.ended("stopped")
    recordings = gone(stand, two)
    assert [(known.form, known.path[-4:]) for known in recordings] == [("wav", ".wav")] * 2
    np.testing.assert_array_equal(stand.samples(recordings[0]), one.all_sent)
    assert sum("apt install" in record.message for record in caplog.records) == 1


def test_a_bug_in_every_source_is_told_once_a_minute(tmp_path: Path) -> None:
    """The queue of events is short, and others need it."""
    stand = Stand(tmp_path)
    devices = [Device(stand, f"d{number}") for number in range(50)]
    for device in devices:
        device.sink.audio(DeviceAudio("no samples", 0, 0.0))  # type: ignore[arg-type]
    stand.serve()
    assert stand.recorder.failures == 50
    assert len(stand.events) == 1
    for device in devices:
        device.sink.ended("stopped")
    stand.serve()


def test_a_bug_in_one_source_is_that_sources(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stand = Stand(tmp_path)
    good, bad = Device(stand, "good"), Device(stand, "bad")
    bad.sink.audio(DeviceAudio("no samples", 0, 0.0))  # type: ignore[arg-type]
    good.send(2)
    (one,) = gone(stand, good)
    assert one.samples == 2 * RATE
    assert any(isinstance(event, WorkerFailed) and "bad" in event.error for event in stand.events)
    bad.send(segment_writer.RETRY_S + 3)
    assert len([known for known in gone(stand, bad) if known.source == "bad"]) == 1


# ---- clocks


def test_a_wall_clock_that_was_set_ends_the_file_and_is_a_gap(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(3)
    stand.unix_s += 30.0
    device.send(3)
    first, second = gone(stand, device)
    assert (first.ended, first.start_us) == ("clock step", UNIX_US)
    assert second.gap_before is not None
    assert second.gap_before.cause == "clock step"
    assert second.gap_before.end_us - second.gap_before.start_us == pytest.approx(30_000_000, abs=1000)
    assert first.samples + second.samples == 6 * RATE
    np.testing.assert_array_equal(
        np.concatenate([stand.samples(first), stand.samples(second)]), device.all_sent
    )


def test_a_wall_clock_that_was_set_back_overlaps_and_overwrites_nothing(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(3)
    stand.unix_s -= 3.0
    device.send(3)
    recordings = gone(stand, device)
    assert sum(one.samples for one in recordings) == 6 * RATE
    assert len({one.path for one in recordings}) == 2
    for one in recordings:
        read_meta(tmp_path / "2023-11-14" / ".meta" / f"{Path(one.path).stem}.json")


def test_a_clock_that_learns_the_time_puts_what_was_recorded_before_in_its_place(tmp_path: Path) -> None:
    """A board without a battery wakes in the past until the network tells it the time."""
    stand = Stand(tmp_path)
    stand.quality = ClockQuality("unsynchronised", 16_000.0)
    stand.recorder.clock.look()
    stand.unix_s -= 86_400.0
    stand.recorder.clock.look()
    device = Device(stand)
    device.send(3)
    stand.unix_s += 86_400.0
    stand.quality = ClockQuality("synchronised", 5.0)
    device.send(3)
    first, second = gone(stand, device)
    assert first.start_us == UNIX_US
    assert (first.clock, second.clock) == ("synchronised", "synchronised")
    assert abs(second.start_us - first.end_us) < 1000
    assert second.gap_before is None


def test_files_that_were_closed_before_the_clock_was_right_move_as_well(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.quality = ClockQuality("unsynchronised", 16_000.0)
    stand.unix_s -= 86_400.0
    stand.recorder.clock.look()
    one = Device(stand, "one")
    one.send(2)
    one.miss(0.5)
    one.send(1, cause="packets lost")
    closed = gone(stand, one)[0]
    assert (closed.clock, closed.start_us) == ("unsynchronised", UNIX_US - 86_400_000_000)
    assert closed.start_error_ms >= 16_000
    two = Device(stand, "two")
    stand.unix_s += 86_400.0
    stand.quality = ClockQuality("synchronised", 5.0)
    two.send(2)
    stand.recorder._late.step(1.0)
    old, _ = gone(stand, two)
    assert (old.id, old.clock, old.start_us) == (closed.id, "synchronised", UNIX_US)
    assert (old.gaps[0].start_us, old.gaps[0].position) == (UNIX_US + 2_000_000, 2 * RATE)
    assert old.start_error_ms <= 105


# ---- what else is known


def test_pages_are_noted_where_they_fall(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    channel = stand.channel("fire", RecordPolicy(mode="continuous"))
    channel.speak(3)
    tone = ToneMark("engine-7", "Engine 7", UNIX_US + 1_000_000, UNIX_US + 2_000_000)
    stand.recorder.mark("fire", tone)
    stand.recorder.mark("no such channel", tone)
    channel.speak(3)
    assert stand.recordings()[0].tones == [tone]  # long before the file ends
    channel.tap.close()
    stand.serve()
    assert stand.recordings()[0].tones == [tone]


def test_what_people_wrote_about_an_open_recording_stays(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(2)
    (one,) = stand.recordings()
    write_meta(tmp_path, replace(one, protected=True, notes="the fire at the mill"))
    device.send(2)
    (one,) = gone(stand, device)
    assert (one.protected, one.notes, one.samples) == (True, "the fire at the mill", 4 * RATE)


def test_a_channel_is_recorded_at_16_khz_on_time(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    channel = stand.channel("fire", RecordPolicy(mode="continuous"))
    channel.speak(10)
    channel.lose(0.1)
    channel.speak(2)
    channel.tap.close()
    stand.serve()
    (one,) = stand.recordings()
    assert (one.rate_hz, one.kind, one.source, one.channel_id) == (RATE, "channel", "fire", "fire")
    assert one.samples == pytest.approx(12.1 * RATE, abs=2)
    assert [gap.cause for gap in one.gaps] == ["overload"]
    assert abs(one.start_us - UNIX_US) < 2000
    expected = channel.melody_at_16k(one.samples)
    heard = stand.samples(one).astype(float)
    quiet = np.zeros(one.samples, bool)
    quiet[10 * RATE - 60 : round(10.1 * RATE) + 60] = True
    assert np.abs(heard - expected)[~quiet][100:-100].max() < 30


def test_a_card_that_was_away_is_a_gap_between_two_files(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    channel = stand.channel("fire", RecordPolicy(mode="continuous"))
    channel.speak(2)
    channel.lose(20)
    channel.speak(2)
    channel.tap.close()
    stand.serve()
    first, second = stand.recordings()
    assert first.ended == "card gone"
    assert second.gap_before is not None
    assert second.gap_before.end_us - second.gap_before.start_us == pytest.approx(20_000_000, abs=5000)


def test_transmissions_have_a_file_each_with_what_came_before(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    policy = RecordPolicy(mode="transmissions", pre_roll_ms=500, post_roll_ms=1000)
    channel = stand.channel("fire", policy)
    channel.speak(5)
    channel.tap.active(True, stand.now - 0.1)  # told a moment later
    channel.speak(4)
    channel.tap.active(False, stand.now - 0.1)
    channel.speak(10)
    channel.tap.active(True, stand.now)
    channel.speak(2)
    channel.tap.active(False, stand.now)
    channel.speak(5)
    channel.tap.close()
    stand.serve()
    one, two = stand.recordings()
    assert (one.trigger, one.ended) == ("transmission", "pause")
    assert abs(one.start_us - UNIX_US - 4_400_000) < 2000
    assert one.samples == pytest.approx(5.5 * RATE, abs=10)
    assert two.samples == pytest.approx(3.5 * RATE, abs=10)
    assert two.gap_before is None


def test_what_others_say_is_recorded_while_they_say_it(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    policy = RecordPolicy(mode="transmissions", pre_roll_ms=0, post_roll_ms=500)
    channel = stand.channel("fire", policy, "network")
    channel.receive(3, talking=False)
    channel.receive(4, talking=True)
    channel.receive(3, talking=False)
    channel.tap.close()
    stand.serve()
    (one,) = stand.recordings()
    assert (one.kind, one.source) == ("network", "fire")
    assert one.path.endswith("_fire.net.wav")
    assert one.samples == pytest.approx(4.5 * RATE, abs=10)
    assert abs(one.start_us - UNIX_US - 3_000_000) < 2000


def test_stopping_closes_all_and_the_next_start_says_what_is_missing(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    device = Device(stand)
    device.send(3)
    stand.stop()
    (one,) = stand.recordings()
    assert (one.state, one.ended, one.samples) == ("closed", "stopped", 3 * RATE)
    later = Stand(tmp_path)
    later.now, later.unix_s = stand.now + 100, stand.unix_s
    later.recorder.clock.look()
    later.find()
    again = Device(later)
    again.send(1)
    two = gone(later, again)[-1]
    assert two.gap_before is not None
    assert (two.gap_before.cause, two.gap_before.start_us) == ("stopped", one.end_us)
