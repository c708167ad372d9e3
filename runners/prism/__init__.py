"""Prism, Beam's local streaming runner: streams on this machine, their workers in this process."""

from typing import Final

CAN: Final = frozenset({"stream", "drain"})
