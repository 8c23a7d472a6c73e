"""Draw the pictures of docs/tones.md: `python docs/tones/make_pictures.py` (`make docs` does it).

Each shows what the ear really measured when the script ran; nothing but the flow is drawn by hand.
`heard.json` comes from `measure_heard.py`, which takes minutes and is run when the ear has changed.
"""

from __future__ import annotations

import io
import json
import math
import sys
import textwrap
import wave
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from echostream.audio.resampler import RationalResampler  # noqa: E402
from echostream.tones.detector import ToneDetector  # noqa: E402
from echostream.tones.generator import Part, render  # noqa: E402
from echostream.tones.heard import Detection, NearMiss  # noqa: E402
from echostream.tones.measure import CELL, Past, cells, measure  # noqa: E402
from echostream.tones.plan import ListenPlan, TwoTone  # noqa: E402
from echostream.tones.spectrum import HOP, WINDOW, Peak, PeakFinder  # noqa: E402
from echostream.tones.stream import BLOCK_SAMPLES, EAR_RATE_HZ  # noqa: E402

Sound = NDArray[np.float32]

INK, GREY, BLUE, GREEN, ORANGE, RED = "#1d2733", "#7b8794", "#1f6fb2", "#2a7f3f", "#c8621b", "#b3261e"
TONE_DBFS: Final = -18.0
"""Peak of the tones; a sine of full scale is 0."""
LADDER_2: Final = TwoTone("ladder-2", 600.9, 788.5)
ENGINE_7: Final = TwoTone("engine-7", 349.0, 433.7, a_range_hz=5.0, b_range_hz=5.0)
DEFINITION_S: Final = {"a": LADDER_2.a_length_s, "b": LADDER_2.b_length_s}


def main() -> None:
    """All pictures."""
    page_picture()
    if (HERE / "heard.json").exists():
        heard_picture()
    measuring_picture()
    near_miss_picture()
    flow_picture()


# ---- sound


def speech(length_s: float, skip_s: float = 0.0) -> Sound:
    """Of the simulator's own recording, at 8 kHz, as loud as the tones."""
    with wave.open(str(HERE.parents[1] / "echostream/simulator/speech/microphone.wav")) as file:
        rate = file.getframerate()
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    if rate != EAR_RATE_HZ:
        raw = RationalResampler(rate, EAR_RATE_HZ).process(raw)
    piece = raw[round(skip_s * EAR_RATE_HZ) :][: round(length_s * EAR_RATE_HZ)]
    level = 10 ** ((TONE_DBFS - 6) / 20)
    loud: Sound = (piece / np.sqrt(np.mean(piece**2)) * level).astype(np.float32)
    return loud


def tones(*parts: Part) -> Sound:
    """At 8 kHz."""
    return render(parts, EAR_RATE_HZ, TONE_DBFS).astype(np.float32)


def silence(length_s: float) -> Sound:
    """Nothing."""
    return np.zeros(round(length_s * EAR_RATE_HZ), np.float32)


def in_noise(sound: Sound, snr_db: float, seed: int = 1) -> Sound:
    """White noise of 0 to 4 kHz, so far below the tones."""
    sigma = 10 ** ((TONE_DBFS - 3.01 - snr_db) / 20)
    return sound + np.random.default_rng(seed).normal(scale=sigma, size=sound.size).astype(np.float32)


def hear(plan: ListenPlan, sound: Sound) -> list[Detection | NearMiss]:
    """What the ear makes of it."""
    detector = ToneDetector(plan, EAR_RATE_HZ)
    return [*detector.feed(sound), *detector.finish()]


# ---- paper


def paper(width: float, height: float, **grid: Any) -> tuple[Figure, Any]:
    """A white figure."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained", facecolor="white")
    return figure, figure.subplots(**grid)


def save(figure: Figure, name: str, colours: int = 48) -> None:
    """As PNG of few colours: noise is what makes a picture large."""
    memory = io.BytesIO()
    figure.savefig(memory, format="png")
    picture = Image.open(memory).convert("RGB")
    picture.quantize(colours, dither=Image.Dither.NONE).save(HERE / name, optimize=True)


def plain(axes: Axes) -> None:
    """Without a frame on top and at the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)


