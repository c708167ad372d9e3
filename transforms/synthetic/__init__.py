"""Rows made up to satisfy a contract, and what may be wrong with rows, on purpose."""
