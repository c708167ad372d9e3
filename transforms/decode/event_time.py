"""Give each decoded row its computed columns and its event time, or refuse it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.contract import Contract
from schemas.expressions import Place, check
from schemas.names import EVENT_TIME, POSITION_FIELDS, TIMESTAMP
from transforms.decode.decoded import Decoded
from transforms.decode.json_shape import rows_of
from transforms.decode.refusals import joined, of_rows
from transforms.decode.typed import Failures
from transforms.expressions import Evaluator

EXPRESSION_RULE = "expression"
EVENT_TIME_RULE = "event_time"
RANGE_RULE = "event_time_range"


class Completion:
    """Adds what a contract says of rows beyond what their records hold; pickles.

    Computed columns (the standard's transformLogic) are evaluated over the columns and path columns
    that were read, none over another's result. Then the event time is looked for: a column of its
    own, or within an object, from where it is copied to `_event_time`.

    Args:
        contract: Its expressions have been checked when it was read.

    Raises:
        SpecError: If an expression does not fit the contract after all.
    """

    def __init__(self, contract: Contract) -> None:
        """Check the expressions against what is read."""
        self.contract = contract
        self.schema = complete_schema(contract)
        read = [(c.name, c.type) for c in contract.columns if c.read]
        read += [(c.path, c.type) for c in contract.path_columns()]
        place = Place(contract.file, 1)
        self._evaluator = Evaluator(
            {
                c.name: check(c.transform, pa.schema(read), place=place, expect=c.type)
                for c in contract.columns
                if c.transform is not None
            }
        )

    def __call__(self, decoded: Decoded) -> Decoded:
        """Complete the rows of a block.

        Returns:
            Rows in the order of `Decoded`; refused besides what already was: rows on which an
            expression fails (rule `expression`), those without event time (`event_time`), and
            those whose windows no table holds (`event_time_range`).
        """
        read = decoded.rows
        evaluated = self._evaluator.evaluate(read)
        failures = Failures(read.num_rows)
        for row, name in zip(evaluated.failed.tolist(), evaluated.names, strict=True):
            reason = f"`{name}` must be computable; its transformLogic failed"
            failures.first[row] = (EXPRESSION_RULE, reason)
        columns = dict(zip(read.schema.names, read.columns, strict=True)) | evaluated.columns
        if self.contract.event_time is not None:
            times = self._event_times(columns)
            reason = f"`{self.contract.event_time}` must be there and not null"
            failures.add(_nulls(times), EVENT_TIME_RULE, reason)
            failures.add(self._outside(times), RANGE_RULE, self._range_reason())
            if "." in self.contract.event_time:
                columns[EVENT_TIME] = times
        whole = self._in_order(columns)
        before = self._relabelled(decoded.refused)
        if not failures.first:
            return decoded._replace(rows=whole, refused=before)
        refused = joined(before, of_rows(read, failures, decoded))
        good = failures.good()
        places = {path: rows_of(at, good) for path, at in decoded.places.items()}
        return decoded._replace(rows=whole.take(pa.array(good)), refused=refused, places=places)

    def _relabelled(self, refused: pa.RecordBatch | None) -> pa.RecordBatch | None:
        """Put records whose event time cannot be read under one rule, whatever decoded them."""
        if refused is None or self.contract.event_time is None:
            return refused
        about = pc.starts_with(refused["reason"], f"`{self.contract.event_time}` must")
        values = pc.is_in(refused["rule"], value_set=pa.array(["required", "type"]))
        rule = pc.if_else(pc.and_(about, values), EVENT_TIME_RULE, refused["rule"])
        at = refused.schema.get_field_index("rule")
        return refused.set_column(at, refused.schema.field(at), rule)

    def _event_times(self, columns: dict[str, pa.Array]) -> pa.Array:
        path = str(self.contract.event_time)
        if path in columns:
            return columns[path]
        name, *keys = path.split(".")
        values = columns[name]
        for key in keys:
            values = pc.struct_field(values, [key])
        return values

    def _outside(self, times: pa.Array) -> NDArray[np.bool_] | None:
        if self.contract.event_times is None:
            return None
        low, high = self.contract.event_times
        found = times.cast(TIMESTAMP).cast(pa.int64()).fill_null(low).to_numpy()
        return (found < low) | (found > high)

    def _range_reason(self) -> str:
        return (
            f"`{self.contract.event_time}` must lie where the windows of all aggregates begin and "
            "end within the years 1 to 9999"
        )

    def _in_order(self, columns: dict[str, pa.Array]) -> pa.RecordBatch:
        return pa.record_batch([columns[n] for n in self.schema.names], schema=self.schema)


def complete_schema(contract: Contract) -> pa.Schema:
    """Return the schema of decoded rows (see `Decoded`); every column may be null until checked."""
    fields = [pa.field(c.name, c.type) for c in contract.columns]
    fields += [pa.field(c.path, c.type) for c in contract.path_columns()]
    if contract.event_time_column == EVENT_TIME:
        fields.append(pa.field(EVENT_TIME, TIMESTAMP))
    return pa.schema([*fields, *POSITION_FIELDS])


def _nulls(values: pa.Array) -> NDArray[np.bool_] | None:
    return values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