def spectrogram(
    axes: Axes, sound: Sound, highest_hz: float, window: int = 512, range_db: float = 48.0
) -> None:
    """Of Hann windows, 16 ms apart."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, window // 2), window)[::128]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), 4096)) ** 2
    level = 10 * np.log10(power.T + 1e-9)
    rows = round(highest_hz / EAR_RATE_HZ * 4096)
    top = float(level[:rows].max())
    axes.imshow(
        level[:rows],
        origin="lower",
        aspect="auto",
        extent=(0.0, sound.size / EAR_RATE_HZ, 0.0, highest_hz),
        cmap="magma",
        vmin=top - range_db,
        vmax=top,
        interpolation="nearest",
    )


# ---- pictures


def page_picture() -> None:
    """A page, and what is made of it when."""
    before = np.concatenate((speech(1.3), silence(0.25)))
    page = tones(Part(1.0, (LADDER_2.a_hz,)), Part(3.0, (LADDER_2.b_hz,)))
    sound = in_noise(np.concatenate((before, page, silence(0.3), speech(3.2, 1.5))), 16.0)
    (found,) = [item for item in hear(ListenPlan(two_tone=(LADDER_2,)), sound) if isinstance(item, Detection)]
    a, b = found.tones
    decided_s, length_s = found.decided / EAR_RATE_HZ, sound.size / EAR_RATE_HZ
    figure, (top, below) = paper(9.6, 5.4, nrows=2, height_ratios=(4, 1.25), sharex=True)
    spectrogram(top, sound, 1800.0)
    for name, tone in (("A", a), ("B", b)):
        text = f"tone {name}: {tone.hz:.1f} Hz"
        at = (tone.start / EAR_RATE_HZ, tone.hz + (60 if name == "B" else -125))
        top.annotate(text, at, color="white", fontsize=11, weight="bold")
    top.axvline(decided_s, color="white", linewidth=1.6, linestyle="--")
    into_b_s = (found.decided - b.start) / EAR_RATE_HZ
    says = f"heard: page ladder-2,\n{into_b_s:.2f} s into tone B"
    top.text(decided_s + 0.08, 1690, says, color="white", va="top", fontsize=10)
    top.text(0.65, 1690, "voice", color="white", ha="center", va="top", fontsize=10)
    top.text(7.6, 1690, "dispatcher's voice", color="white", ha="center", va="top", fontsize=10)
    top.set_ylabel("frequency, Hz")
    below.set_ylim(0, 4)
    for y, start, end, colour, text in (
        (3.1, a.start / EAR_RATE_HZ, a.start / EAR_RATE_HZ + 0.8, BLUE, "A must last 0.8 s"),
        (3.1, b.start / EAR_RATE_HZ, b.start / EAR_RATE_HZ + 2.0, BLUE, "B must last 2.0 s"),
        (
            1.9,
            a.start / EAR_RATE_HZ,
            length_s,
            GREEN,
            "recording: from tone A on, for record_length_s after the decision",
        ),
        (0.7, decided_s, length_s, ORANGE, "passthrough: for record_length_s"),
    ):
        below.add_patch(Rectangle((start, y - 0.45), end - start, 0.9, color=colour, alpha=0.9))
        inside = start + 0.06 if end - start > 1.5 else start - 0.06
        side, ink = ("left", "white") if end - start > 1.5 else ("right", INK)
        below.text(inside, y, text, va="center", ha=side, fontsize=9, color=ink)
    below.set_yticks([])
    below.set_xlabel("seconds")
    below.set_xlim(0, length_s)
    plain(below)
    below.spines["left"].set_visible(False)
    save(figure, "page.png")


def marcum_q1(a: float, b: float, terms: int = 4000) -> float:
    """Q1(a, b) by summing Poisson weights: the chance that a vector of mean a exceeds b."""
    x, y = a * a / 2, b * b / 2
    if x > 300 and a > 2 * b:
        return 1.0
    total, weight, tail, term = 0.0, math.exp(-x), math.exp(-y), math.exp(-y)
    for n in range(terms):
        total += weight * tail
        weight *= x / (n + 1)
        term *= y / (n + 1)
        tail += term
        if n > x and weight < 1e-15:
            break
    return min(1.0, total)


def limit(snr_db: float, length_s: float, false_alarm: float = 1e-6, band_hz: float = 4000.0) -> float:
    """Chance to hear a tone of known frequency and unknown phase: no receiver does better."""
    energy = 10 ** (snr_db / 10) * band_hz * length_s
    return marcum_q1(math.sqrt(2 * energy), math.sqrt(2 * math.log(1 / false_alarm)))


OTHERS: Final = {
    "streaming, C++": ((20, 0, -5, -8), (100, 91, 19, 3), "o"),
    "whole files, Python": ((20, 0, -5, -8), (93, 87, 83, 79), "s"),
    "whole files, Go": ((20, 0, -5), (90, 78, 80), "^"),
    "streaming, Go": ((20, 0, -5), (34, 33, 22), "v"),
}
"""SNR in dB, share of pages in percent: the same kind of page; 100 at each step, 40 for "whole files, Go"."""


def heard_picture() -> None:
    """Share of pages heard against noise."""
    rows = json.loads((HERE / "heard.json").read_text())
    figure, axes = paper(8.6, 4.8)
    snr = np.arange(-27.0, 21.0, 0.1)
    # Both tones have to be heard: A, which is the shorter, decides.
    best = [100 * limit(x, 1.0) * limit(x, 3.0) for x in snr]
    axes.fill_between(snr, best, 100, color="#e9edf2", linewidth=0, label="out of reach of any receiver")
    for name, (at, share, mark) in OTHERS.items():
        axes.plot(
            at,
            share,
            f"{mark}:",
            color=GREY,
            markersize=5,
            linewidth=1.0,
            label=f"other open detector: {name}",
        )
    ours = [100 * row["heard"] / row["pages"] for row in rows]
    axes.plot(
        [row["snr_db"] for row in rows],
        ours,
        "o-",
        color=BLUE,
        linewidth=2.2,
        markersize=4.5,
        label="EchoStream",
    )
    axes.set_xlim(20.5, -26)
    axes.set_ylim(-2, 104)
    axes.set_xlabel("signal over noise of 0 to 4 kHz, dB   (more noise to the right)")
    axes.set_ylabel("pages heard, %")
    axes.grid(color="#dde3ea", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.legend(loc="lower left", fontsize=8.5, framealpha=1.0, edgecolor="#dde3ea")
    pages = rows[0]["pages"]
    axes.set_title(
        f"1 s + 3 s, 60 definitions, each tone off by up to 1.5 %; {pages} pages a step",
        loc="left",
        fontsize=10,
        color=INK,
    )
    plain(axes)
    save(figure, "heard.png", 128)


def measuring_picture() -> None:
    """A run, its cells, and the edges that are the most likely."""
    hz, off_hz, hole_s = 788.5, 3.2, 0.12
    sound = np.concatenate((silence(0.5), tones(Part(1.6, (hz + off_hz,))), silence(0.6)))
    hole = round(1.7 * EAR_RATE_HZ)
    sound[hole : hole + round(hole_s * EAR_RATE_HZ)] = 0.0
    sound = in_noise(sound, -6.0, seed=3)
    sound = sound[: sound.size // BLOCK_SAMPLES * BLOCK_SAMPLES]
    finder, past = PeakFinder(), Past(4.0)
    peaks: list[tuple[float, Peak]] = []
    for at in range(0, sound.size, BLOCK_SAMPLES):
        block = sound[at : at + BLOCK_SAMPLES]
        past.add(block)
        for number, found in enumerate(finder.hear(block)):
            middle = (at + (number + 1) * HOP - WINDOW / 2) / EAR_RATE_HZ
            peaks += [(middle, peak) for peak in found]
    run = [(at, peak) for at, peak in peaks if abs(peak.hz - hz) < 8]
    core = (round(run[2][0] * EAR_RATE_HZ), round(run[-3][0] * EAR_RATE_HZ))
    noise = float(np.median([peak.noise for _, peak in run]))
    tone = measure(past, float(np.median([p.hz for _, p in run])), 0, sound.size, core, noise)
    if tone is None:
        raise RuntimeError("the tone of the picture was not measured")
    vector = cells(sound, tone.hz)
    inside = slice(tone.start // CELL + 1, tone.end // CELL)
    mean = vector[inside].mean()
    along = np.real(vector * np.conj(mean)) / abs(mean) ** 2
    start_s, end_s = tone.start / EAR_RATE_HZ, tone.end / EAR_RATE_HZ
    at_s = (np.arange(vector.size) + 0.5) * CELL / EAR_RATE_HZ
    figure, (top, middle, below) = paper(9.0, 7.2, nrows=3, sharex=True, height_ratios=(1, 1.2, 1))
    top.plot([at for at, _ in peaks], [p.hz for _, p in peaks], ".", color=GREY, markersize=5, label="peaks")
    top.plot([at for at, _ in run], [p.hz for _, p in run], ".", color=BLUE, markersize=6, label="the run")
    top.set_ylim(600, 1000)
    top.set_ylabel("Hz")
    top.legend(loc="upper right", fontsize=8.5, ncols=2)
    top.set_title("1  a run: peaks of one frequency, 32 ms apart (here at -6 dB)", loc="left", fontsize=10)
    middle.bar(at_s, along, width=0.0085, color=np.where(_lasts(at_s, start_s, end_s), BLUE, "#b9c2cc"))
    middle.axhline(0.5, color=INK, linewidth=0.8, linestyle=":")
    middle.text(2.66, 0.53, "1/2", fontsize=8.5, color=INK, ha="right")
    middle.set_ylabel("of the tone")
    middle.set_title(
        "2  cells of 10 ms, turned down to 0 Hz, in the tone's own direction", loc="left", fontsize=10
    )
    center = round((start_s + end_s) / 2 * EAR_RATE_HZ / CELL)
    right, left = np.cumsum(along[center:] - 0.5), np.cumsum(along[:center][::-1] - 0.5)
    below.plot(at_s[center:], right, color=BLUE, linewidth=1.8)
    below.plot(at_s[:center], left[::-1], color=BLUE, linewidth=1.8)
    below.set_ylabel("evidence")
    below.set_xlabel("seconds")
    below.set_title(
        "3  sum of (cell - 1/2) from the middle outwards: an edge is where it is highest",
        loc="left",
        fontsize=10,
    )
    below.annotate("drop-out: it falls,\nand rises beyond", (1.3, 34), fontsize=9, color=ORANGE)
    for axes in (top, middle, below):
        plain(axes)
        axes.axvline(start_s, color=GREEN, linewidth=1.4)
        axes.axvline(end_s, color=GREEN, linewidth=1.4)
        axes.axvspan(1.7, 1.7 + hole_s, color=ORANGE, alpha=0.18, linewidth=0)
    save(figure, "measuring.png", 128)


def _lasts(at_s: NDArray[np.float64], start_s: float, end_s: float) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (at_s >= start_s) & (at_s <= end_s)
    return inside


def near_miss_picture() -> None:
    """Two pages that were none, and what would have been heard."""
    figure, panels = paper(10.4, 4.9, ncols=2, sharey=True)
    off = (Part(1.0, (350.2,)), Part(3.0, (441.6,)))
    short = (Part(1.0, (349.8,)), Part(1.4, (434.9,)))
    for axes, parts in zip(panels, (off, short), strict=True):
        sound = in_noise(
            np.concatenate((silence(0.6), tones(*parts), silence(4.8 - sum(p.length_s for p in parts)))), 6
        )
        heard = hear(ListenPlan(two_tone=(ENGINE_7,), explain=True), sound)
        (miss,) = [item for item in heard if isinstance(item, NearMiss)]
        _zoomed(axes, sound)
        a, b = miss.tones
        wanted = ((a, ENGINE_7.a_hz, ENGINE_7.a_length_s), (b, ENGINE_7.b_hz, ENGINE_7.b_length_s))
        for name, (tone, hz, length_s) in zip("AB", wanted, strict=True):
            start_s = tone.start / EAR_RATE_HZ
            box = (start_s, hz - 5.0), length_s, 10.0
            axes.add_patch(Rectangle(*box, fill=False, edgecolor="white", linewidth=1.6))
            least = f"{name}: {hz:g} ± 5 Hz\nfor {length_s:g} s at least"
            axes.text(start_s, hz - 8.0, least, color="white", fontsize=9, va="top")
            measured = f"{tone.hz:.1f} Hz, {(tone.end - tone.start) / EAR_RATE_HZ:.2f} s"
            axes.text(
                start_s, tone.hz + 7.0, measured, color="#ffd9a0", fontsize=9.5, va="bottom", weight="bold"
            )
        axes.set_title(miss.reason, loc="left", fontsize=11, color=RED, weight="bold")
        axes.set_xlabel(f"seconds\n\n{_wrapped(miss.explanation)}", fontsize=9.5)
    panels[0].set_ylabel("frequency, Hz")
    save(figure, "near_miss.png")


def _zoomed(axes: Axes, sound: Sound) -> None:
    """300 to 480 Hz, by windows long enough to tell a few hertz apart."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, 1024), 2048)[::64]
    power = np.abs(np.fft.rfft(frames * np.hanning(2048), 16384)) ** 2
    level = 10 * np.log10(power.T + 1e-9)
    low, high = (round(hz / EAR_RATE_HZ * 16384) for hz in (300.0, 480.0))
    top = float(level.max())
    axes.imshow(
        level[low:high],
        origin="lower",
        aspect="auto",
        extent=(0.0, sound.size / EAR_RATE_HZ, 300.0, 480.0),
        cmap="magma",
        vmin=top - 40,
        vmax=top + 4,
        interpolation="bilinear",
    )
    plain(axes)


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 62))


