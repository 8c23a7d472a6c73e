"""From a file to the configuration in force, with everything that is wrong with it at once.

What goes wrong in a channel costs that channel, in a tone plan that entry, in a section for a feature beside
the voice path that feature; what goes wrong elsewhere refuses the whole: there is nothing to fall back to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from echostream.config.alerts import read_alerts
from echostream.config.base import Section
from echostream.config.checks import Taken, advise, check_server
from echostream.config.devices import read_esp32, read_recording
from echostream.config.explain import read, unknown_key
from echostream.config.findings import (
    MISSING,
    Finding,
    InvalidConfig,
    Place,
    Severity,
    bounded,
    path_of,
    shown,
)
from echostream.config.json_text import MAX_BYTES, parse_text
from echostream.config.models import (
    MAX_CHANNELS,
    S3,
    Audio,
    Channel,
    Config,
    ControlServer,
    Events,
    Gateway,
    Gpio,
    Mqtt,
    Relay,
)
from echostream.config.shadow import ShadowDefaults, convert_traced, is_shadow
from echostream.config.tidy import Tidy
from echostream.config.tone_models import TonePlan
from echostream.config.tone_plans import read_plans, settle_passthrough

__all__ = ["Finding", "InvalidConfig", "LoadedConfig", "Severity", "load_config", "parse_config", "read_file"]

SCHEMA_KEY = "$schema"
Model = TypeVar("Model", bound=Section)


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration in force. dropped: what is left out of it; warnings: in force, but look at it."""

    config: Config
    dropped: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()


def load_config(path: Path) -> LoadedConfig:
    """The configuration in a file, in our own form or a device's. Raises InvalidConfig."""
    return parse_config(read_file(path), str(path))


