"""Documents of a pipeline, true to its two files: what `penstock docs` and `init` write."""
