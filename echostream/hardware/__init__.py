"""Sound cards, GPIO and HID lines; for each a mock that keeps the same contract."""
