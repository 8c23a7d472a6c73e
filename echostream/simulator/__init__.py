"""What a person without hardware runs, and what the tests run on."""
