"""Pure wire formats: bytes or JSON in, typed values out, and back."""
