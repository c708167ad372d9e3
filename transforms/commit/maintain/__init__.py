"""Upkeep of the lake: small files put together, what nobody needs any more deleted."""
