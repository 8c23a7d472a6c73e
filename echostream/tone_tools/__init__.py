"""Tones from the command line: hear them in files, learn, make, list, import and draw them."""
