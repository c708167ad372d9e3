"""Rows shaped like a sample: what is learnt of its columns, and columns made up by that."""
