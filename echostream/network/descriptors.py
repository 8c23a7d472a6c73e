"""How many files and sockets this process may have open."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)


def allow_descriptors(wanted: int) -> int:
    """Raise the soft limit to `wanted` as far as the hard one lets; never lower it. Returns what holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and wanted > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            log.warning("this process keeps its limit of %d open files: %s", soft, error)
            return soft
        return wanted
    return soft
