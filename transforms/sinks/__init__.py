"""Where rows go: files of the lake, and the warehouses that follow it."""
