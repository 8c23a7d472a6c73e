"""A process that alerts: `python alerting.py FOLDER URL`. It is told of a page by each line of its input, and
says "told" when everybody else hears of the alert. For those who kill it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from echostream.alerts.alerts import Alerts
from echostream.config.alert_models import AlertRule, AlertTarget
from echostream.config.alert_models import Alerts as Settings
from echostream.config.base import Secret
from echostream.config.models import Gateway
from echostream.events import Event
from echostream.notices.notice import Notice, Weight


def main(folder: Path, url: str) -> None:
    settings = Settings(
        enabled=True,
        targets=(AlertTarget(name="chief", url=Secret(env="X")),),
        rules=(AlertRule(name="page", on="page", targets=("chief",), for_s=0),),
    )

    def tell(notice: Notice) -> None:
        sys.stdout.write(f"told {notice.text}\n")
        sys.stdout.flush()

    def post(event: Event) -> None:
        sys.stderr.write(f"{event}\n")

    gateway = Gateway(id="g", affiliation_id="g")
    alerts = Alerts(settings, gateway, {"chief": url}, folder / "alerts.sqlite3", tell, post)
    alerts.start()
    for line in sys.stdin:
        text = f"<{line.strip()}>"
        at_us = round(time.time() * 1e6)
        alerts.take(
            Notice("page", at_us, text, "fire", line.strip(), Weight.ALARM, data={"tone_id": line.strip()})
        )
    alerts.request_stop()
    alerts.join(5.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