# ---- the flow, as SVG


def flow_picture() -> None:
    """From the card to what follows."""
    parts = [_SVG_HEAD]
    for box in FLOW:
        parts.append(_box(*box))
    for arrow in ARROWS:
        parts.append(_arrow(*arrow))
    parts.append("</svg>\n")
    (HERE / "flow.svg").write_text("\n".join(parts))


Box = tuple[float, float, float, float, str, str, str]
FLOW: Final[tuple[Box, ...]] = (
    # x, y, width, height, colour, title, lines
    (20, 120, 140, 86, INK, "sound card", "the channel's radio,|as it was captured"),
    (210, 20, 190, 86, BLUE, "thread tones", "level by input_gain_db,|down to 8 kHz, filters"),
    (450, 20, 190, 86, BLUE, "ears", "steady tones, short tones,|CTCSS, MDC1200"),
    (690, 20, 190, 86, BLUE, "event", "what, when, how sure;|or a near miss, and why"),
    (210, 220, 190, 86, INK, "transmit path", "gain, high-pass, limiter:|what members would hear"),
    (450, 220, 190, 86, GREEN, "page ring", "the last seconds, so that the|page itself is kept as well"),
    (690, 160, 190, 86, GREEN, "recording", "from tone A on, then for|record_length_s: a WAV file"),
    (690, 310, 190, 86, ORANGE, "passthrough", "for record_length_s, to|passthrough_channel"),
    (930, 20, 190, 86, INK, "log, live view", "each page, passthrough|and recording"),
    (930, 230, 190, 66, ORANGE, "its loudspeaker", "always; beeps at the end"),
    (930, 320, 190, 66, ORANGE, "its members", "if passthrough_network"),
    (930, 410, 190, 66, ORANGE, "its radio, on the air", "if passthrough_key"),
)
Arrow = tuple[tuple[float, float], ...]
ARROWS: Final[tuple[tuple[Arrow, str], ...]] = (
    (((160, 150), (185, 150), (185, 63), (207, 63)), ""),
    (((160, 176), (185, 176), (185, 263), (207, 263)), ""),
    (((400, 63), (447, 63)), ""),
    (((640, 63), (687, 63)), ""),
    (((880, 50), (927, 50)), ""),
    (((400, 263), (447, 263)), ""),
    (((640, 263), (665, 263), (665, 203), (687, 203)), ""),
    (((305, 306), (305, 353), (687, 353)), "live audio"),
    (((785, 106), (785, 157)), "starts"),
    (((880, 80), (900, 80), (900, 278), (785, 278), (785, 307)), ""),
    (((880, 353), (905, 353), (905, 263), (927, 263)), ""),
    (((880, 353), (927, 353)), ""),
    (((880, 353), (905, 353), (905, 443), (927, 443)), ""),
)
_SVG_HEAD: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1140 496" width="1140" height="496" '
    'font-family="DejaVu Sans, Verdana, sans-serif">\n'
    '<rect width="1140" height="496" fill="white"/>\n'
    '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
    f'orient="auto"><path d="M0,0 L10,5 L0,10 z" fill="{GREY}"/></marker></defs>'
)


