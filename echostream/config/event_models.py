"""The event log in the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from echostream.config.alert_models import TimeOfDay
from echostream.config.base import FilePath, Section


class Events(Section):
    """The event log, what waits to be published, and the daily report."""

    directory: FilePath = "/var/lib/echostream"
    """Where they are kept: log/ with a file for each day, what waits for the broker and for targets,
    reports/."""
    keep_days: Annotated[float, Field(gt=0, le=36_500)] | None = 730.0
    """Events older than this are deleted; null: never."""
    keep_mb: Annotated[float, Field(ge=10, le=1_000_000)] | None = 2000.0
    """The oldest days are deleted when the log is larger than this, in 10^6 bytes; null: never."""
    report_at: TimeOfDay | None = "06:00"
    """When yesterday's report is written, on the gateway's clock; null: never."""
    keep_reports_days: Annotated[float, Field(gt=0, le=36_500)] | None = 730.0
    """Reports older than this are deleted; null: never."""
