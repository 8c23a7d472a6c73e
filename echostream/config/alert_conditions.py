"""What each condition of an alert looks at: its unit, and the limits that hold where a rule sets none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """One condition.

    unit: of `threshold` and `clear`; "" where there is nothing to set. threshold, clear, for_s: where a rule
    sets none. below: it is raised at the threshold or *less*. event: something that happens, rather than
    something that lasts: it is never over, and for_s is how long the same is not told again. calm_s: how long
    it must have been over before that is told. sources: what a rule's `sources` name here; "" where it has
    none.
    """

    unit: str = ""
    threshold: float = 1.0
    clear: float = 0.0
    for_s: float = 0.0
    below: bool = False
    event: bool = False
    calm_s: float = 5.0
    sources: str = ""

    def cleared_at(self, threshold: float) -> float:
        """The value at which it is over, where a rule sets its own threshold only: as far away in proportion
        as the condition's own."""
        if not math.isfinite(self.threshold) or self.threshold == 0.0:
            return self.clear
        return threshold * self.clear / self.threshold


BOTH: Final = "channels and devices"
LIMITS: Final[dict[str, Limits]] = {
    "page": Limits(unit="priority", threshold=0.0, for_s=10.0, event=True, sources="tones"),
    "device_gone": Limits(for_s=30.0, calm_s=10.0, sources="devices"),
    "card_gone": Limits(for_s=5.0, sources="channels"),
    "silence": Limits(unit="s", threshold=600.0, clear=10.0, sources=BOTH),
    "stuck_open": Limits(unit="s", threshold=math.inf, clear=0.0, calm_s=2.0, sources="channels"),
    "clipping": Limits(unit="%", threshold=1.0, clear=0.2, calm_s=15.0, sources=BOTH),
    "clock": Limits(unit="ms", threshold=5000.0, clear=2500.0, for_s=60.0),
    "drift": Limits(unit="ppm", threshold=250.0, clear=200.0, for_s=60.0, calm_s=60.0, sources=BOTH),
    "upload_lag": Limits(unit="s", threshold=3600.0, clear=600.0),
    "disk": Limits(unit="h", threshold=24.0, clear=48.0, for_s=60.0, below=True, calm_s=60.0),
    "temperature": Limits(unit="°C", threshold=80.0, clear=75.0, for_s=10.0, calm_s=30.0),
    "under_voltage": Limits(calm_s=60.0),
    "server_gone": Limits(for_s=30.0),
    "broker_gone": Limits(for_s=30.0),
    "recordings_at_risk": Limits(for_s=3600.0, event=True),
    "worker_failed": Limits(for_s=600.0, event=True),
}
"""By the name that a rule's `on` has."""
