"""How good the ear is: `make bench-tones`."""
