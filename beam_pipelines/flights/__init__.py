"""Worked example: a year of real flights."""
