"""Beam Python workers that a cluster starts itself, as plain processes."""

from pathlib import Path
from typing import Final

COMMAND: Final = Path(__file__).parent / "boot"
"""What the cluster executes for a worker (`--environment_type=PROCESS`)."""
