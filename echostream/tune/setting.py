"""Does what was suggested, each thing only where somebody agrees."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from echostream.config.load import parse_config, read_file
from echostream.config.models import Channel
from echostream.config.shadow import is_shadow
from echostream.errors import AudioError, ConfigError
from echostream.instance import InstanceError, runtime_dir, signal_running
from echostream.tune import mixer
from echostream.tune.advice import Suggestion
from echostream.tune.config_edit import with_channel_value

Agree = Callable[[str], bool]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are set. mixer: ALSA's name of it, None without. config: the file, None where none is to
    be changed. instance: of the gateway that is told."""

    channel: Channel
    mixer: str | None
    config: Path | None
    instance: str


def set_levels(
    suggestion: Suggestion, found: mixer.CaptureMixer, place: Place, agree: Agree, say: Say
) -> int:
    """How many things were changed. ConfigError for a file that cannot be changed."""
    changed = _set_mixer(suggestion, found, place, agree, say)
    wanted: dict[tuple[str, ...], float] = {}
    channel = place.channel
    if suggestion.input_gain_db is not None:
        wanted["input_gain_db",] = suggestion.input_gain_db
    if suggestion.vox_dbfs is not None and channel.vox.enabled:
        wanted["vox", "threshold_dbfs"] = suggestion.vox_dbfs
    if place.config is None:
        return changed
    for path, value in wanted.items():
        name = ".".join(path)
        if agree(f"Set {name} of {channel.id} to {value:g} in {place.config}?"):
            change_config(place.config, channel.id, path, value)
            say(f"{place.config}: {name} of {channel.id} is {value:g} now{_reload(place.instance)}")
            changed += 1
    return changed


def _set_mixer(
    suggestion: Suggestion, found: mixer.CaptureMixer, place: Place, agree: Agree, say: Say
) -> int:
    if place.mixer is None or found.control is None:
        return 0
    name, changed = found.control.name, 0
    try:
        if found.muted and agree(f"{name} is muted. Switch it on?"):
            mixer.unmute(place.mixer)
            changed += 1
        if found.agc_on and found.agc is not None and agree(f"{found.agc.name} is on. Switch it off?"):
            mixer.switch_agc_off(place.mixer)
            changed += 1
        by_db = suggestion.mixer_db
        if by_db and agree(f"Move the card's fader {name} by {by_db:+.0f} dB?"):
            now_db = mixer.move_fader(place.mixer, by_db)
            say(f"{name} is at {now_db:+.1f} dB now; `sudo alsactl store` keeps it over a reboot")
            changed += 1
    except AudioError as error:
        say(f"the mixer is not as it should be: {error}")
    return changed


def change_config(path: Path, channel_id: str, keys: tuple[str, ...], value: float) -> None:
    """One value of a file, whole or not at all, its owner and mode as they were. ConfigError says what is
    wrong with the file, or with what would become of it: then it is left alone."""
    path = path.resolve()  # what a link points to, not the link
    data = read_file(path)
    text = data.decode("utf-8-sig", errors="strict") if data else ""
    before = parse_config(data, str(path))
    if is_shadow(_document(text)):
        raise ConfigError(f"{path}: is in the form of devices in the field: `echostream config convert` it")
    changed = with_channel_value(text, channel_id, keys, value)
    after = parse_config(changed, str(path))
    if len(after.dropped) > len(before.dropped):
        raise ConfigError(f"{path}: {after.dropped[-1]}")
    _replace(path, changed.encode())


def _document(text: str) -> dict[str, object]:
    from echostream.config.load import parse_document

    return parse_document(text, "the configuration")


def _replace(path: Path, content: bytes) -> None:
    try:
        kept = path.stat()
        descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; with sudo?") from None
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), kept.st_mode & 0o7777)
            with contextlib.suppress(PermissionError):  # who may not give it away owns it
                os.fchown(file.fileno(), kept.st_uid, kept.st_gid)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        Path(scratch).unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _reload(instance: str) -> str:
    """Tell the gateway; in words what became of it."""
    try:
        pid = signal_running(instance, signal.SIGHUP, runtime_dir())
    except (InstanceError, OSError):
        return " (in force when the gateway starts)"
    return f" (process {pid} was asked to reload)"
