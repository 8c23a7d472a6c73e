"""The last seconds of each channel of which pages, or what somebody asks for, are recorded."""

from __future__ import annotations

from typing import Final

from echostream.archive.page_recorder import PageRecorder, PageRing, PageToRecord
from echostream.channels.channel_runtime import ChannelRuntime
from echostream.config.tone_models import AlertTone, TonePlan

DECIDED_S: Final = 1.0
DIGITS_S: Final = 8.0
LONGEST_PAGE_S: Final = 90.0
ENDING_S: Final = 5.0
"""After the end of what was asked for: until then the recorder takes its last frames."""


class PageRings:
    """On the coordinator's thread."""

    def __init__(self) -> None:
        self._recorder: PageRecorder | None = None
        self._rings: dict[str, PageRing] = {}
        self._asked_until_s: dict[str, float] = {}

    def set_recorder(self, recorder: PageRecorder | None) -> None:
        """Who records from now on; None: nobody. Every channel needs its ring anew."""
        self._recorder = recorder
        self._rings.clear()
        self._asked_until_s.clear()

    def recording(self, channel_id: str) -> bool:
        """Whether a channel is recorded now. Any thread."""
        return self._recorder is not None and self._recorder.recording(channel_id)

    def record(self, page: PageToRecord) -> None:
        """If somebody records at all."""
        if self._recorder is not None:
            self._recorder.record(page)

    def of_plan(self, channel_id: str, plan: TonePlan | None, frame_ms: int, now: float) -> PageRing | None:
        """Where a channel is recorded from; a running recording keeps the one it has. None: it is not."""
        tones = plan.alert_tones if plan is not None and plan.detect else ()
        lengths_s = [page_length_s(tone) for tone in tones if tone.record_length_s > 0]
        asked = now < self._asked_until_s.get(channel_id, now)
        if self._recorder is None or not (lengths_s or asked) or not self._recorder.wants(channel_id):
            self.drop(channel_id)
            return None
        old = self._rings.get(channel_id)
        page_s = min(LONGEST_PAGE_S, max(lengths_s, default=0.0))
        if old is not None and old.page_s >= page_s:
            return old
        ring = self._rings[channel_id] = PageRing(frame_ms, page_s, old)
        self._recorder.set_ring(channel_id, ring)
        return ring

    def drop(self, channel_id: str) -> None:
        """The channel is gone, or not recorded any more."""
        self._asked_until_s.pop(channel_id, None)
        if self._rings.pop(channel_id, None) is not None and self._recorder is not None:
            self._recorder.end(channel_id)

    def record_now(self, runtime: ChannelRuntime, length_s: float, unix_s: float, now: float) -> str:
        """Somebody wants to have what comes. Returns why not, "" when it is recorded.

        unix_s, now: the same moment, Unix and monotonic seconds.
        """
        channel = runtime.config
        if self._recorder is None:
            return "nothing is recorded here: recording.enabled is false"
        if not self._recorder.wants(channel.id):
            return "this channel is never recorded: look at recording.channels and recording.default"
        if not runtime.capture.present:
            return "its card is away: there is nothing to record"
        until_s = now + length_s
        self._asked_until_s[channel.id] = max(
            until_s + ENDING_S, self._asked_until_s.get(channel.id, until_s)
        )
        if channel.id not in self._rings:
            ring = self._rings[channel.id] = PageRing(runtime.frame_ms, 0.0)
            self._recorder.set_ring(channel.id, ring)
            runtime.stream.transmit.taps = (ring, *runtime.stream.transmit.taps)
        position = runtime.stream.transmit.position
        page = PageToRecord(channel.id, "", position, unix_s, until_s, channel.name, trigger="command")
        self._recorder.record(page)
        return ""

    def look(self, runtime: ChannelRuntime, plan: TonePlan | None, now: float) -> float | None:
        """What was asked for may be over: the channel does without its ring, unless pages need it.

        Returns when to look again, None: not for this.
        """
        channel_id = runtime.config.id
        until_s = self._asked_until_s.get(channel_id)
        if until_s is None:
            return None
        if now < until_s or self.recording(channel_id):
            return max(until_s, now + ENDING_S)
        del self._asked_until_s[channel_id]
        before = self._rings.get(channel_id)
        if before is not None and self.of_plan(channel_id, plan, runtime.frame_ms, now) is not before:
            transmit = runtime.stream.transmit
            transmit.taps = tuple(tap for tap in transmit.taps if tap is not before)
        return None


def page_length_s(tone: AlertTone) -> float:
    """The longest a page can have lasted when it is decided."""
    if tone.kind in ("dtmf", "five_tone"):
        return DIGITS_S
    if tone.kind == "long":
        return tone.tone_a_length_s + DECIDED_S
    a_s = tone.a_longest_s if tone.a_longest_s is not None else max(2.0, 3 * tone.tone_a_length_s)
    return a_s + tone.gap_s + max(tone.tone_a_length_s, tone.tone_b_length_s) + DECIDED_S
