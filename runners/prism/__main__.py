"""`python -m runners.prism run FOLDER --stream` is `penstock` with `--runner prism`."""

import sys

from beam_pipelines.cli import main

sys.exit(main(runner="prism"))
