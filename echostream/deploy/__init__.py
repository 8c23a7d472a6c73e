"""Versions side by side on one machine: installed, tried, gone back from; backup and restore."""
