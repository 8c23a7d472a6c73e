"""Group `permissions`: what the gateway's own user may do, whoever runs the doctor."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from echostream.config.models import Config
from echostream.doctor.account import ENTER, READ, SERVICE_USER, WRITE, Account, group_number
from echostream.doctor.disk import places
from echostream.doctor.gpio import uses
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.hardware.cm108_hid import find_hidraw

USER: Final = Kind("permissions.user", Level.OK, "user {user}, in the groups {groups}")
NO_USER: Final = Kind(
    "permissions.no_user",
    Level.FAILURE,
    "there is no user {user}",
    "systemd-sysusers makes it: sudo make install, or apt install --reinstall ./echostream_*.deb",
)
ROOT: Final = Kind(
    "permissions.root",
    Level.NOTE,
    "seen as root, who may do everything; the service runs as {user}, which is not installed here",
)
GROUP: Final = Kind(
    "permissions.group",
    Level.WARNING,
    "user {user} is not in the group {group}, which {what} belong to",
    "sudo usermod -aG {group} {user}, then restart the service or log in again",
)
DEVICE: Final = Kind(
    "permissions.device",
    Level.FAILURE,
    "user {user} may not open it (it is {owner}, {mode})",
    "sudo usermod -aG {group} {user}, then restart the service or log in again",
)
DEVICES: Final = Kind("permissions.devices", Level.OK, "user {user} may open {count} {what}")
NO_RULE: Final = Kind(
    "permissions.no_rule",
    Level.WARNING,
    "no udev rule of EchoStream is installed, so only root may use the lines of CM108-type cards",
    "sudo make install (or the package) installs it; then plug the card in again",
)
FOLDER: Final = Kind(
    "permissions.folder",
    Level.FAILURE,
    "user {user} may not write into {path}",
    "sudo install -d -o {user} -g {user} -m 750 {path}",
)
FOLDERS: Final = Kind("permissions.folders", Level.OK, "user {user} may write into {paths}")
FOREIGN: Final = Kind(
    "permissions.foreign",
    Level.WARNING,
    "{count} files and folders in {path} may not be written by user {user}, such as {example}",
    "sudo chown -R {user}: {path} (something was run there as another user)",
)
CONFIG: Final = Kind(
    "permissions.config",
    Level.FAILURE,
    "user {user} may not read it (mode {mode})",
    "sudo chown root:{user} {path} && sudo chmod 640 {path}",
)
CONFIG_OPEN: Final = Kind(
    "permissions.config_open",
    Level.WARNING,
    "everybody on this machine may write it (mode {mode})",
    "sudo chmod 640 {path}",
)
CREDENTIALS_OPEN: Final = Kind(
    "permissions.credentials_open",
    Level.WARNING,
    "others than root may read credentials (mode {mode})",
    "sudo chmod {wanted} {path}",
)
CREDENTIALS: Final = Kind("permissions.credentials", Level.OK, "only root may read the credentials ({count})")
MOST_LOOKED_AT: Final = 2000
RULE_NAME: Final = "60-echostream.rules"
RULE_FOLDERS: Final = ("/etc/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d")
CREDENTIALS_FOLDER: Final = "/etc/echostream/credentials"


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [
        Check("permissions", "user", _user),
        Check("permissions", "sound", _sound),
        Check("permissions", "gpio", _gpio),
        Check("permissions", "cm108", _cm108),
        Check("permissions", "folders", _folders),
        Check("permissions", "files", _files, slow=True),
        Check("permissions", "configuration", _configuration),
        Check("permissions", "credentials", _credentials),
    ]


def _user(world: World) -> list[Finding]:
    account = world.account
    if not account.exists:
        return [NO_USER.at(user=account.name)]
    if account.uid == 0:
        return [ROOT.at(user=SERVICE_USER)]
    findings = [USER.at(user=account.name, groups=", ".join(account.groups.values()))]
    pins = world.config is not None and any(True for _ in uses(world.config))
    wanted = [("audio", "the sound cards"), *([("gpio", "the GPIO chips")] if pins else [])]
    for group, what in wanted:
        number = group_number(world.root, group)
        if number is not None and number not in account.groups:
            findings.append(GROUP.at(user=account.name, group=group, what=what))
    return findings


def _sound(world: World) -> list[Finding]:
    nodes = [*world.glob("/dev/snd/pcm*"), *world.glob("/dev/snd/control*")]
    return _nodes(nodes, "sound devices", "audio", world)


def _gpio(world: World) -> list[Finding]:
    if world.config is None or not any(True for _ in uses(world.config)):
        return []
    return _nodes(world.glob("/dev/gpiochip*"), "GPIO chips", "gpio", world)


def _cm108(world: World) -> list[Finding]:
    """The HID lines that a channel keys by, or hears the squelch from."""
    wanted = cm108_cards(world.config) if world.config is not None else []
    findings: list[Finding] = []
    if not wanted:
        return findings
    if not any(world.path(f"{folder}/{RULE_NAME}").exists() for folder in RULE_FOLDERS):
        findings.append(NO_RULE.at("udev"))
    nodes = []
    for card in wanted:
        try:
            nodes.append(world.path(find_hidraw(card, str(world.path("/sys")))))
        except OSError:
            continue  # that card is not there, or has no lines: `cards` and the gateway say so
    return findings + _nodes(nodes, "CM108 lines", "audio", world)


def cm108_cards(config: Config) -> list[str]:
    """Cards whose own lines are used."""
    return [
        channel.card
        for channel in config.channels
        if channel.enabled
        and (
            (channel.key is not None and channel.key.cm108) or (channel.cos is not None and channel.cos.cm108)
        )
    ]


def _nodes(nodes: list[Path], what: str, group: str, world: World) -> list[Finding]:
    account = world.account
    if not account.exists:
        return []
    refused = [node for node in nodes if node.exists() and not world.may(node, READ | WRITE)]
    findings = [_refused(node, account, group, world) for node in refused]
    good = len(nodes) - len(refused)
    if good:
        findings.insert(0, DEVICES.at(user=account.name, count=good, what=what))
    return findings


def _refused(node: Path, account: Account, group: str, world: World) -> Finding:
    info = node.stat()
    known = read_group(world, info.st_gid)
    place = f"/{node.relative_to(world.root)}"
    owner = f"{info.st_uid}:{known or info.st_gid}"
    mode = stat.filemode(info.st_mode)
    useful = known if known and known != "root" else group
    return DEVICE.at(place, user=account.name, owner=owner, mode=mode, group=useful)


def read_group(world: World, number: int) -> str:
    """Its name, "" where it has none."""
    for line in world.text("/etc/group").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(number):
            return fields[0]
    return ""


def _folders(world: World) -> list[Finding]:
    account = world.account
    good, findings = [], []
    for path, setting in places(world).items():
        there = world.path(path)
        while not there.exists() and there != there.parent:
            there = there.parent  # the gateway makes it, where it may
        if world.may(there, READ | WRITE | ENTER):
            good.append(str(path))
        elif account.exists:
            findings.append(FOLDER.at(setting, user=account.name, path=path))
    return [*([FOLDERS.at(user=account.name, paths=", ".join(good))] if good else []), *findings]


def _files(world: World) -> list[Finding]:
    """What somebody else made where the gateway writes."""
    findings = []
    if not world.account.exists or world.account.uid == 0:
        return []
    for path in places(world):
        top = world.path(path)
        if not world.may(top, ENTER):
            continue  # told above
        wrong = [one for one in _below(top) if _foreign(one, world)]
        if wrong:
            example = wrong[0].relative_to(top)
            findings.append(
                FOREIGN.at(str(path), count=len(wrong), path=path, user=world.account.name, example=example)
            )
    return findings


def _foreign(path: Path, world: World) -> bool:
    """Of somebody else, and not to be written: what is our own and read-only was made so."""
    try:
        return path.stat().st_uid != world.account.uid and not world.may(path, WRITE)
    except OSError:
        return False  # it has just been deleted


def _below(top: Path) -> list[Path]:
    """What is in a folder, the nearest first, and not more than so much of it."""
    found: list[Path] = []
    folders = [top]
    while folders and len(found) < MOST_LOOKED_AT:
        try:
            entries = sorted(os.scandir(folders.pop(0)), key=lambda entry: entry.name)
        except OSError:
            continue
        found += [Path(entry.path) for entry in entries if not entry.is_symlink()]
        folders += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return found[:MOST_LOOKED_AT]


def _configuration(world: World) -> list[Finding]:
    path = world.config_path
    if path is None:
        return []
    mode = stat.S_IMODE(path.stat().st_mode)
    findings = []
    if world.account.exists and not world.may(path, READ):
        findings.append(CONFIG.at(str(path), user=world.account.name, path=path, mode=f"{mode:04o}"))
    if mode & stat.S_IWOTH:
        findings.append(CONFIG_OPEN.at(str(path), path=path, mode=f"{mode:04o}"))
    return findings


def _credentials(world: World) -> list[Finding]:
    folder = world.path(CREDENTIALS_FOLDER)
    if not folder.exists():
        return []
    findings = []
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        findings.append(_open(CREDENTIALS_FOLDER, mode, "700"))
    if not os.access(folder, os.R_OK | os.X_OK):
        return findings
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    for path in files:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            findings.append(_open(f"{CREDENTIALS_FOLDER}/{path.name}", mode, "600"))
    return findings or [CREDENTIALS.at(count=len(files))]


def _open(path: str, mode: int, wanted: str) -> Finding:
    return CREDENTIALS_OPEN.at(path, mode=f"{mode:04o}", wanted=wanted, path=path)
