"""The world as it is on this machine: which configuration, which user, what the gateway last wrote."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from echostream.config.findings import InvalidConfig
from echostream.config.load import LoadedConfig, load_config
from echostream.config.secrets import CREDENTIALS_DIRECTORY
from echostream.doctor.account import SERVICE_USER, Account, read_account
from echostream.doctor.units import supplementary_groups
from echostream.doctor.world import World
from echostream.errors import EchoStreamError
from echostream.service.health import Health, HealthError, find_health, read_health

CREDENTIALS: Final = Path("/etc/echostream/credentials")
INSTALLED: Final = Path("/etc/echostream")


def see(
    config: Path | None,
    instance: str = "echostream",
    *,
    quick: bool = False,
    udp_channel: str | None = None,
    root: Path = Path("/"),
) -> World:
    """config: as typed. Never fails because of a configuration: that is a finding. InvalidConfig where the
    file that was typed is not there."""
    path = config or _usual(instance, root)
    loaded: LoadedConfig | None = None
    refused: EchoStreamError | None = None
    if path is not None:
        try:
            loaded = load_config(path)
        except InvalidConfig as error:
            if config is not None and not path.exists():
                raise
            refused = error
    _credentials_of_the_service(root)
    health, unread = _health(instance, root)
    return World(
        root=root,
        config_path=path,
        loaded=loaded,
        refused=refused,
        account=account_of(path, root),
        instance=instance,
        health=health,
        unread_health=unread,
        quick=quick,
        udp_channel=udp_channel,
    )


def account_of(config: Path | None, root: Path) -> Account:
    """The service's user where the configuration is the service's, or root asks; else who asks."""
    installed = config is not None and config.resolve().is_relative_to((root / "etc/echostream").resolve())
    service = read_account(root, SERVICE_USER)
    if installed or (os.geteuid() == 0 and service.exists):
        extra = supplementary_groups(root)
        return read_account(root, SERVICE_USER, gids=extra) if service.exists else service
    return Account.current()


def _health(instance: str, root: Path) -> tuple[Health | None, str]:
    """What the gateway of this name wrote last, a service's or one's own; and why it does not read."""
    own = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    user = os.environ.get("XDG_RUNTIME_DIR", "")
    places = [Path(own)] if own else []
    places += [Path(user) / "echostream"] if user else []
    places += [root / "tmp" / f"echostream-{os.geteuid()}"]
    found = [find_health(instance, place, root / "run/echostream") for place in places]
    paths = {path.stat().st_mtime_ns: path for path in found if path is not None and path.exists()}
    if not paths:
        return None, ""
    try:
        return read_health(paths[max(paths)]), ""
    except HealthError as error:
        return None, str(error)


def _usual(instance: str, root: Path) -> Path | None:
    file = "config.json" if instance == "echostream" else f"{instance}.json"
    usual = (Path(file), root / INSTALLED.relative_to("/") / file)
    return next((path for path in usual if path.exists()), None)


def _credentials_of_the_service(root: Path) -> None:
    """systemd hands them to the service alone; root finds them where systemd does."""
    folder = root / CREDENTIALS.relative_to("/")
    if not os.environ.get(CREDENTIALS_DIRECTORY) and os.access(folder, os.R_OK | os.X_OK):
        os.environ[CREDENTIALS_DIRECTORY] = str(folder)
