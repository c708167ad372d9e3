"""Tables made to fit the plan: columns added, spec and sort order changed, breaks refused."""

from __future__ import annotations

import re

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.io.pyarrow import visit_pyarrow  # noqa: F401
from pyiceberg.table import Table

from schemas import plan as plans
from schemas.errors import CommitError
from transforms.commit.patience import patience
from transforms.commit.tables import PROPERTIES

_CALL = re.compile(r"^(\w+)\((?:(\d+)\s*,\s*)?([^()]+)\)$")


def create_or_fit(catalog: Catalog, wanted: plans.Table) -> None:
    """Make the table, or change the one that is there.

    Raises:
        UsageError: See `Lake.prepare`.
    """
    for _ in patience(20):
        try:
            table = catalog.load_table(wanted.name)
        except NoSuchTableError:
            try:
                table = catalog.create_table(
                    wanted.name, schema=wanted.schema, properties=PROPERTIES
                )
            except TableAlreadyExistsError:
                continue
        try:
            _fit(table, wanted)
        except CommitFailedException:  # Somebody else changed it: look again.
            continue
        return
    msg = f"the table {wanted.name} must hold still to be changed; it did not; run again"
    raise CommitError(msg)


def _fit(table: Table, wanted: plans.Table) -> None:
    pass
