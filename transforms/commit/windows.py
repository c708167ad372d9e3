"""Aggregate rows of a commit: the run's panes where they are the whole truth, else recomputed."""

from __future__ import annotations
