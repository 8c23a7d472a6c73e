"""The house keeps its plan: who may import whom, what pure rooms may touch, how large a piece may grow."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "echostream"

# A room is a folder of echostream/, or a module at its top. Each may import itself, and what is named here.
GROUND = {"errors", "events"}
PURE = GROUND | {"audio", "wire", "tones"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "events": {"errors", "tones"},
    "signals": set(),
    "audio": {"errors"},
    "wire": GROUND | {"audio"},
    "tones": {"errors", "audio"},
    "config": GROUND | {"audio", "tones"},
    "coordinator": GROUND | {"realtime"},
    "hardware": GROUND | {"audio", "realtime"},
    "network": GROUND | {"audio", "wire", "config", "coordinator"},
    "archive": GROUND | {"audio", "config", "coordinator"},
    "notices": GROUND | {"config", "tones"},
    "spool": {"errors"},
    "vitals": GROUND | {"audio", "config", "coordinator", "archive"},
    "event_log": GROUND | {"config", "coordinator", "notices", "archive", "index", "vitals"},
    "mqtt": GROUND | {"config", "coordinator", "network", "notices", "spool", "vitals"},
    "uploads": GROUND | {"config", "coordinator", "archive", "index", "notices", "vitals"},
    "alerts": GROUND | {"config", "coordinator", "notices", "spool", "vitals"},
    "reports": GROUND
    | {"config", "coordinator", "notices", "event_log", "archive", "index", "vitals"}
    | {"archive_tools", "console"},
    "publishers": GROUND
    | {"config", "coordinator", "notices", "event_log", "mqtt", "uploads", "alerts", "reports", "vitals"},
    "index": GROUND | {"audio", "config", "coordinator", "archive"},
    "channels": PURE | {"config", "coordinator", "archive", "realtime"},
    "instance": {"errors"},
    "service": {"errors"},
    "realtime": {"errors"},
    "deploy": {"errors", "config", "service", "instance", "event_log"},
    "gateway_health": PURE
    | {
        "config",
        "channels",
        "coordinator",
        "gateway",
        "vitals",
        "service",
        "realtime",
        "hardware",
        "microphones",
        "record_room",
    },
    "doctor": PURE
    | {"config", "console", "hardware", "network", "vitals", "service", "realtime", "deploy", "instance"}
    | {"archive", "index", "mqtt", "uploads", "board", "gateway_secrets", "notices"},
    "selftest": PURE
    | {"config", "console", "hardware", "board", "simulator", "realtime", "network", "instance"}
    | {"gateway", "service"},
    "tune": PURE | {"config", "console", "hardware", "board", "simulator", "selftest", "instance", "service"},
    "microphones": PURE | {"config", "coordinator", "channels", "network", "archive"},
    "record_room": GROUND | {"config", "coordinator", "archive", "index"},
    "gateway": PURE
    | {"config", "coordinator", "channels", "network", "archive", "index", "microphones", "record_room"}
    | {"realtime"},
    "console": PURE
    | {
        "vitals",
        "config",
        "channels",
        "hardware",
        "gateway",
        "network",
        "archive",
        "index",
        "microphones",
        "record_room",
        "service",
        "realtime",
    },
    "board": PURE | {"config", "channels", "coordinator", "hardware"},
    "gateway_secrets": GROUND | {"config", "gateway", "publishers", "wire"},
    "gateway_vitals": PURE
    | {"config", "channels", "network", "archive", "gateway", "vitals", "microphones", "record_room"},
    "event_tools": GROUND
    | {"config", "console", "archive", "index", "notices", "event_log", "reports", "alerts"}
    | {"archive_tools"},
    "tone_tools": PURE | {"config", "console"},
    "archive_tools": PURE | {"config", "console", "archive", "index", "uploads", "event_log", "notices"},
    "simulator": PURE
    | {"config", "coordinator", "channels", "network", "hardware", "console", "gateway", "board"}
    | {"archive", "index", "instance", "signals", "tone_tools", "mqtt", "uploads"},
}
ONLY = {
    ("event_tools", "archive_tools"): {  # times and places as every command has them
        "echostream.archive_tools.options",
        "echostream.archive_tools.place",
        "echostream.archive_tools.times",
    },
    ("reports", "archive_tools"): {"echostream.archive_tools.times", "echostream.archive_tools.sizes"},
    ("reports", "console"): {"echostream.console.tables"},
    ("events", "tones"): {"echostream.tones.heard"},  # what an event carries
    ("config", "audio"): {"echostream.audio.format"},  # the frame lengths that there are
    ("wire", "audio"): {"echostream.audio.format", "echostream.audio.sample_forms"},  # tick, sample
    ("config", "tones"): {"echostream.tones.plan", "echostream.tones.tables"},  # what a plan becomes
}
TOPS = {"main", "cli", "relay_worker", "__main__", "__init__"}  # they may import every room
TOP_ORDER = {
    "main": set[str](),
    "relay_worker": set[str](),
    "__init__": set[str](),
    "cli": {"main"},
    "__main__": {"cli"},
}

PURE_ROOMS = {"audio", "wire", "tones"}
PURE_LIBRARIES = {"numpy", "cryptography", "opuslib"}
# No thread, no socket, no file, no clock: `now` is an argument.
IMPURE_STANDARD = {
    *("threading", "queue", "concurrent", "multiprocessing", "asyncio", "subprocess", "signal", "_thread"),
    *("socket", "select", "selectors", "ssl", "urllib", "http"),
    *("os", "io", "pathlib", "shutil", "tempfile", "time", "datetime", "logging", "sys", "importlib"),
}
# A driver has a door, so that everything else runs without it.
DOORS = {
    "lgpio": {"echostream/hardware/gpio.py"},
    "pyaudio": {"echostream/hardware/audio_portaudio.py"},
    "soundfile": {"echostream/tone_tools/sound_library.py", "echostream/archive/sound_library.py"},
    "matplotlib": {
        "echostream/tone_tools/plot.py",
        "echostream/archive_tools/plot.py",
        "echostream/reports/plot.py",
        "echostream/selftest/plot.py",
    },
    "zeroconf": {"echostream/network/announcement.py"},
}
ONE_ROOM = {
    "websocket": "network",
    "websockets": "simulator",
    "opuslib": "audio",
    "cryptography": "wire",
    "pydantic_core": "config",
    "rich": "console",
    "sqlalchemy": "index",
    "alembic": "index",
    "paho": "mqtt",
    "boto3": "uploads",
    "botocore": "uploads",
    "apprise": "alerts",
}

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 450
LONGER: dict[str, str] = {}
"""`path` or `path:function` that is longer, with the reason why it is better whole."""

MAY_PRINT = {
    "echostream/cli.py": "the command line is what prints",
    "echostream/console/": "what a person reads on a terminal",
    "echostream/simulator/member_commands.py": "the commands talk, listen and answer",
}


@dataclass(frozen=True, slots=True)
class Import:
    """`module` as written in full; `line` in the file."""

    module: str
    line: int


@dataclass(frozen=True)
class Source:
    """One file of the package, parsed."""

    path: Path
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.relative_to(REPOSITORY).as_posix()

    @property
    def module(self) -> str:
        parts = self.path.relative_to(REPOSITORY).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def room(self) -> str:
        return self.path.relative_to(PACKAGE).with_suffix("").parts[0]

    def imports(self, run_time: bool = False) -> Iterator[Import]:
        """What it imports, wherever in the file; `run_time` leaves out what only the type checker reads."""
        skipped = set[int]()
        if run_time:
            for node in ast.walk(self.tree):
                if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                    skipped |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
        for node in ast.walk(self.tree):
            if id(node) in skipped:
                continue
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.module, f"{self.name}:{node.lineno}: a relative import"
                # `from echostream.audio import format` names a module, or a name in one.
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield Import(whole if whole in modules() else node.module, node.lineno)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                yield Import(ast.literal_eval(node.args[0]), node.lineno)


@cache
def sources() -> tuple[Source, ...]:
    return tuple(Source(path, ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("*.py")))


@cache
def modules() -> frozenset[str]:
    return frozenset(source.module for source in sources())


def room_of(module: str) -> str:
    """`echostream.audio.format` -> `audio`; `echostream` itself -> `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and f"echostream.{parts[1]}" in modules() else "__init__"


def in_house(one: Import) -> bool:
    return one.module.split(".")[0] == "echostream"


def top(one: Import) -> str:
    return one.module.split(".")[0]


def say(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(faults)


def test_every_room_is_on_the_plan() -> None:
    say(
        [
            f"{source.name}: the room {source.room!r} is not on the plan (MAY_IMPORT)"
            for source in sources()
            if source.room not in MAY_IMPORT and source.room not in TOPS
        ]
    )


def test_imports_go_one_way() -> None:
    faults = []
    for source in sources():
        for one in filter(in_house, source.imports()):
            room = room_of(one.module)
            if source.room in TOPS:
                allowed = room not in TOPS or room in TOP_ORDER[source.room] | {"__init__"}
            else:
                allowed = room in MAY_IMPORT.get(source.room, set()) | {source.room, "__init__"}
                allowed &= one.module in ONLY.get((source.room, room), {one.module})
            if not allowed:
                faults.append(f"{source.name}:{one.line}: {source.room} may not import {one.module}")
    say(faults)


def test_the_plan_itself_has_no_circle() -> None:
    done = set[str]()
    while len(done) < len(MAY_IMPORT):
        free = {room for room, below in MAY_IMPORT.items() if room not in done and below <= done}
        assert free, f"in a circle: {sorted(set(MAY_IMPORT) - done)}"
        done |= free


def test_no_circle_between_modules() -> None:
    edges = {
        source.module: {one.module for one in source.imports(run_time=True) if one.module in modules()}
        for source in sources()
    }
    done = set[str]()
    while len(done) < len(edges):
        free = {name for name, below in edges.items() if name not in done and below - {name} <= done}
        assert free, f"in a circle, or above one: {sorted(set(edges) - done)}"
        done |= free


def test_pure_rooms_touch_nothing() -> None:
    faults = []
    for source in sources():
        if source.room not in PURE_ROOMS:
            continue
        for one in source.imports():
            standard = top(one) in sys.stdlib_module_names and top(one) not in IMPURE_STANDARD
            if not (standard or in_house(one) or top(one) in PURE_LIBRARIES):
                faults.append(f"{source.name}:{one.line}: a pure room may not import {one.module}")
        for node in calls(source):
            if ast.unparse(node.func) in {"open", "input", "print", "exec", "eval", "__import__"}:
                faults.append(f"{source.name}:{node.lineno}: a pure room may not {ast.unparse(node.func)}")
    say(faults)


def test_no_scipy_in_the_product() -> None:
    found = [source.name for source in sources() if "scipy" in map(top, source.imports())]
    assert not found, f"scipy costs 0.6 s and 90 MB on a Pi: {found}"


@pytest.mark.parametrize("library", [*DOORS, *ONE_ROOM])
def test_a_library_has_its_door(library: str) -> None:
    found = {source.name: source.room for source in sources() if library in map(top, source.imports())}
    if library in DOORS:
        assert set(found) <= DOORS[library]
    else:
        assert set(found.values()) <= {ONE_ROOM[library]}, found


def test_the_control_server_is_imported_by_no_room_that_the_gateway_needs() -> None:
    """A gateway in the field does not load the simulator, nor the simulator's libraries."""
    may = {"simulator", "selftest", "tune", *TOPS}  # what a person starts, beside the gateway
    faults = [
        f"{source.name}:{one.line}: imports {one.module}"
        for source in sources()
        for one in source.imports()
        if source.room not in may and room_of(one.module) == "simulator" and in_house(one)
    ]
    say(faults)


def test_nothing_grows_beyond_a_screen_or_two() -> None:
    sizes = {}
    for source in sources():
        sizes[source.name] = (len(source.path.read_text().splitlines()), MAX_FILE_LINES)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                sizes[f"{source.name}:{node.name}"] = (lines, MAX_FUNCTION_LINES)
    too_long = {name: lines for name, (lines, limit) in sizes.items() if lines > limit}
    say([f"{name}: {lines} lines" for name, lines in too_long.items() if name not in LONGER])
    say([f"{name}: short enough now, take it off LONGER" for name in LONGER if name not in too_long])


def test_print_is_for_the_command_line() -> None:
    faults = []
    for source in sources():
        if any(source.name.startswith(place) for place in MAY_PRINT) or source.path.name == "commands.py":
            continue
        for node in calls(source):
            if isinstance(node.func, ast.Name) and node.func.id == "print":
                faults.append(f"{source.name}:{node.lineno}: print; use the log")
    say(faults)


def test_every_thread_has_a_name() -> None:
    faults = []
    for source in sources():
        for node in calls(source):
            function, place = ast.unparse(node.func), f"{source.name}:{node.lineno}"
            named = any(key.arg == "name" for key in node.keywords)
            if function in {"threading.Thread", "Thread"} and not named:
                faults.append(f"{place}: a thread without a name")
            if function in {"threading.Timer", "Timer"}:
                faults.append(f"{place}: a timer's thread has no name; wait in a thread of your own")
    say(faults)


def test_nothing_sleeps() -> None:
    """A thread waits for an event, so that it can be stopped."""
    say(
        [
            f"{source.name}:{node.lineno}: time.sleep"
            for source in sources()
            for node in calls(source)
            if ast.unparse(node.func) in {"time.sleep", "sleep"}
        ]
    )


def calls(source: Source) -> Iterator[ast.Call]:
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.Call))
