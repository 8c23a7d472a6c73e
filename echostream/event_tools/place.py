"""Where the event log of a command is: named, or as a configuration says."""

from __future__ import annotations

from pathlib import Path

from echostream.archive_tools.place import CONFIGURATIONS
from echostream.errors import EventLogError
from echostream.event_log.files import day_files, log_directory


def log_of(directory: Path | None, config: Path | None) -> Path:
    """The folder of the day's files. directory: events.directory, or that folder itself. EventLogError where
    there is none, ConfigError."""
    named = directory or _configured(config)
    for folder in (log_directory(named), named):
        try:
            if day_files(folder):
                return folder
        except OSError as error:
            raise EventLogError(
                f"{folder}: {error.strerror}; run this as the user of the service, or with sudo"
            ) from None
    raise EventLogError(
        f"{named}: no event log there; name the place with --directory or --config (a gateway writes it, in "
        "events.directory)"
    )


def _configured(config: Path | None) -> Path:
    path = config or next((one for one in CONFIGURATIONS if one.exists()), None)
    # Reading a configuration takes longer than all else that this command does.
    from echostream.config.event_models import Events

    if path is None:
        return Path(Events().directory)
    from echostream.config.load import load_config

    return Path(load_config(path).config.events.directory)
