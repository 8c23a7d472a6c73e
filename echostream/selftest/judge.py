"""What was measured, against what a gateway needs. Pure.

The limits are those of speech over a radio with a cable in the radio's place; a card alone is far better.
"""

from __future__ import annotations

from typing import Final

from echostream.audio.format import RATE_HZ
from echostream.selftest.analysis import Measured
from echostream.selftest.items import Item, Verdict, failed, judged, noted
from echostream.selftest.response import OCTAVES_HZ
from echostream.selftest.take import Take

PART: Final = "audio"

MAX_DELAY_MS: Final = 400.0
"""Out and in again: what lies in the rings of both directions; a sound server's adds 150."""
GAIN_DB: Final = (-20.0, 6.0)
"""More attenuation costs the quiet speaker his distance from the noise, more gain clips the loud one."""
MAX_THD_PERCENT: Final = 3.0
"""Radios are specified at 3 to 5 % (TIA-603, rated system deviation): the card must not add as much again."""
MAX_NOISE_DBFS: Final = -55.0
MIN_SNR_DB: Final = 40.0
"""What a good FM receiver reaches (TIA-603 hum and noise): the card must not be what limits it."""
MAX_HUM_DBFS: Final = -55.0
BAND_HZ: Final = (300.0, 3400.0)
MAX_RIPPLE_DB: Final = 3.0
"""Around the level at 1 kHz, over the telephone band (ITU-T G.712)."""
MAX_CLOCKS_PPM: Final = 100.0
"""A crystal that is sound; the drift servo and the resamplers follow 500."""
MAX_SLIP_MS: Final = 0.5
"""What the two chirps may be off; of lost audio a sound card loses a period of several milliseconds."""
MAX_CARD_PPM: Final = 300.0
MAX_DRIFT_DB: Final = 0.5
_ABSENT_DBFS: Final = -60.0


def judge_take(taken: Take, measured: Measured | None, other_side_db: float | None = None) -> list[Item]:
    """The audio part of the report. other_side_db: how loud the signal was on the card's other side."""
    if measured is None or measured.tone.level_dbfs < _ABSENT_DBFS:
        return [_not_heard(measured, other_side_db), *_transport(taken, None)]
    return [
        _delay(taken, measured),
        *_level(measured),
        *_purity(measured),
        *_band(measured),
        *_transport(taken, measured),
    ]


def round_trip_ms(taken: Take, measured: Measured) -> float:
    """From handing a sample to the card to having it back from the card."""
    return (taken.offset_s + measured.shift / RATE_HZ) * 1000


def _not_heard(measured: Measured | None, other_side_db: float | None) -> Item:
    if other_side_db is not None and other_side_db > _ABSENT_DBFS:
        shown = f"only on the card's other side ({other_side_db:.0f} dBFS)"
        return failed(
            PART, "signal", shown, "the cable is in the other side: change it, or the channel's side"
        )
    if measured is not None:
        shown = f"only as crosstalk, {measured.tone.level_dbfs:.0f} dBFS"
        return failed(
            PART, "signal", shown, "the cable is not where it should be, or the mixer is almost shut"
        )
    return failed(
        PART,
        "signal",
        "nothing of it came back",
        "is the cable in, from this card's output to its input? muted in the mixer? "
        "(alsamixer -c CARD; `echostream doctor --only cards`)",
    )


def _delay(taken: Take, measured: Measured) -> Item:
    delay_ms = round_trip_ms(taken, measured)
    return judged(
        PART,
        "round trip",
        delay_ms,
        "ms",
        0 <= delay_ms <= MAX_DELAY_MS,
        f"at most {MAX_DELAY_MS:.0f} ms",
        "something between the gateway and the card keeps audio back: a sound server, or an ALSA plugin",
    )


def _level(measured: Measured) -> list[Item]:
    low, high = GAIN_DB
    gain = measured.gain_db
    louder = "lower the card's output or input in the mixer" if gain > high else "raise the card's mixer"
    return [
        judged(
            PART, "gain", gain, "dB", low <= gain <= high, f"{low:.0f} to {high:+.0f} dB", f"{louder} "
            "(`echostream tune CHANNEL`)",
        ),
        judged(
            PART, "clipping", float(measured.clipped), "samples", measured.clipped == 0, "none",
            "the input is driven too hot: lower the capture level in the mixer", digits=0,
        ),
        judged(
            PART, "steadiness", measured.tone.drift_db, "dB", abs(measured.tone.drift_db) <= MAX_DRIFT_DB,
            f"±{MAX_DRIFT_DB} dB over the tone",
            "automatic gain control is on: switch it off in the mixer (Auto Gain Control)", digits=2,
        ),
        *([noted(PART, "polarity", "inverted")] if measured.inverted else []),
    ]  # fmt: skip


