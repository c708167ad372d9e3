"""What data means: contract, pipeline, plan, types and errors. Knows no Beam."""
