"""Bytes to typed record batches; what cannot be decoded is refused by record."""
