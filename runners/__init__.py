"""Where a pipeline runs: one module a runner."""
