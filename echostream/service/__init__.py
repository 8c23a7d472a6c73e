"""What systemd is told, and what of the gateway is watched: ready, alive, healthy."""
