"""Where rows come from, in Markdown."""

from __future__ import annotations

from beam_pipelines.documents.escaping import code
from schemas.durations import format_duration
from schemas.plan import FileSource
from schemas.references import public
from schemas.stream_source import StreamFace


def files(source: FileSource) -> str:
    """Say in Markdown where files are and how they are read."""
    told = [source.format]
    if source.format == "csv" and source.delimiter != ",":
        told.append(f"delimiter {code(source.delimiter)}")
    if source.skip:
        lines = "1 line" if source.skip == 1 else f"{source.skip} lines"
        told.append(f"{lines} before the header passed over")
    nulls = [text for text in source.nulls if text]
    if source.format == "csv" and nulls:
        told.append(f"null is nothing or {' or '.join(map(code, nulls))}")
    if source.compression not in ("auto", "none"):
        told.append(source.compression)
    return f"{code(public(source.path))} ({', '.join(told)})"


def topics(face: StreamFace) -> str:
    """Say in Markdown which topics are read, and what is promised of their times."""
    kafka = face.kafka
    names = ", ".join(map(code, kafka.topics))
    which = names if kafka.pattern is None else f"topics like {code(kafka.pattern)}"
    idle = "never" if face.idle_us is None else f"after {format_duration(face.idle_us)} of silence"
    return (
        f"Kafka {which} on {code(kafka.brokers)} ({kafka.format}), up to "
        f"{format_duration(face.disorder_us)} out of order; a partition is idle {idle}; a row more "
        f"than {format_duration(face.max_future_us)} ahead of its arrival is refused"
    )
