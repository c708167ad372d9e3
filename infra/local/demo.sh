#!/usr/bin/env bash
# The worked example from nothing: real data, one run, what to look at next.
set -euo pipefail
cd "$(dirname "$0")/../.."

.venv/bin/python -m beam_pipelines.flights.fetch
.venv/bin/penstock run beam_pipelines/flights

out=beam_pipelines/flights/out
cat <<END

Look at it:
  the rows      .venv/bin/python -c "import duckdb; duckdb.connect('$out/warehouse.duckdb', read_only=True).sql('FROM analytics.departures_daily ORDER BY window_start, origin LIMIT 9').show()"
  the contract  beam_pipelines/flights/contract.odcs.yaml
  the pipeline  beam_pipelines/flights/pipeline.yaml
  the lake      $out/lake (Iceberg, any engine reads it)
  run it again  .venv/bin/penstock run beam_pipelines/flights   (nothing changes, and it says so)
  your own      docs/README.md
END
