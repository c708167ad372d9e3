"""Windowed measures that do not depend on the order of rows."""
