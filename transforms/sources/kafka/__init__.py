"""Kafka as a source of streams; needs the extra `kafka`."""
