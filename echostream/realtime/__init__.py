"""Frames on time: scheduling, memory, the garbage collector, and how late wake-ups are."""
