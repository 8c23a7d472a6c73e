"""One thread that handles every event in order."""
