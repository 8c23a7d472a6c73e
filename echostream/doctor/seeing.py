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
from echostream.doctor.world import World, read_health
from echostream.errors import EchoStreamError

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
    health_path = find_health(instance, root)
    return World(
        root=root,
        config_path=path,
        loaded=loaded,
        refused=refused,
        account=account_of(path, root),
        instance=instance,
        health=read_health(health_path) if health_path is not None else {},
        health_path=health_path,
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


def find_health(instance: str, root: Path) -> Path | None:
    """The newest that a gateway of this name wrote on this machine."""
    name = f"{instance}.health.json"
    folders = [root / "run/echostream", root / "run/echostream" / instance]
    own = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or os.environ.get("XDG_RUNTIME_DIR", "")
    folders += [Path(own), Path(own) / "echostream"] if own else []
    folders += [*root.glob("run/user/*/echostream"), *root.glob("tmp/echostream-*")]
    dated = []
    for folder in folders:
        try:
            dated.append(((folder / name).stat().st_mtime, folder / name))
        except OSError:
            continue
    return max(dated)[1] if dated else None


def _usual(instance: str, root: Path) -> Path | None:
    file = "config.json" if instance == "echostream" else f"{instance}.json"
    usual = (Path(file), root / INSTALLED.relative_to("/") / file)
    return next((path for path in usual if path.exists()), None)


def _credentials_of_the_service(root: Path) -> None:
    """systemd hands them to the service alone; root finds them where systemd does."""
    folder = root / CREDENTIALS.relative_to("/")
    if not os.environ.get(CREDENTIALS_DIRECTORY) and os.access(folder, os.R_OK | os.X_OK):
        os.environ[CREDENTIALS_DIRECTORY] = str(folder)
