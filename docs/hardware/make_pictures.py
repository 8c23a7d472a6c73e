"""Draws the pictures of docs/hardware.md: the board's header, and what stands between gateway and radio.

python docs/hardware/make_pictures.py        writes header.svg and interface.svg beside this file
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).parent
STYLE = """<style>
text { font: 13px sans-serif; fill: #1b1f24 }
.title { font-weight: bold; font-size: 15px } .small { font-size: 11px; fill: #57606a } .white { fill: #fff }
.wire { stroke: #1b1f24; stroke-width: 1.6; fill: none }
.part { stroke: #1b1f24; stroke-width: 1.6; fill: #fff }
.gap { stroke: #cf222e; stroke-width: 1.4; stroke-dasharray: 6 5; fill: none }
.pi { fill: #ddf4e4; stroke: #1a7f37 } .radio { fill: #fff1e5; stroke: #bc4c00 }
.card { fill: #ddf4ff; stroke: #0969da }
</style>"""

HEADER = (
    *(
        "3V3",
        "5V",
        "2",
        "5V",
        "3",
        "GND",
        "4",
        "14",
        "GND",
        "15",
        "17",
        "18",
        "27",
        "GND",
        "22",
        "23",
        "3V3",
        "24",
    ),
    *(
        "10",
        "GND",
        "9",
        "25",
        "11",
        "8",
        "GND",
        "7",
        "0",
        "1",
        "5",
        "GND",
        "6",
        "12",
        "13",
        "GND",
        "19",
        "16",
    ),
    *("26", "20", "GND", "21"),
)
"""Pins 1 to 40: BCM numbers, supplies, grounds (Raspberry Pi documentation, "GPIO and the 40-pin header")."""
USES = {
    "20": "button of channel 1; tests: output",
    "21": "button of channel 2; tests: input",
    "23": "button of channel 3",
    "24": "button of channel 4",
    "12": "keys radio 1",
    "13": "keys radio 2",
    "19": "keys radio 3",
    "26": "keys radio 4",
    "22": "squelch of radio 2",
}
"""As in config.json."""
UP_AT_BOOT = frozenset(str(number) for number in range(9))


class Drawing:
    """SVG, collected piece by piece; coordinates in pixels."""

    def __init__(self, width: int, height: int) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
            STYLE,
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
        ]

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def wire(self, *points: tuple[float, float], kind: str = "wire") -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def box(self, x: float, y: float, width: float, height: float, kind: str = "part") -> None:
        size = f'width="{width:g}" height="{height:g}"'
        self._parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" {size} rx="3"/>')

    def dot(self, x: float, y: float, radius: float = 3, fill: str = "#1b1f24") -> None:
        self._parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{fill}"/>')

    def resistor(self, x: float, y: float, label: str) -> None:
        """Lying, 50 long, its left end at (x, y)."""
        self.box(x, y - 7, 50, 14)
        self.text(x + 25, y - 12, label, "small", "middle")

    def standing_resistor(self, x: float, y: float, label: str) -> None:
        """50 high, its upper end at (x, y)."""
        self.box(x - 7, y, 14, 50)
        self.text(x + 12, y + 29, label, "small")

    def capacitor(self, x: float, y: float, label: str) -> None:
        """12 long, its left end at (x, y)."""
        self.wire((x + 3, y - 12), (x + 3, y + 12))
        self.wire((x + 9, y - 12), (x + 9, y + 12))
        self.text(x + 6, y - 17, label, "small", "middle")

    def ground(self, x: float, y: float, label: str = "") -> None:
        self.wire((x, y), (x, y + 8))
        for number, half in enumerate((10, 6, 2)):
            self.wire((x - half, y + 8 + 4 * number), (x + half, y + 8 + 4 * number))
        if label:
            self.text(x, y + 30, label, "small", "middle")

    def transformer(self, x: float, y: float, label: str) -> None:
        """50 high, its left ends at (x, y) and (x, y + 50), its right ends 40 further."""
        for side, turn in ((x, 1), (x + 40, 0)):
            arcs = "".join(f" a 6.25 6.25 0 0 {turn} 0 12.5" for _ in range(4))
            self._parts.append(f'<path class="wire" d="M {side:g} {y:g}{arcs}"/>')
        self.wire((x + 17, y), (x + 17, y + 50))
        self.wire((x + 23, y), (x + 23, y + 50))
        self.text(x + 20, y - 8, label, "small", "middle")

    def optocoupler(self, x: float, y: float, label: str, mirrored: bool = False) -> None:
        """100 wide, 60 high. The diode's ends are at y + 10 and y + 50, so are collector and emitter.

        The diode is on the left side, or on the right where mirrored.
        """
        self.box(x, y, 100, 60)

        def at(dx: float) -> float:
            return x + (100 - dx if mirrored else dx)

        self.wire((at(0), y + 10), (at(28), y + 10), (at(28), y + 50), (at(0), y + 50))
        triangle = " ".join(f"{at(dx):g},{y + dy:g}" for dx, dy in ((20, 22), (36, 22), (28, 36)))
        self._parts.append(f'<polygon class="part" points="{triangle}"/>')
        self.wire((at(20), y + 36), (at(36), y + 36))
        for dy in (22, 30):
            self.wire((at(42), y + dy), (at(56), y + dy))
            self.wire((at(51), y + dy - 4), (at(56), y + dy), (at(51), y + dy + 4))
        self.wire((at(66), y + 18), (at(66), y + 42))
        self.wire((at(66), y + 25), (at(82), y + 10), (at(100), y + 10))
        self.wire((at(66), y + 35), (at(82), y + 50), (at(100), y + 50))
        self.wire((at(74), y + 48), (at(82), y + 50), (at(79), y + 42))
        self.text(x + 50, y + 76, label, "small", "middle")

    def finish(self) -> str:
        return "\n".join([*self._parts, "</svg>", ""])


def header() -> str:
    """The 40 pins as one looks at the board, with what config.json uses them for."""
    drawing = Drawing(760, 560)
    drawing.text(20, 28, "The header, seen from above; pin 1 is next to the SD card's corner", "title")
    for number, name in enumerate(HEADER, 1):
        left = number % 2 == 1
        y = 52 + (number - 1) // 2 * 24
        x = 356 if left else 392
        fills = {"GND": "#57606a", "3V3": "#bf8700", "5V": "#cf222e"}
        fill = fills.get(name, "#1a7f37" if name in USES else "#8c959f")
        drawing.box(x, y, 24, 18)
        drawing.dot(x + 12, y + 9, 8, fill)
        drawing.text(x + 12, y + 13, str(number), "small white", "middle")
        plain = name if name in fills else f"BCM {name}"
        note = USES.get(name, "pulled up while the board boots: not for keying" if name in UP_AT_BOOT else "")
        words = [note, plain] if left else [plain, note]
        drawing.text(
            346 if left else 426,
            y + 13,
            "  ·  ".join(filter(None, words)),
            "" if name in USES else "small",
            "end" if left else "start",
        )
    return drawing.finish()


def interface() -> str:
    """One channel: card and pins on the left, the radio on the right, nothing but light and iron between."""
    drawing = Drawing(860, 640)
    drawing.text(20, 28, "One channel and its radio: no copper goes through the dashed line", "title")
    drawing.box(20, 50, 130, 250, "card")
    drawing.text(85, 72, "sound card", "title", "middle")
    drawing.box(20, 330, 130, 280, "pi")
    drawing.text(85, 352, "Raspberry Pi", "title", "middle")
    drawing.box(700, 50, 140, 560, "radio")
    drawing.text(770, 72, "radio", "title", "middle")
    drawing.wire((445, 50), (445, 610), kind="gap")
    _to_the_radio(drawing)
    _from_the_radio(drawing)
    _key(drawing)
    _squelch(drawing)
    return drawing.finish()


def _to_the_radio(drawing: Drawing) -> None:
    y = 110
    drawing.text(140, y + 4, "output", anchor="end")
    drawing.wire((150, y), (200, y))
    drawing.resistor(200, y, "R1")
    drawing.wire((250, y), (300, y))
    drawing.wire((300, y), (300, y))
    drawing.standing_resistor(300, y, "R2")
    drawing.dot(300, y)
    drawing.wire((300, y), (425, y))
    drawing.transformer(425, y, "600 : 600 Ω")
    drawing.wire((150, y + 50), (425, y + 50))
    drawing.dot(300, y + 50)
    drawing.text(140, y + 54, "ground", anchor="end")
    drawing.wire((465, y), (560, y))
    drawing.capacitor(560, y, "C1 10 µF")
    drawing.wire((572, y), (700, y))
    drawing.wire((465, y + 50), (700, y + 50))
    drawing.text(710, y + 4, "mic. / data in")
    drawing.text(710, y + 54, "its ground")


def _from_the_radio(drawing: Drawing) -> None:
    y = 220
    drawing.text(140, y + 4, "input", anchor="end")
    drawing.text(140, y + 54, "ground", anchor="end")
    drawing.wire((150, y), (200, y))
    drawing.capacitor(200, y, "C2 1 µF")
    drawing.wire((212, y), (425, y))
    drawing.transformer(425, y, "600 : 600 Ω")
    drawing.wire((150, y + 50), (425, y + 50))
    drawing.wire((465, y), (540, y))
    drawing.standing_resistor(540, y, "R4")
    drawing.dot(540, y)
    drawing.wire((540, y), (590, y))
    drawing.resistor(590, y, "R3")
    drawing.wire((640, y), (700, y))
    drawing.wire((465, y + 50), (700, y + 50))
    drawing.dot(540, y + 50)
    drawing.text(710, y + 4, "audio / speaker")
    drawing.text(710, y + 54, "its ground")


def _key(drawing: Drawing) -> None:
    y = 390
    drawing.text(140, y + 14, "BCM 12 (key)", anchor="end")
    drawing.wire((150, y + 10), (230, y + 10))
    drawing.resistor(230, y + 10, "470 Ω")
    drawing.wire((280, y + 10), (395, y + 10))
    drawing.optocoupler(395, y, "PC817: lights = transmits")
    drawing.text(140, y + 54, "GND (6, 9, 14 …)", anchor="end")
    drawing.wire((150, y + 50), (395, y + 50))
    drawing.wire((495, y + 10), (700, y + 10))
    drawing.wire((495, y + 50), (700, y + 50))
    drawing.text(710, y + 14, "PTT")
    drawing.text(710, y + 54, "its ground")


def _squelch(drawing: Drawing) -> None:
    y = 510
    drawing.text(140, y + 14, "BCM 22 (cos)", anchor="end")
    drawing.wire((150, y + 10), (395, y + 10))
    drawing.optocoupler(395, y, "PC817: lights = receives", mirrored=True)
    drawing.text(140, y + 54, "GND", anchor="end")
    drawing.wire((150, y + 50), (395, y + 50))
    drawing.wire((495, y + 10), (570, y + 10))
    drawing.resistor(570, y + 10, "2.2 kΩ at 12 V")
    drawing.wire((620, y + 10), (700, y + 10))
    drawing.wire((495, y + 50), (700, y + 50))
    drawing.text(710, y + 14, "switched + 12 V")
    drawing.text(710, y + 54, "COR (open coll.)")


def main() -> None:
    for name, draw in (("header", header), ("interface", interface)):
        (HERE / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
