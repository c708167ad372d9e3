"""Where rows come from: files (later Kafka, CDC, HTTP)."""
