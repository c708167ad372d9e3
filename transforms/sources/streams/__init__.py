"""Sources that never end: one interface, and one splittable DoFn over it."""
