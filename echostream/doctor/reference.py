"""Renders docs/doctor.md: `python -m echostream.doctor.reference > docs/doctor.md`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final

from echostream.doctor.catalogue import kinds
from echostream.doctor.groups import GROUPS, LOOKS_AT, TITLES
from echostream.doctor.model import Kind, Level
from echostream.doctor.running import BROKE, LATE

INTRODUCTION: Final = """\
# echostream doctor

<!-- Made by `python -m echostream.doctor.reference > docs/doctor.md`: change the checks, not this. -->

`echostream doctor` looks for whatever can be wrong on a gateway, and says what helps.

```
sudo echostream doctor                              everything, about ten seconds
sudo echostream doctor --only cards --only gpio     only these groups
echostream doctor --config config.json --quick      nothing that takes long, or writes
sudo echostream doctor --json                       for machines
```

Each line is one of

| level | meaning | exit code |
|---|---|---|
| ok | it was looked at and is fine | 0 |
| note | worth knowing; nothing needs to be done | 0 |
| WARNING | it works, but not for ever, or not as well as it could | 0 |
| FAILURE | it does not work | 1 |

With 2 the call is wrong, or the file that `--config` names is not there. All checks run side by side, each
within its time; one that breaks or gets no answer is a finding itself, and the others still hold. Nothing on
this machine is changed; for a moment a small file is written where the gateway writes (`--quick` does not).
Towards the network the doctor does what the gateway does, and says below what that is.

Without `sudo` it cannot read the credentials, and says so; the rest holds. Which configuration is looked at
stands on the first line: `--config`, else `./config.json`, else `/etc/echostream/config.json`; with
`--instance NAME` `/etc/echostream/NAME.json`.

`--json` is one object: `form` (1), `version`, `at_us`, `config`, `user`, `exit_code`, `counts` by level,
`findings`, each with `group`, `check`, `code`, `level`, `place`, `found`, `remedy` and `data` (what was
measured), and `checks` with how long each took. A code keeps its meaning; new ones may come.

In the tables words in capitals stand for what is told at that place.
"""
_FIELD: Final = re.compile(r"\{(\w+)(?:![rs])?(?::[^}]*)?\}")
_ORDER: Final = (Level.FAILURE, Level.WARNING, Level.NOTE, Level.OK)
_SAID: Final = "said with the finding"


def render() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for group in GROUPS:
        parts.append(f"\n## {TITLES[group]} (`{group}`)\n\n{LOOKS_AT[group]}\n\n")
        parts.append("\n".join(_table(list(kinds(group)))) + "\n")
    parts.append("\n## The doctor itself\n\n")
    parts.append("\n".join(_table([BROKE, LATE])) + "\n")
    return "".join(parts)


def _table(rows: list[Kind]) -> Iterator[str]:
    yield "| code | level | what is found | what helps |"
    yield "|---|---|---|---|"
    for kind in sorted(rows, key=lambda kind: _ORDER.index(kind.level)):
        sign = str(kind.level).upper() if kind.level in (Level.FAILURE, Level.WARNING) else str(kind.level)
        yield f"| `{kind.code}` | {sign} | {_cell(kind.found)} | {_cell(kind.remedy)} |"


def _cell(text: str) -> str:
    """Fields in capitals; a text that is nothing but a field is said with the finding."""
    if _FIELD.fullmatch(text):
        return _SAID
    told = _FIELD.sub(lambda match: match[1].upper(), text)
    return " ".join(told.replace("|", "\\|").split())


if __name__ == "__main__":
    sys.stdout.write(render())
