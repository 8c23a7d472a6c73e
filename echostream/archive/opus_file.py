"""One Opus file that grows, a page of half a second at a time: Ogg (RFC 7845).

The pages are made here and not by libsndfile: that one holds a page back for a second, takes a bit rate only
as a fraction, and cannot say whether the disk took what it wrote.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np

from echostream import __version__
from echostream.archive import ogg_pages
from echostream.archive.raw_file import RawFile
from echostream.audio.format import Samples, silence
from echostream.audio.opus_codec import RATES_HZ, EncoderSettings, OpusEncoder
from echostream.audio.resampler import RationalResampler

PACKET_MS: Final = 20
PAGE_PACKETS: Final = 25
"""Half a second. The largest packets, of 1275 bytes, are 150 of the 255 segments that a page can have."""
_PACKET_GRANULE: Final = ogg_pages.GRANULE_HZ * PACKET_MS // 1000
_COMPLEXITY: Final = 5


class OpusFile:
    """An AudioFile in Opus, of the rate that was asked for or, where Opus does not have it, the next one."""

    def __init__(self, path: Path, rate_hz: int, bitrate_bps: int) -> None:
        """bitrate_bps: 6000 to 510000. LibraryMissing without libopus; ValueError."""
        self.path = path
        self.rate_hz = rate_hz
        self.samples = 0
        self._encoder_hz = next((rate for rate in RATES_HZ if rate >= rate_hz), RATES_HZ[-1])
        settings = EncoderSettings(bitrate_bps, _COMPLEXITY, fec=False, voice=False)
        self._encoder = OpusEncoder(settings, PACKET_MS, self._encoder_hz)
        self._resampler = _Resampled(rate_hz, self._encoder_hz) if self._encoder_hz != rate_hz else None
        self._waiting = silence(0)
        self._packets: list[bytes] = []
        self._encoded = 0
        self._pages = 0
        self._serial = int.from_bytes(os.urandom(4), "little")
        self._pre_skip = self._encoder.lookahead_samples * ogg_pages.GRANULE_HZ // self._encoder_hz
        self._broken = False
        self._file = RawFile(path)
        try:
            self._begin()
        except OSError:
            self._file.close()
            raise

    @property
    def duration_s(self) -> float:
        return self.samples / self.rate_hz

    @property
    def full(self) -> bool:
        """Years."""
        return False

    def write(self, samples: Samples) -> None:
        """Append; up to half a second waits until its page is complete."""
        self._encode(samples if self._resampler is None else self._resampler.process(samples))
        self.samples += len(samples)

    def keep(self) -> None:
        """Nothing: pages speak for themselves."""

    def close(self) -> None:
        """What waits, what the codec holds back, and a last page that says where the sound ends."""
        if self._file.closed:
            return
        try:
            if not self._broken:
                self._end()
        finally:
            self._encoder.close()
            self._file.close()

    def _begin(self) -> None:
        head = ogg_pages.OpusHead(1, self._pre_skip, self.rate_hz)
        self._put([ogg_pages.opus_head(head)], 0, ogg_pages.FIRST)
        self._put([ogg_pages.opus_tags(f"EchoStream {__version__}", [])], 0)

    def _encode(self, samples: Samples) -> None:
        size = self._encoder.packet_samples
        waiting = np.concatenate([self._waiting, samples])
        whole = len(waiting) // size * size
        for at in range(0, whole, size):
            if len(self._packets) == PAGE_PACKETS:  # not before: the last page must not be without any
                self._put_packets(self._encoded)
            self._packets.append(self._encoder.encode(waiting[at : at + size]))
            self._encoded += _PACKET_GRANULE
        self._waiting = waiting[whole:].copy()

    def _end(self) -> None:
        if self._resampler is not None:
            self._encode(self._resampler.finish(self.samples))
        # Rounded up to whole samples of the encoder: none of the original is left out.
        encoder_samples = -(-self.samples * self._encoder_hz // self.rate_hz)
        granule = self._pre_skip + encoder_samples * ogg_pages.GRANULE_HZ // self._encoder_hz
        size = self._encoder.packet_samples
        missing = -(-(granule - self._encoded) // _PACKET_GRANULE)
        self._encode(silence(missing * size - len(self._waiting)))
        self._put_packets(granule, ogg_pages.LAST)

    def _put_packets(self, granule: int, flags: int = 0) -> None:
        packets, self._packets = self._packets, []
        self._put(packets, granule, flags)

    def _put(self, packets: list[bytes], granule: int, flags: int = 0) -> None:
        try:
            self._file.append(ogg_pages.make_page(packets, self._serial, self._pages, granule, flags))
        except OSError:
            self._broken = True  # pages that follow a missing one would shift all of the sound
            raise
        self._pages += 1


class _Resampled:
    """To the rate of the encoder, without the resampler's delay."""

    def __init__(self, in_hz: int, out_hz: int) -> None:
        self._ratio = out_hz / in_hz
        self._resampler = RationalResampler(in_hz, out_hz)
        self._drop = self._resampler.latency_samples
        self._made = 0

    def process(self, samples: Samples) -> Samples:
        resampled = self._resampler.process(samples)
        drop = min(self._drop, len(resampled))
        self._drop -= drop
        self._made += len(resampled) - drop
        return resampled[drop:]

    def finish(self, samples: int) -> Samples:
        """What of so many samples of input is still inside."""
        missing = round(samples * self._ratio) - self._made
        tail = self._resampler.latency_samples / self._ratio
        return self.process(silence(int(tail) + 2))[: max(0, missing)]
