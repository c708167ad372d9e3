"""What differs only in personal values differs, after any steps, only in columns that are tainted."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import planning
from schemas.names import POSITION_FIELDS
from schemas.personal import flow
from schemas.plan import Plan
from tests import leaks
from transforms.middle import RowSteps

STEPS = "steps:\n"
FORMS = {
    "text": [
        "upper({t})",
        "{t} || {u}",
        "coalesce({t}, {u})",
        "CASE WHEN {i} > 5 THEN {t} ELSE {u} END",
        "CASE WHEN {t} = {u} THEN 'same' ELSE 'other' END",
        "CAST({i} AS VARCHAR)",
        "list_transform([{t}], lambda x: x || {u})[1]",
    ],
    "number": ["length({t})", "{i} + {j}", "CASE WHEN {t} IS NULL THEN {i} ELSE 0 END"],
}
CODE = """\
import pyarrow.compute as pc


def size(batch):
    names = [n for n in batch.schema.names if not n.startswith("_")]
    texts = [pc.fill_null(pc.cast(batch[n], "string"), "") for n in names]
    return batch.append_column("size", pc.binary_length(pc.binary_join_element_wise(*texts, "")))
"""


@dataclass
class Columns:
    """Names by type, as far as steps are written."""

    text: list[str] = field(default_factory=lambda: ["country", "user", "id"])
    number: list[str] = field(default_factory=lambda: ["salary"])


@st.composite
def steps(draw: st.DrawFn) -> list[str]:
    """Derive, lookup and python steps over whatever columns are there."""
    columns, written, sized = Columns(), [], False
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["derive", "derive", "derive", "enrich", "python"]))
        if kind == "enrich":
            key = draw(st.sampled_from(columns.text))
            added = f"l{number}"
            written.append(
                f"enrich: {{table: t{number}, from: {{files: {{path: people.csv}}}}, "
                f"on: {{{key}: user}}, add: {{{added}: id}}}}"
            )
            columns.text.append(added)
        elif kind == "python" and not sized:
            sized = True
            seen = draw(st.lists(st.sampled_from(columns.text), min_size=1, unique=True))
            reads = f"reads: [{', '.join(seen)}]"
            written.append(f'python: {{call: "own:size", {reads}, columns: {{size: integer}}}}')
            columns.number.append("size")
        else:
            made = draw(st.sampled_from(sorted(FORMS)))
            known: list[str] = getattr(columns, made)
            names = [f"d{number}", *(n for n in known if n not in ("id", "user", "salary"))]
            name = draw(st.sampled_from(names))
            form = draw(st.sampled_from(FORMS[made]))
            t, u = (draw(st.sampled_from(columns.text)) for _ in "tu")
            i, j = (draw(st.sampled_from(columns.number)) for _ in "ij")
            written.append(f'derive: {{{name}: "{form.format(t=t, u=u, i=i, j=j)}"}}')
            if name not in known:
                known.append(name)
    return written


def rows(plan: Plan, user: str, salary: int) -> pa.RecordBatch:
    """Rows as protection leaves them, alike but for what is personal and clear."""
    places = {"_source": "f", "_position": 0, "_sequence": 0, "_arrived": 0}
    texts = {"id": "p0", "user": user, "salary": salary, "country": "de", "at": 0}
    fields = [*plan.steps[0].input, *POSITION_FIELDS]
    values = [pa.array([(texts | places).get(f.name)] * 2, _plain(f.type)) for f in fields]
    arrays = [v.cast(f.type) for v, f in zip(values, fields, strict=True)]
    return pa.record_batch(arrays, schema=pa.schema(fields))


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "check_personal", lambda *_: [])


def untold(written: list[str]) -> set[str]:
    """Columns that hang on clear values and are not tainted, after these steps."""
    with tempfile.TemporaryDirectory() as name:
        head, tail = leaks.PIPELINE.split(STEPS)
        aggregates = tail[tail.index("aggregates:") :].replace(", here, called", "")
        body = "".join(f"  - {step}\n" for step in written)
        folder = leaks.make(Path(name))
        (folder / "pipeline.yaml").write_text(f"{head}{STEPS}{body}{aggregates}")
        (folder / "own.py").write_text(CODE)
        plan = planning.load_plan(folder)
        work = RowSteps(plan)
        one, other = (
            work(rows(plan, *values)).rows
            for values in ((f"u0-{leaks.CANARY}", 1), (f"u1-{leaks.CANARY} longer", 9))
        )
    names = plan.steps[-1].output.names
    differ = {name for name in names if not one.column(name).equals(other.column(name))}
    assert {"user", "salary"} <= differ
    return differ - plan.steps[-1].taint


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps())
def test_only_tainted_columns_hang_on_clear_values(unchecked: None, written: list[str]) -> None:
    assert untold(written) == set()


def test_a_step_that_is_not_followed_is_noticed(
    unchecked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = ['derive: {a: "upper(user)"}', "derive: {b: length(a)}"]
    assert untold(written) == set()
    monkeypatch.setitem(flow._STEPS, "derive", flow._nothing)
    assert untold(written) == {"a", "b"}
