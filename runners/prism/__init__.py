"""Prism, Beam's local streaming runner: streams on this machine, their workers in this process."""

from typing import Final

CAN: Final = frozenset({"stream", "drain"})

# A bundle without progress for 0.1 s is split, one of a stateful step, too: then two bundles of
# a key work at once, and what one writes to its state is lost.
UNSPLIT: Final = "--experiments=prism_disable_sdf_split"