def _box(x: float, y: float, width: float, height: float, colour: str, title: str, text: str) -> str:
    middle = x + width / 2
    lines = text.split("|")
    first = y + 27 if len(lines) > 1 or height < 70 else y + 34
    small = f'font-size="12" fill="{INK}" text-anchor="middle"'
    body = "".join(
        f'<text x="{middle}" y="{first + 22 + 17 * at}" {small}>{line}</text>'
        for at, line in enumerate(lines)
    )
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="white" stroke="{colour}" '
        'stroke-width="2"/>'
        f'<text x="{middle}" y="{first}" font-size="14.5" font-weight="bold" fill="{colour}" '
        f'text-anchor="middle">{title}</text>{body}'
    )


def _arrow(points: Arrow, label: str) -> str:
    path = " ".join(f"{'L' if at else 'M'}{x},{y}" for at, (x, y) in enumerate(points))
    line = f'<path d="{path}" fill="none" stroke="{GREY}" stroke-width="1.8" marker-end="url(#head)"/>'
    if not label:
        return line
    (x, y), (x_to, y_to) = points[-2], points[-1]
    level = y == y_to
    at_x, at_y, anchor = ((x + x_to) / 2, y - 7, "middle") if level else (x + 8, (y + y_to) / 2 + 4, "start")
    small = f'font-size="12" fill="{INK}" text-anchor="{anchor}"'
    return f'{line}<text x="{at_x}" y="{at_y}" {small}>{label}</text>'


if __name__ == "__main__":
    main()
