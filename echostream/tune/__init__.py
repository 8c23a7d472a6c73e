"""Levels, seen and set."""
