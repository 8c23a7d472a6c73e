"""Real recordings for the benchmark, from Debian packages: 6 h of speech in seven languages, and music.

Packages that are installed are read where they are; others are fetched with `apt-get download` and unpacked
with `dpkg-deb -x` below $XDG_CACHE_HOME/echostream-bench, which needs no root. Everything is brought to 8 kHz
and -20 dBFS and kept there as one array, so that it is done once. A package that cannot be had is named.
"""

from __future__ import annotations

import functools
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

RATE_HZ: Final = 8000
LEVEL_DBFS: Final = -20.0
RAW: Final = ".raw"
"""Headerless 16-bit mono: 8 kHz in codec2-examples, 16 kHz in pocketsphinx-testdata."""
SUFFIXES: Final = (".wav", ".ogg", ".gsm", RAW)
VERSION: Final = 3
"""Of the packed files: raise it when the choice of recordings changes."""
NO_SPEECH: Final = (
    "sine1k",
    "testframes",
    "test_datac",
    "700d_end_over",
    "/silence/",
    "2tone",
    "/beep",
    "Noise",
)


@dataclass(frozen=True, slots=True)
class Package:
    """name: of the Debian package. folder: where its recordings lie. raw_hz: rate of headerless files."""

    name: str
    folder: str
    language: str
    raw_hz: int = RATE_HZ


SPEECH: Final = (
    *(
        Package(f"asterisk-core-sounds-{language}-wav", "usr/share/asterisk/sounds", language)
        for language in ("en", "es", "fr", "it", "ru")
    ),
    *(
        Package(f"fillets-ng-data-{language}", "usr/share/games/fillets-ng/sound", language)
        for language in ("cs", "nl")
    ),
    Package("asterisk-prompt-it-menardi-wav", "usr/share/asterisk/sounds", "it"),
    Package("asterisk-prompt-es-co", "usr/share/asterisk/sounds", "es"),
    Package("asterisk-prompt-fr-armelle", "usr/share/asterisk/sounds", "fr"),
    Package("pocketsphinx-testdata", "usr/share/pocketsphinx/test/data", "en", 16_000),
    Package("codec2-examples", "usr/share/codec2/raw", "en"),
    Package("codec2-examples", "usr/share/codec2/wav", "en"),
    Package("alsa-utils", "usr/share/sounds/alsa", "en"),
)
MUSIC: Final = (Package("asterisk-moh-opsound-wav", "usr/share/asterisk/moh", ""),)
SHIPPED: Final = Path(__file__).parents[2] / "echostream/simulator/speech"


@dataclass(frozen=True)
class Corpus:
    """samples: shape (n,), int16, 8 kHz, all recordings end to end. starts: of each, and the end of the last.

    missing: packages that could not be had.
    """

    samples: NDArray[np.int16]
    starts: NDArray[np.int64]
    names: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def hours(self) -> float:
        return self.samples.size / RATE_HZ / 3600

    def recording(self, number: int) -> NDArray[np.float32]:
        """One recording, ±1.0."""
        part = self.samples[self.starts[number] : self.starts[number + 1]]
        return part.astype(np.float32) / np.float32(32768)


def cache_folder() -> Path:
    """Where packages and packed recordings are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "echostream-bench"


@functools.cache
def speech() -> Corpus:
    """All speech; what the repository ships where no package can be had."""
    return _corpus("speech", SPEECH)


@functools.cache
def music() -> Corpus:
    """Music on hold."""
    return _corpus("music", MUSIC)


def _corpus(kind: str, packages: tuple[Package, ...]) -> Corpus:
    folder = cache_folder()
    samples_file, index_file = folder / f"{kind}-{VERSION}.npy", folder / f"{kind}-{VERSION}.json"
    if not index_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"packing {kind} into {folder} (once) ...", file=sys.stderr, flush=True)
        corpus = _pack(packages)
        np.save(samples_file, corpus.samples)
        index = {"starts": corpus.starts.tolist(), "names": corpus.names, "missing": corpus.missing}
        if not corpus.missing:  # else it is tried again the next time
            index_file.write_text(json.dumps(index))
        return corpus
    index = json.loads(index_file.read_text())
    return Corpus(
        np.load(samples_file, mmap_mode="r"),
        np.asarray(index["starts"]),
        tuple(index["names"]),
        tuple(index["missing"]),
    )


def _pack(packages: tuple[Package, ...]) -> Corpus:
    parts: list[NDArray[np.int16]] = []
    names: list[str] = []
    missing: list[str] = []
    for package in packages:
        root = _find(package)
        if root is None:
            missing.append(package.name)
            continue
        for file in sorted((root / package.folder).rglob("*")):
            if file.suffix in SUFFIXES and not any(word in str(file) for word in NO_SPEECH):
                parts.append(_levelled(_read(file, package.raw_hz)))
                names.append(f"{package.name}/{file.name}")
    if not parts:
        for file in sorted(SHIPPED.glob("*.wav")):
            parts.append(_levelled(_read(file, RATE_HZ)))
            names.append(f"shipped/{file.name}")
    starts = np.cumsum([0, *(part.size for part in parts)])
    return Corpus(np.concatenate(parts), starts, tuple(names), tuple(dict.fromkeys(missing)))


def _find(package: Package) -> Path | None:
    """The root below which the package's folder lies; fetched where it is not installed."""
    unpacked = cache_folder() / "packages" / package.name
    for root in (Path("/"), unpacked):
        if (root / package.folder).is_dir():
            return root
    debs = cache_folder() / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    try:
        if not list(debs.glob(f"{package.name}_*.deb")):
            subprocess.run(
                ["apt-get", "download", package.name], cwd=debs, check=True, capture_output=True, timeout=300
            )
        deb = next(debs.glob(f"{package.name}_*.deb"))
        unpacked.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", deb, unpacked], check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        print(f"{package.name} cannot be had here ({error})", file=sys.stderr)
        return None
    return unpacked if (unpacked / package.folder).is_dir() else None


def _read(file: Path, raw_hz: int) -> NDArray[np.float64]:
    if file.suffix == RAW:
        whole = file.read_bytes()
        samples, rate_hz = np.frombuffer(whole[: len(whole) // 2 * 2], "<i2") / 32768.0, raw_hz
    elif file.suffix == ".gsm":
        gsm = soundfile.read(file, samplerate=RATE_HZ, channels=1, format="RAW", subtype="GSM610")
        samples, rate_hz = gsm
    else:
        read, rate_hz = soundfile.read(file, always_2d=True)
        samples = read.mean(axis=1)
    if rate_hz != RATE_HZ:
        divisor = math.gcd(rate_hz, RATE_HZ)
        samples = resample_poly(samples, RATE_HZ // divisor, rate_hz // divisor)
    return np.asarray(samples, np.float64)


def _levelled(samples: NDArray[np.float64]) -> NDArray[np.int16]:
    """To LEVEL_DBFS over what is not silence: blocks of 20 ms within 40 dB of the loudest."""
    blocks = samples[: samples.size // 160 * 160].reshape(-1, 160)
    power = (blocks**2).mean(axis=1)
    loud = power[power > power.max(initial=0.0) * 1e-4]
    if not loud.size:
        return np.zeros(samples.size, np.int16)
    levelled = samples * (10 ** (LEVEL_DBFS / 20) / math.sqrt(float(loud.mean())))
    return np.clip(np.rint(levelled * 32768), -32768, 32767).astype(np.int16)
