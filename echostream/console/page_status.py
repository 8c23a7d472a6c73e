"""A channel's last page and what follows it, in a few words."""

from __future__ import annotations

from echostream.console.snapshot import PagesSnapshot


def page_status(pages: PagesSnapshot) -> str:
    """ "page Engine 7 12 s ago, through to fire-tac: 48 s left, recording"; "" for nothing."""
    parts = [f"page {pages.last_name} {_ago(pages.last_age_s)} ago"] if pages.last_name else []
    if pages.passed_to:
        parts.append(f"through to {pages.passed_to}: {pages.passed_s:.0f} s left")
    if pages.heard_from:
        parts.append(f"hears {pages.heard_from}: {pages.heard_s:.0f} s left")
    if pages.recording:
        parts.append("recording")
    return ", ".join(parts)


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
