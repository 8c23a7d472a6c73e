"""One figure of a benchmark, and the table of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`goal`: in words. `met`: None where there is no goal, or no figure could be taken (`note` says why)."""

    bench: str
    what: str
    figure: str
    goal: str = ""
    met: bool | None = None
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def skipped(bench: str, what: str, why: str) -> Row:
    """A figure that cannot be taken here."""
    return Row(bench, what, "-", note=f"skipped: {why}")


def percentile(values: list[float], share: float) -> float:
    """The value that `share` (0 to 1) of all are at or below; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
