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

LOOKS_AT: Final = {
    "software": "Python, each library in a process of its own, libopus, PortAudio, the system and its "
    "kernel.",
    "permissions": "The service's user, its groups, and what that user may do with devices, folders and "
    "files. With `sudo` it is asked for the user `echostream`, else for who asks.",
    "cards": "Each channel's sound card by the kernel's own lists: is it there, has it both "
    "directions, which rates, who has it open, is there a twin; and its mixer: what is "
    "muted, next to nothing, or gains by itself.",
    "gpio": "The header's chip, who holds each configured line, and what a line does from power-on "
    "until the guard holds it.",
    "clock": "Whether the kernel says that the clock is synchronised, and whether a battery keeps it.",
    "board": "Temperature, fan, and what a Pi's firmware says of its power supply.",
    "cpu": "How the processor is clocked, the load, the memory.",
    "disk": "Space and inodes, read-only or volatile mounts, errors counted by ext4, wear of eMMC, "
    "how long a small write takes until it is on the disk, the size of the system's log.",
    "network": "The way out, each name, the control server (TLS, WebSocket, its offer, a ping), the site's "
    "PostgreSQL where the index is kept there, and the way of the audio: protocol 1 has no echo, so two "
    "members join a channel of their own for three seconds, and what one sends the server copies to the "
    "other. Where the server opens no channel for strangers, name one with `--udp-channel`.",
    "mqtt": "A real connection to the broker as the gateway makes it, under its client id with "
    "`-doctor` behind.",
    "s3": "Lists the bucket, writes a small object `GATEWAY/doctor.txt`, and deletes it.",
    "certificates": "Until when the certificates of control server, broker and bucket hold, and those in "
    "files.",
    "configuration": "What `echostream config check` says, whether each secret that is needed can be read, "
    "and whether the running gateway has read what stands there now.",
    "service": "The units by systemd, what the gateway writes of itself each second, upgrades on trial.",
    "realtime": "How late a thread is woken now, as an ordinary one and under SCHED_FIFO, and how late "
    "the gateway's own audio threads were since their start; audio that was lost.",
}
"""What docs/doctor.md says of each group."""