def _purity(measured: Measured) -> list[Item]:
    quiet = measured.quiet
    return [
        judged(
            PART, "distortion", measured.tone.thd_percent, "%",
            measured.tone.thd_percent <= MAX_THD_PERCENT, f"at most {MAX_THD_PERCENT:.0f} % (harmonics 2-10)",
            "something clips before the converter: lower the output, or put an attenuator into the cable",
            digits=2,
        ),
        judged(
            PART, "noise without hum", quiet.noise_dbfs, "dBFS", quiet.noise_dbfs <= MAX_NOISE_DBFS,
            f"at most {MAX_NOISE_DBFS:.0f} dBFS",
            "microphone boost off; a shielded cable; another USB port or power supply",
        ),
        judged(
            PART, "signal to noise", measured.snr_db, "dB", measured.snr_db >= MIN_SNR_DB,
            f"at least {MIN_SNR_DB:.0f} dB",
            "the hum: see below" if quiet.hum_dbfs > quiet.noise_dbfs
            else "more level out, less gain in: noise of the input is amplified with the signal",
        ),
        judged(
            PART, f"hum ({quiet.hum_hz:.0f} Hz)", quiet.hum_dbfs, "dBFS", quiet.hum_dbfs <= MAX_HUM_DBFS,
            f"at most {MAX_HUM_DBFS:.0f} dBFS",
            "a ground loop: an isolating transformer in the audio lines, both ends on one power strip",
        ),
    ]  # fmt: skip


def _band(measured: Measured) -> list[Item]:
    lowest, highest = measured.response.range_db(*BAND_HZ)
    worst = lowest if -lowest > highest else highest
    octaves = ", ".join(f"{hz:.0f} Hz {round(measured.response.at(hz), 1) + 0.0:+.1f}" for hz in OCTAVES_HZ)
    return [
        judged(
            PART, "speech band", worst, "dB", abs(worst) <= MAX_RIPPLE_DB,
            f"±{MAX_RIPPLE_DB:.0f} dB, {BAND_HZ[0]:.0f} to {BAND_HZ[1]:.0f} Hz (against 1 kHz)",
            "a filter is in the way: a coupling capacitor that is too small, or a radio's own",
        ),
        noted(PART, "octaves", octaves),
    ]  # fmt: skip


def _transport(taken: Take, measured: Measured | None) -> list[Item]:
    if measured is None:
        return [_card_clock(taken)]
    clocks = measured.tone.clock_ppm
    return [
        _whole(taken, measured),
        judged(
            PART, "output's clock against input's", clocks, "ppm", abs(clocks) <= MAX_CLOCKS_PPM,
            f"±{MAX_CLOCKS_PPM:.0f} ppm",
            "the two directions run on different crystals, or something resamples between them",
        ),
        _card_clock(taken),
    ]  # fmt: skip


def _whole(taken: Take, measured: Measured) -> Item:
    """Whether every sample came back, once."""
    breaks = max(measured.tone.jumps, taken.overruns + taken.underruns + taken.gaps)
    slip_ms = 0.0 if measured.slip is None else measured.slip * 1000 / RATE_HZ
    remedy = "audio was lost between card and gateway: is the machine busy, or the USB hub shared?"
    if measured.slip is None:
        return failed(PART, "whole", "the end of the signal is not heard", remedy, "every sample")
    good = breaks == 0 and abs(slip_ms) <= MAX_SLIP_MS
    missing = f", {abs(slip_ms):.1f} ms {'missing' if slip_ms < 0 else 'too much'}"
    shown = f"{breaks} breaks{'' if abs(slip_ms) <= MAX_SLIP_MS else missing}"
    verdict: Verdict = "pass" if good else "fail"
    return Item(PART, "whole", verdict, shown, breaks, "breaks", "every sample", "" if good else remedy)


def _card_clock(taken: Take) -> Item:
    shown = f"{taken.card_ppm:+.0f} ± {taken.ppm_error:.0f} ppm"
    if taken.ppm_error > MAX_CARD_PPM / 2:
        return noted(PART, "card's clock", f"{shown} (too short a take to judge)", taken.card_ppm, "ppm")
    good = abs(taken.card_ppm) - taken.ppm_error <= MAX_CARD_PPM
    item = judged(
        PART, "card's clock", taken.card_ppm, "ppm", good, f"±{MAX_CARD_PPM:.0f} ppm of the computer's",
        "the card's crystal is off, or the computer's clock is being set: use another card",
    )  # fmt: skip
    return Item(PART, item.name, item.verdict, shown, item.value, "ppm", item.limit, item.remedy)
