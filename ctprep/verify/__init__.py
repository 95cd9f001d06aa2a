"""A store read again, byte by byte, and brought back."""
