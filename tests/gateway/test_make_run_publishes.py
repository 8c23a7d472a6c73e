"""What `make run` promises: a simulated page is heard, recorded, published, uploaded, and printed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mosquitto
import pytest
from publisher_site import PAGE

ROOT = Path(__file__).parents[2]
WITHIN_S = 60.0

pytestmark = pytest.mark.skipif(
    mosquitto.binary() is None and "CI" not in os.environ,
    reason="no mosquitto here: `make` says why it could not install it",
)


class Run:
    """`echostream run --simulate missing` with a configuration that names neither a broker nor a bucket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        document = {
            "gateway": {"id": "station-7", "affiliation_id": "s7"},
            "control_server": {"url": "ws://192.0.2.1:9"},
            "channels": [{"id": "dispatch", "card": "nobody-has-this"}],
            "tones": {"dispatch": {"alert_tones": [PAGE]}},
        }
        (folder / "config.json").write_text(json.dumps(document))
        command = [sys.executable, "-m", "echostream", "run", "--config", str(folder / "config.json")]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--simulate", "missing", "--no-live", "--summary", str(folder / "out.json")],
                env={**os.environ, "RUNTIME_DIRECTORY": str(folder)},
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        deadline_s = time.monotonic() + WITHIN_S
        while (found := re.search(pattern, self.log())) is None:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline_s, f"{pattern}:\n{self.log()}"
            time.sleep(0.05)
        return found


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    if run.process.poll() is None:
        run.process.kill()
        run.process.wait()


def test_a_simulated_page_comes_out_at_a_subscriber_and_in_a_bucket(run: Run) -> None:
    run.wait_for(r"subscriber: echostream/station-7/status online")
    run.wait_for(r"Page heard on dispatch: Engine 7")
    page = run.wait_for(r"subscriber: from/device/station-7/tone_detection (.*)")
    assert '"event_type":"defined_tones_detected"' in page[1]
    run.wait_for(r"subscriber: echostream/station-7/channel/dispatch/event/recording .*")
    run.wait_for(r"subscriber: echostream/station-7/channel/dispatch/event/upload .*")
    (bucket,) = run.folder.glob("bucket-*")
    uploaded = [path for path in (bucket / "recordings").rglob("*.flac") if path.is_file()]
    assert any(path.name.endswith("_dispatch_engine-7.flac") for path in uploaded)
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(20) == 0
    assert "subscriber: echostream/station-7/status offline" in run.log()
    told = json.loads((run.folder / "out.json").read_text())["publishers"]
    assert told["s3"]["sent"] >= 1
    assert told["mqtt"]["sent"] > 3
    assert "Traceback" not in run.log()
    assert not list(bucket.glob(".keys/*"))
