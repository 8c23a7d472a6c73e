"""What a person sees: the live view and the log."""
