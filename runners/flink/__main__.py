"""`python -m runners.flink run FOLDER --stream` is `penstock` with `--runner flink`."""

import sys

from beam_pipelines.cli import main

sys.exit(main(runner="flink"))
