"""Row expressions: what is accepted, what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.errors import SpecError
from schemas.expressions import Expression, Place, call_of, check
from schemas.functions import Functions
from schemas.sql_engine import connect

SCHEMA = pa.schema(
    {
        "a": pa.int64(),
        "small": pa.int32(),
        "s": pa.string(),
        "ok": pa.bool_(),
        "ts": pa.timestamp("us", "UTC"),
        "place": pa.struct([("city", pa.string())]),
        "tags": pa.list_(pa.string()),
        "price": pa.decimal128(10, 2),
        "properties": pa.string(),
        "properties.amount": pa.float64(),
        "user": pa.string(),
    }
)
PLACE = Place(Path("pipeline.yaml"), 7)


def refusal(text: str, **options: object) -> str:
    with pytest.raises(SpecError) as caught:
        check(text, SCHEMA, place=PLACE, **options)  # type: ignore[arg-type]
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (PLACE.file, PLACE.line)
    assert "\n" not in problem.message
    return problem.message


@pytest.mark.parametrize(
    ("text", "kind", "columns"),
    [
        ("a + 1", pa.int64(), ("a",)),
        ("A + small", pa.int64(), ("a", "small")),
        ("properties.amount * 2", pa.float64(), ("properties.amount",)),
        ('"properties.amount" * 2', pa.float64(), ("properties.amount",)),
        ("upper(place.city)", pa.string(), ("place",)),
        ("CASE WHEN a > 15 THEN 'late' ELSE 'on time' END", pa.string(), ("a",)),
        ("ts > '2020-01-01'", pa.bool_(), ("ts",)),
        ("ts AT TIME ZONE 'America/New_York'", pa.timestamp("us"), ("ts",)),
        ("date_trunc('hour', ts)", pa.timestamp("us", "UTC"), ("ts",)),
        ("price * 2", pa.decimal128(18, 2), ("price",)),
        ("list_filter(tags, lambda t: t <> s)", pa.list_(pa.string()), ("s", "tags")),
        ("json_extract_string(properties, '$.x')", pa.string(), ("properties",)),
        ("nullif(s, '')", pa.string(), ("s",)),
        ("lpad(s, 4, '0')", pa.string(), ("s",)),
        ("range(3)", pa.list_(pa.int64()), ()),
        ('"user"', pa.string(), ("user",)),
        ("user", pa.string(), ("user",)),
        ("1 -- and a comment", pa.int64(), ()),
    ],
)
def test_an_expression_has_its_type_and_its_columns(
    text: str, kind: pa.DataType, columns: tuple[str, ...]
) -> None:
    expression = check(text, SCHEMA, place=PLACE)
    assert expression.type == kind
    assert expression.columns == columns


def test_a_column_alone_is_its_quoted_name() -> None:
    assert check("properties.amount", SCHEMA, place=PLACE).sql == '"properties.amount"'


def test_what_runs_holds_nothing_of_the_text_but_its_meaning() -> None:
    sql = check("a /* ; DROP */ + -- )\n 1", SCHEMA, place=PLACE).sql
    assert sql == "((a + 1))"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "dep_dely > 15",
            (
                "expression must name columns of the row; got dep_dely; use one of a, small, s, "
                "ok, ts, place, tags, price, properties, properties.amount, user"
            ),
        ),
        (
            "properties.amont > 1",
            (
                "expression must name columns of the row; got properties.amont; "
                "use json_extract_string(properties, '$.amont') if it is JSON text"
            ),
        ),
        (
            "place.citi",
            "expression must name fields of place; got place.citi; did you mean 'place.city'?",
        ),
        ("lowr(s)", "function must exist; got lowr; did you mean 'lower'?"),
        ("n +* n", "operator must exist; got +*; write one such as + - * / % || = < >="),
        ("s.lower()", "function must be called by its name alone; got s.lower; write lower(...)"),
        (
            "a + s",
            (
                "expression must call functions with types they take; got +(BIGINT, VARCHAR); "
                "CAST an argument"
            ),
        ),
        (
            "s > 1",
            (
                "values that are compared or chosen between must be of one type; "
                "got VARCHAR and INTEGER; CAST one of them"
            ),
        ),
        (
            "ts > 'yesterday'",
            (
                "values that are compared or chosen between must be of one type; got 'yesterday' "
                "beside TIMESTAMP WITH TIME ZONE; write it as TIMESTAMP WITH TIME ZONE, "
                "or CAST the other"
            ),
        ),
        (
            "CASE WHEN ok THEN 1 ELSE 'x' END",
            (
                "values that are compared or chosen between must be of one type; "
                "got 'x' beside INTEGER; write it as INTEGER, or CAST the other"
            ),
        ),
        (
            "sum(a)",
            "function must be of one row; got sum; aggregates belong under `aggregates`",
        ),
        (
            "count(*) > 1",
            "function must be of one row; got count(*); aggregates belong under `aggregates`",
        ),
        (
            "row_number() OVER ()",
            "expression must be of one row; got a window function; leave it out",
        ),
        ("(SELECT 1)", "expression must be of one row; got a subquery; leave it out"),
        ("a IN (SELECT 1)", "expression must be of one row; got a subquery; leave it out"),
        ("*", "expression must be of one row; got `*` or COLUMNS(); leave it out"),
        (
            "unnest(tags)",
            "function must be of one row; got unnest; aggregates belong under `aggregates`",
        ),
        (
            "now() > ts",
            "function must give the same value at any time; got now; use a column of the row",
        ),
        (
            "current_date",
            "function must give the same value at any time; got current_date; use a column",
        ),
        (
            "age(ts) > INTERVAL 1 DAY",
            "function must give the same value at any time; got age; use a column of the row",
        ),
        (
            "read_csv('/etc/passwd')",
            "function must read nothing but the row; got read_csv; use `enrich` to look things up",
        ),
        (
            "getenv('HOME')",
            "function must read nothing but the row; got getenv; use `enrich` to look things up",
        ),
        (
            "version()",
            "function must be one that row expressions may call; got version; leave it out",
        ),
        (
            "1; DROP TABLE x",
            (
                'expression must be SQL; got `1; DROP TABLE x`: syntax error at or near ";"; '
                "correct it"
            ),
        ),
        ("1), (2", "expression must be one SQL expression; got `1), (2`; write only that"),
        (
            "1) FROM (SELECT 1",
            "expression must be one SQL expression; got `1) FROM (SELECT 1`; write only that",
        ),
        ("a = $1", "expression must name columns; got a parameter in `a = $1`; write the column"),
        ("", "expression must not be empty; got nothing; write one, or remove the key"),
        ("-- a", "expression must not be empty; got nothing; write one, or remove the key"),
        (
            "properties -> '$.x'",
            (
                "expression must write JSON access as a call and a lambda as `lambda x: ...`; "
                "got `->`; use json_extract(column, '$.key')"
            ),
        ),
        (
            "NULL",
            (
                'expression must give a type that a table can hold; got "NULL"; '
                "CAST it to BIGINT, DOUBLE, DECIMAL, VARCHAR or TIMESTAMPTZ"
            ),
        ),
        (
            "hash(s)",
            (
                "expression must give a type that a table can hold; got UBIGINT; "
                "CAST it to BIGINT, DOUBLE, DECIMAL, VARCHAR or TIMESTAMPTZ"
            ),
        ),
        (
            "CAST('x' AS INT)",
            (
                "expression must make sense to DuckDB; got: Could not convert string 'x' to INT32; "
                "correct it"
            ),
        ),
        (
            "+".join(["1"] * 900),
            "expression must be simpler; got one nested too deep; split it into steps",
        ),
        (
            "1" * 10_001,
            "expression must have at most 10,000 characters; got 10,001; split it",
        ),
        (
            "(" * 5_000,
            "expression must have at most 200 brackets open at once; got more; split it into steps",
        ),
        (
            "repeat(s, a)",
            (
                "size that repeat makes must be a number up to 10,000, written out; got another; "
                "write the number"
            ),
        ),
        (
            "len(range(1000000000))",
            (
                "size that range makes must be a number up to 10,000, written out; got another; "
                "write the number"
            ),
        ),
        (
            "printf(s, a)",
            "form of printf must be text, written out; got an expression; write the form",
        ),
    ],
)
def test_what_cannot_be_a_row_expression_is_refused_with_its_reason(
    text: str, message: str
) -> None:
    assert refusal(text) == message


def test_a_result_of_another_type_than_asked_is_refused() -> None:
    assert refusal("a + 1", expect=pa.bool_()) == (
        "expression must give bool; got int64; compare or CAST it"
    )


def test_a_small_type_is_given_where_one_is_expected_and_it_fits() -> None:
    assert check("small", SCHEMA, place=PLACE).type == pa.int64()
    assert check("small", SCHEMA, place=PLACE, expect=pa.int32()).type == pa.int32()
    cast = check("CAST(a AS INTEGER)", SCHEMA, place=PLACE, expect=pa.int32())
    assert (cast.type, cast.sql) == (pa.int32(), "(CAST(a AS INTEGER))")
    assert refusal("a", expect=pa.int32()) == (
        "expression must give int32; got int64; compare or CAST it"
    )


def test_columns_that_differ_by_case_only_cannot_be_told_apart() -> None:
    schema = pa.schema({"Total": pa.int64(), "total": pa.int64()})
    with pytest.raises(SpecError, match="must differ by more than case; got Total and total"):
        check('"Total" + "total"', schema, place=PLACE)


def test_no_allowed_function_changes_with_time_or_reads_anything() -> None:
    connection = connect()
    allowed = Functions(connection).allowed
    unstable = connection.execute(
        "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE stability = 'VOLATILE' "
        # What hangs on the session's time zone alone is stable: the session's zone is fixed.
        "OR stability = 'CONSISTENT_WITHIN_QUERY' AND NOT list_has_any(parameter_types, "
        "['TIMESTAMP WITH TIME ZONE', 'TIMESTAMPTZ_NS', 'TIME WITH TIME ZONE']) "
        "AND NOT (len(parameter_types) > 1 AND return_type LIKE 'TIMESTAMP%')"
    ).fetchall()
    assert not allowed & {name for (name,) in unstable}
    assert not [
        name
        for name in allowed
        if any(part in name for part in ("current", "now", "today", "random", "read_", "setting"))
    ]


@pytest.mark.parametrize(
    "statement", ["SET threads = 4", "INSTALL httpfs", "COPY (SELECT 1) TO 'x'"]
)
def test_the_engine_cannot_be_opened_to_the_world(statement: str) -> None:
    with pytest.raises(duckdb.Error):
        connect().execute(statement)


_PIECES = st.sampled_from(
    [
        "a",
        "s",
        "ok",
        "1",
        "'x'",
        "(",
        ")",
        "+",
        "=",
        ",",
        " ",
        "CASE",
        "WHEN",
        "THEN",
        "END",
        ";",
        "SELECT",
        "FROM",
        "--",
        "/*",
        '"',
        "place.",
        "now()",
        "sum(",
        "lambda x:",
        "[",
        "]",
        "::int",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(_PIECES, max_size=12).map("".join)))
@example("\ud800")
@example("'\0'")
@example("(" * 5_000)
@example("NOT " * 600 + "ok")
def test_any_text_is_an_expression_or_refused_in_one_line(text: str) -> None:
    try:
        found = check(text, SCHEMA, place=PLACE)
    except SpecError as error:
        message = str(error)
    else:
        message = ""
        assert isinstance(found, Expression)
        again = check(found.sql, SCHEMA, place=PLACE)
        assert (again.type, again.columns) == (found.type, found.columns)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "function", "arguments"),
    [
        ("count(*)", "count", ()),
        ("SUM(a + 1)", "sum", ("((a + 1))",)),
        ("approx_quantile(a, 0.9)", "approx_quantile", ("(a)", "(0.9)")),
    ],
)
def test_a_measure_is_a_function_and_its_arguments(
    text: str, function: str, arguments: tuple[str, ...]
) -> None:
    assert call_of(text, place=PLACE) == (function, arguments)


@pytest.mark.parametrize(
    "text", ["sum(a) + 1", "a", "sum(DISTINCT a)", "sum(a) FILTER (WHERE ok)", "sum(a) OVER ()"]
)
def test_a_measure_that_is_not_one_plain_call_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="must be one plain function call"):
        call_of(text, place=PLACE)
