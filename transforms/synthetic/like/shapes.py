"""What is learnt of a sample, as values: a shape for each column of the contract that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import pyarrow as pa

from transforms.synthetic.like.dependence import Copula, Nulls
from transforms.synthetic.like.given import Given
from transforms.synthetic.like.guard import Seen
from transforms.synthetic.like.quantiles import Quantiles
from transforms.synthetic.like.repeats import Repeats
from transforms.synthetic.like.rhythm import Rhythm
from transforms.synthetic.like.text_shapes import Shapes


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """Numbers, dates and times by their quantiles.

    Attributes:
        quantiles: Of numbers; of microseconds, or days, of times and dates.
        step: What values are multiples of; None: of nothing.
        after_event: Whether the quantiles are of how long after the event time.
        seen: Values that must not come out.
        usual: The only values between their least and greatest, ascending; None: any.
        by: Another column of the object by whose values the numbers differ.
        groups: By the code of that column, where so many rows have it.
    """

    quantiles: Quantiles
    step: Decimal | None
    after_event: bool = False
    seen: Seen | None = None
    usual: np.ndarray | None = None
    by: str | None = None
    groups: Mapping[int, Quantiles] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Picks:
    """Values that come as they are, and others made up.

    Attributes:
        values: That may be used as they are.
        ends: Cumulative share of each, of all that are not null.
        texts: Others are texts of these shapes ...
        form: ... or of the contract's form ...
        numbers: ... or numbers.
        repeats: How often the others come again; None: hardly ever.
        seen: Values that must not come out among the others.
    """

    values: pa.Array
    ends: np.ndarray
    texts: Shapes | None = None
    form: str | None = None
    numbers: Numbers | None = None
    repeats: Repeats | None = None
    seen: Seen | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Counted:
    """Whole numbers that are all different.

    Attributes:
        after: They go on from there: beyond all of the sample, a round number.
    """

    after: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Lists:
    """Arrays by their length and their items; of items None: by the contract alone."""

    lengths: Quantiles
    items: Shape | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Keys:
    """Objects by their keys.

    Attributes:
        shapes: By name; what is not there is made by the contract alone.
        nulls: Which keys are null together.
        given: By name: the value to pick follows from those of other keys, which are before it.
    """

    shapes: Mapping[str, Shape]
    nulls: Nulls
    given: Mapping[str, Given] = field(default_factory=dict)


Made = Numbers | Picks | Counted | Lists | Keys


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """A column.

    Attributes:
        how: In a word, for people.
        made: None: by the contract alone, but for nulls.
    """

    how: str
    made: Made | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Likeness:
    """What is learnt of a sample; holds no value that fewer than some of its rows share.

    Attributes:
        file: Name of the sample.
        rows: How many were looked at.
        misfits: How many of the contract's types were not, and left out.
        sha256: Of the records that were looked at, as they stand in the sample.
        keys: Of the record.
        copula: How numbers go together, by dotted path.
        rhythm: When events happen; None: the event time is not read from records.
        absent: Paths of columns without any value in the sample.
    """

    file: str
    rows: int
    misfits: int
    sha256: str
    keys: Keys
    copula: Copula
    rhythm: Rhythm | None
    absent: tuple[str, ...] = ()
    hows: Mapping[str, str] = field(default_factory=dict)

    def summary(self) -> dict[str, object]:
        """Return what a manifest says: no values."""
        return {
            "file": self.file,
            "rows": self.rows,
            "misfits": self.misfits,
            "sha256": self.sha256,
            "columns": dict(self.hows),
            "by_contract_alone": list(self.absent),
        }
