"""A voice channel: its state, its transmit and receive path, and the workers that move its frames."""