def read_file(path: Path) -> bytes:
    """The bytes of a file, at most one more than a configuration may have. Raises InvalidConfig."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = f"{reason}: name the file with --config, or start from the config.json of the release"
        raise InvalidConfig(
            str(path), [Finding("", shown(str(path)), "a file that can be read", hint)]
        ) from None


def parse_config(document: object, origin: str) -> LoadedConfig:
    """The configuration in a document: bytes or text of JSON, or what JSON made of it.

    `origin` names it in errors. Raises InvalidConfig with every finding when it cannot be in force.
    """
    value = parse_document(document, origin)
    if not is_shadow(value):
        return _Reading(value, origin).result()
    conversion = convert_traced(value, ShadowDefaults())
    try:
        loaded = _Reading(conversion.document, origin).result()
    except InvalidConfig as error:
        raise InvalidConfig(origin, [*conversion.findings, *conversion.traced(error.findings)]) from None
    found = [*conversion.findings, *conversion.traced((*loaded.dropped, *loaded.warnings))]
    return _loaded(loaded.config, found)


def parse_document(document: object, origin: str) -> dict[str, object]:
    """A tidy JSON object. Raises InvalidConfig."""
    if isinstance(document, (bytearray, memoryview)):
        document = bytes(document)
    if isinstance(document, (bytes, str)):
        document = parse_text(document, origin)
    tidy = Tidy(document)
    if tidy.findings:
        raise InvalidConfig(origin, tidy.findings)
    if not isinstance(tidy.document, dict):
        found = Finding("", shown(tidy.document), "a JSON object: {…}", "see config.json of the release")
        raise InvalidConfig(origin, [found])
    return tidy.document


def _loaded(config: Config, findings: list[Finding]) -> LoadedConfig:
    dropped = [finding for finding in findings if finding.severity is not Severity.WARNING]
    warnings = [finding for finding in findings if finding.severity is Severity.WARNING]
    return LoadedConfig(config, bounded(dropped), bounded(warnings))


class _Reading:
    """One document in our own form, read section by section."""

    def __init__(self, document: dict[str, object], origin: str) -> None:
        self._document = document
        self._origin = origin
        self._findings: list[Finding] = []
        self._left_out: set[str] = set()
        self._index_of: dict[str, int] = {}

    def result(self) -> LoadedConfig:
        """Everything is read before anything is refused, so that every error is told at once."""
        for key, value in self._document.items():
            if key != SCHEMA_KEY and key not in Config.model_fields:
                self._findings.append(unknown_key((key,), value, Severity.REFUSED))
        gateway = self._section(Gateway, "gateway")
        server = self._section(ControlServer, "control_server")
        audio = self._section(Audio, "audio")
        gpio = self._section(Gpio, "gpio")
        channels = self._channels()
        tones = self._tones(channels)
        mqtt, s3 = self._feature(Mqtt, "mqtt"), self._feature(S3, "s3")
        events = self._feature(Events, "events")
        alerts, wrong_alerts = read_alerts(self._document.get("alerts", {}))
        ids = [channel.id for channel in channels]
        esp32, wrong_devices = read_esp32(self._document.get("esp32", {}), ids)
        recording, wrong_policies = read_recording(self._document.get("recording", {}), ids)
        self._findings += wrong_alerts + wrong_devices + wrong_policies
        refused = any(finding.severity is Severity.REFUSED for finding in self._findings)
        if refused or gateway is None or server is None or audio is None or gpio is None:
            raise InvalidConfig(self._origin, self._findings)
        config = Config(
            gateway=gateway,
            control_server=server,
            channels=tuple(channels),
            audio=audio,
            gpio=gpio,
            tones=tones,
            esp32=esp32,
            relay=self._feature(Relay, "relay"),
            mqtt=mqtt,
            s3=s3,
            recording=recording,
            alerts=alerts,
            events=events,
        )
        return _loaded(config, self._findings + advise(config, self._index_of))

    def _section(self, model: type[Model], name: str) -> Model | None:
        """A section without which nothing works: what is wrong with it refuses the configuration."""
        if name not in self._document and Config.model_fields[name].is_required():
            keys = ", ".join(key for key, field in model.model_fields.items() if field.is_required())
            self._findings.append(Finding(name, MISSING, f"an object with {keys}", f"add {name}"))
            return None
        outcome = read(model, self._document.get(name, {}), (name,), Severity.REFUSED)
        self._findings += outcome.wrong
        if isinstance(outcome.rest, ControlServer):
            self._findings += check_server(outcome.rest)
        return outcome.section

    def _feature(self, model: type[Model], name: str) -> Model:
        """A section beside the voice path: what is wrong with it switches that feature off."""
        outcome = read(model, self._document.get(name, {}), (name,), Severity.DROPPED)
        self._findings += outcome.wrong
        return outcome.section if outcome.section is not None else model()

    def _channels(self) -> list[Channel]:
        value = self._document.get("channels")
        if not isinstance(value, list) or not value:
            found = MISSING if "channels" not in self._document else shown(value)
            self._findings.append(Finding("channels", found, f"a list of 1 to {MAX_CHANNELS} channels"))
            return []
        if len(value) > MAX_CHANNELS:
            hint = f"the last {len(value) - MAX_CHANNELS} are left out"
            self._drop(("channels",), f"a list of {len(value)} entries", f"at most {MAX_CHANNELS}", hint)
        kept: list[Channel] = []
        taken = Taken()
        for index, item in enumerate(value[:MAX_CHANNELS]):
            channel, findings = self._channel(index, item, taken)
            self._findings += findings
            if channel is None:
                self._note_left_out(item)
            else:
                kept.append(channel)
                self._index_of[channel.id] = index
        for item in value[MAX_CHANNELS:]:
            self._note_left_out(item)
        if not kept:
            none = Finding("channels", "no channel that holds", "one at least", "repair one of them")
            self._findings.append(none)
        return kept

    def _channel(self, index: int, item: object, taken: Taken) -> tuple[Channel | None, list[Finding]]:
        outcome = read(Channel, item, ("channels", index), Severity.DROPPED)
        if outcome.section is not None:
            findings = taken.conflicts(index, outcome.section)
            if findings:
                return None, findings
            taken.take(index, outcome.section)
            return outcome.section, []
        rest = outcome.rest
        return None, outcome.wrong + (taken.conflicts(index, rest) if rest is not None else [])

    def _note_left_out(self, item: object) -> None:
        if isinstance(item, dict) and isinstance(item.get("id"), str):
            self._left_out.add(item["id"])

    def _tones(self, channels: list[Channel]) -> dict[str, TonePlan]:
        known = [channel.id for channel in channels]
        enabled = {channel.id for channel in channels if channel.enabled}
        plans, wrong = read_plans(self._document.get("tones", {}), known, self._left_out)
        settled, circles = settle_passthrough(plans, known, enabled, self._left_out)
        self._findings += wrong + circles
        return settled

    def _drop(self, place: Place, value: str, expected: str, hint: str) -> None:
        self._findings.append(Finding(path_of(place), value, expected, hint, Severity.DROPPED))
