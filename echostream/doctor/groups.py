"""The groups of checks, in the order in which they are told, and their titles."""

from __future__ import annotations

from typing import Final

TITLES: Final = {
    "software": "Software",
    "permissions": "Users, groups and devices",
    "cards": "Sound cards",
    "gpio": "GPIO",
    "clock": "Clock",
    "board": "Board: heat and power",
    "cpu": "Processor and memory",
    "disk": "Disk",
    "network": "Network and control server",
    "mqtt": "MQTT broker",
    "s3": "Bucket",
    "certificates": "Certificates",
    "configuration": "Configuration",
    "service": "Service",
    "realtime": "Real time",
}
GROUPS: Final = tuple(TITLES)
