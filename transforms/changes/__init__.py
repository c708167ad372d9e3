"""Changes of the records against their contract: seen, met as it says, and kept for `evolve`."""
