"""EchoStream: a gateway that puts radios and microphones on encrypted voice channels."""

import os

__version__ = "0.1.0"

# Before numpy is imported anywhere: its products here are far too small for a pool of threads, and the pool's
# spinning costs more than it gives on four cores that also run the audio.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
