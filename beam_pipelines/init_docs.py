"""Documents of a new pipeline."""

from __future__ import annotations


def documents(plan, proposal, lookups):
    return {}
