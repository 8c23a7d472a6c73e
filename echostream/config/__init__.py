"""What the gateway is told to be: frozen models, every error at once, secrets never printed."""
