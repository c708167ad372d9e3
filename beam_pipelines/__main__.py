"""`python -m beam_pipelines` is `penstock`."""

import sys

from beam_pipelines.cli import main

sys.exit(main())
