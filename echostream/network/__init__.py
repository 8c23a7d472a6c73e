"""Threads that own sockets: signalling and media."""
