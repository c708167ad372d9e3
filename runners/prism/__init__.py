"""Prism, Beam's local streaming runner: streams on this machine, their workers in this process."""

from typing import Final

CAN: Final = frozenset({"stream", "drain"})

# Prism splits a bundle that is slow, one of a stateful step, too, and gives the rest to another
# worker at once: two bundles of one key then overwrite each other's state.
WHOLE_BUNDLES: Final = "--experiments=prism_disable_sdf_split"
