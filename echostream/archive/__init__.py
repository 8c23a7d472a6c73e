"""What was heard, on disk: WAV files that are whole whenever the power goes, and who writes them."""
