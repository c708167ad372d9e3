"""The ledger of one commit: for each source the ranges done, and what became of their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile

from schemas.names import SOURCE, Destiny
from transforms.commit.bounds import one_source
from transforms.commit.files import read_file
from transforms.commit.ranges import Ranges, missing
from transforms.commit.table_info import TableInfo
from transforms.commit.tables import LEDGER

SOURCE_STEP: Final = "source"
GAP: Final = "gap"
"""The rule of positions that were to be read and are gone."""

_KEYS: Final = (SOURCE, "destiny", "step", "rule")
_COUNTS: Final = pa.schema([*((k, pa.string()) for k in _KEYS), ("rows", pa.int64())])

Counts = dict[tuple[str, str, str], int]
"""(destiny, step, rule) -> rows; `kept` has empty step and rule."""


@dataclass
class FileCounts:
    """Rows of data files by source and rule; each file is opened at most once, if at all."""

    _known: dict[str, pa.Table] = field(default_factory=dict)

    def kept(self, info: TableInfo, files: Sequence[DataFile]) -> pa.Table:
        """Count kept rows by source; opens only files whose bounds do not name a single source."""
        return _summed([_filled(self._kept(info, f), destiny=Destiny.KEPT) for f in files])

    def refused(self, info: TableInfo, files: Sequence[DataFile]) -> pa.Table:
        """Count refused rows by source, step and rule."""
        keys = (SOURCE, "step", "rule")
        parts = [self._counted(info, f, keys) for f in files]
        return _summed([_filled(p, destiny=Destiny.REFUSED) for p in parts])

    def _kept(self, info: TableInfo, file: DataFile) -> pa.Table:
        source = one_source(file, info.schema)
        if source is None:
            return self._counted(info, file, (SOURCE,))
        return pa.table({SOURCE: [source], "rows": [file.record_count]})

    def _counted(self, info: TableInfo, file: DataFile, keys: Sequence[str]) -> pa.Table:
        if file.file_path not in self._known:
            self._known[file.file_path] = _counted(read_file(info, file, keys), keys)
        return self._known[file.file_path]


def count_removed(removed: Counter[tuple[str, str, str, str]]) -> pa.Table:
    """Return the counts of rows taken out by (source, destiny, step, rule) as a table."""
    rows = [dict(zip(_COUNTS.names, (*key, n), strict=True)) for key, n in removed.items()]
    return pa.Table.from_pylist(rows, schema=_COUNTS)


def count_closed(rows: pa.Table) -> pa.Table:
    """Count refused rows that get another destiny: less than nothing."""
    counted = _counted(rows, (SOURCE, "step", "rule"))
    counted = counted.set_column(
        counted.schema.get_field_index("rows"), "rows", pc.negate(counted["rows"])
    )
    return _summed([_filled(counted, destiny=Destiny.REFUSED)])


def by_source(counts: Sequence[pa.Table]) -> dict[str, Counter[str]]:
    """Return source -> destiny -> rows."""
    out: dict[str, Counter[str]] = {}
    for row in pa.concat_tables(counts).to_pylist():
        out.setdefault(row[SOURCE], Counter())[row["destiny"]] += row["rows"]
    return out


def ledger_rows(
    counts: Sequence[pa.Table],
    done: Ranges,
    *,
    seq: int,
    commit_id: str,
    run_id: str,
    at: datetime,
    lost: Ranges | None = None,
    moved: Ranges | None = None,
) -> pa.Table:
    """Return the rows of `_ledger` for one commit; a source without rows has an entry too.

    What is lost of a source has an entry of its own, so that its ranges say what.

    Args:
        counts: By source, destiny, step and rule.
        done: Positions that the commit makes done.
        seq: The commit's sequence number.
        commit_id: Its id.
        run_id: The run that it is of.
        at: When.
        lost: Those of `done` that were to be read and are gone.
        moved: Positions done before, whose rows get another destiny.
    """
    gaps = lost or {}
    counted = pa.concat_tables(counts)
    done = missing(done, gaps)
    silent = sorted(set(done) - set(counted[SOURCE].to_pylist()))
    if silent:
        empty = pa.table({SOURCE: silent, "rows": pa.repeat(pa.scalar(0, pa.int64()), len(silent))})
        counted = pa.concat_tables([counted, _filled(empty, destiny=Destiny.KEPT)])
    counted = pa.concat_tables([counted, _lost(gaps)])
    counted = counted.sort_by([(k, "ascending") for k in _KEYS])
    ranges = [
        [{"start": a, "end": b} for a, b in (gaps if rule == GAP else done).get(s, [])]
        for s, rule in zip(counted[SOURCE].to_pylist(), counted["rule"].to_pylist(), strict=True)
    ]
    moves = [
        [{"start": a, "end": b} for a, b in (moved or {}).get(s, [])]
        for s in counted[SOURCE].to_pylist()
    ]
    same = {"seq": seq, "commit_id": commit_id, "run_id": run_id, "at": at}
    columns = {n: counted[n] for n in _COUNTS.names} | {
        n: pa.repeat(pa.scalar(v, LEDGER.field(n).type), counted.num_rows) for n, v in same.items()
    }
    columns["ranges"] = pa.array(ranges, LEDGER.field("ranges").type)
    columns["moved"] = pa.array(moves, LEDGER.field("moved").type)
    return pa.Table.from_arrays([columns[n] for n in LEDGER.names], schema=LEDGER)


def totals(counts: Sequence[pa.Table]) -> Counts:
    """Sum the counts over all sources."""
    keys = _KEYS[1:]
    summed = pa.concat_tables(counts).group_by(keys).aggregate([("rows", "sum")]).to_pylist()
    return {(r["destiny"], r["step"] or "", r["rule"] or ""): r["rows_sum"] for r in summed}


def _lost(gaps: Ranges) -> pa.Table:
    keys = [(source, Destiny.FILTERED.value, SOURCE_STEP, GAP) for source in gaps]
    return count_removed(Counter(dict.fromkeys(keys, 0)))


def _counted(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    plain = pa.table({k: rows[k].cast(pa.string()) for k in keys})
    grouped = plain.group_by(list(keys)).aggregate([([], "count_all")])
    return grouped.rename_columns({"count_all": "rows"})


def _filled(part: pa.Table, destiny: str | None = None) -> pa.Table:
    columns = {n: part[n] for n in part.column_names}
    if destiny is not None:
        columns["destiny"] = pa.repeat(str(destiny), part.num_rows)
    for key in _KEYS:
        columns.setdefault(key, pa.nulls(part.num_rows, pa.string()))
    return pa.table({n: columns[n] for n in _COUNTS.names}).cast(_COUNTS)


def _summed(parts: list[pa.Table]) -> pa.Table:
    if not parts:
        return _COUNTS.empty_table()
    grouped = pa.concat_tables(parts).group_by(list(_KEYS)).aggregate([("rows", "sum")])
    return grouped.rename_columns({"rows_sum": "rows"}).select(_COUNTS.names).cast(_COUNTS)
