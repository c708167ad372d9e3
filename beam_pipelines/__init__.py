"""What runs: pipelines, and the command line that joins one with a runner."""
