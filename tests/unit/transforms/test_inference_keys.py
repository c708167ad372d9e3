"""What tells the records of a sample apart, and when they happened."""

from __future__ import annotations

import pytest

from tests.samples import Infer, column, of_column


def test_a_nested_time_is_the_event_time(json_lines: Infer) -> None:
    proposal = json_lines(*({"meta": {"at": f"2024-01-0{i}T00:00:00Z"}} for i in range(1, 5)))
    assert proposal.event_time.name == "meta.at"


def test_a_column_with_a_null_is_never_the_event_time(csv: Infer) -> None:
    rows = "".join(f"2024-01-0{i}T00:00:00Z,2024-02-0{i}T00:00:00Z\n" for i in range(1, 5))
    assert csv(f"event_time,created\n{rows}").event_time.name == "event_time"
    assert csv(f"event_time,created\n{rows},2024-02-09T00:00:00Z\n").event_time.name == "created"


@pytest.mark.parametrize(
    ("name", "values", "expression"),
    [
        ("ts", ["1700000000", "1700000001"], "make_timestamptz(ts * 1000000)"),
        ("ts", ["1700000000000", "1700000000001"], "make_timestamptz(ts * 1000)"),
        ("date", ["2024-01-31", "2024-02-01"], "timezone('UTC', CAST(date AS TIMESTAMP))"),
        ("when", ["1/2/2024", "12/31/2024"], "timezone('UTC', CAST(\"when\" AS TIMESTAMP))"),
    ],
)
def test_an_event_time_is_computed_of_what_is_no_timestamp(
    csv: Infer, name: str, values: list[str], expression: str
) -> None:
    proposal = csv(of_column(values, name))
    assert proposal.event_time.name == "event_time"
    assert column(proposal, "event_time").transform == expression


def test_a_time_that_some_records_lack_is_said_and_no_year_stands_for_it(csv: Infer) -> None:
    rows = "".join(
        f"{c},{y},{y}-03-0{i + 1}\n" for i, c in enumerate("ABCDE") for y in range(1990, 2000)
    )
    assert csv(f"team,year,played\n{rows}").event_time.name == "event_time"
    proposal = csv(f"team,year,played\n{rows}F,1990,\n")
    assert proposal.event_time.name is None
    assert proposal.event_time.why == "the time of arrival: `played` is null in 1 of 51"
    assert csv("n,ended\n1,2024-01-01\n2,\n").event_time.why.endswith("in every record")


def test_a_day_of_birth_and_a_deadline_are_no_event_time(csv: Infer) -> None:
    proposal = csv("birth_date,due_date\n1990-01-31,2024-01-01\n1991-02-01,2024-01-02\n")
    assert proposal.event_time.name is None


def test_year_month_and_day_make_an_event_time(csv: Infer) -> None:
    proposal = csv("year,month,day,x\n2013,1,31,1\n2013,2,28,2\n")
    made = column(proposal, "event_time").transform
    assert made == "timezone('UTC', make_timestamp(year, month, day, 0, 0, 0))"
    assert csv("year,month,day,x\n2013,2,30,1\n").event_time.name is None


def test_a_month_or_a_year_that_tells_records_apart_is_the_event_time(csv: Infer) -> None:
    months = "".join(f"{y},{m},1.5\n" for y in (2001, 2002) for m in range(1, 13))
    proposal = csv(f"Year,Month,x\n{months}")
    assert proposal.event_time.name == "event_time"
    made = column(proposal, "event_time")
    assert made.transform == "timezone('UTC', make_timestamp(Year, Month, 1, 0, 0, 0))"
    assert made.description == "Computed of Year, Month, as UTC: the begin of the month."
    texts = csv("period,x\n" + "".join(f"2001-{m:02},1.5\n" for m in range(1, 13)))
    made = column(texts, "event_time")
    assert made.transform == "timezone('UTC', CAST(period || '-01' AS TIMESTAMP))"
    assert (texts.event_time.first_us, texts.event_time.last_us) == (
        978307200000000,
        1007164800000000,
    )
    years = "".join(f"{c},{y},1.5\n" for c in "ABCDE" for y in range(1990, 2000))
    assert column(csv(f"state,year,x\n{years}"), "event_time").transform == (
        "timezone('UTC', make_timestamp(year, 1, 1, 0, 0, 0))"
    )
    models = csv(
        "car,year\n" + "".join(f"{c},{1990 + i % 3}\n" for i, c in enumerate("ABCABCABC" * 3))
    )
    assert models.event_time.name is None
    assert "`year` tells years" in models.event_time.why


def test_keys_are_unique_named_and_never_null(csv: Infer) -> None:
    rows = "".join(f"{i},{i % 7},{1000 + i}.5\n" for i in range(50))
    assert csv(f"order_id,shop,total\n{rows}").key.names == ("order_id",)
    assert csv(f"position,shop,total\n{rows}").key.names == ()
    assert csv(f"order_id,shop,total\n{rows},3,1\n").key.names == ()
    assert csv(f"order_id,shop,total\n{rows}49,6,1.5\n").key.names == ()


def test_records_that_are_there_twice_leave_the_key_a_key(csv: Infer) -> None:
    rows = "".join(f"{i},{i % 7}\n" for i in range(100))
    key = csv(f"event_id,shop\n{rows}5,5\n").key
    assert (key.names, key.repeated) == (("event_id",), 1)


def test_a_thing_and_a_time_may_be_the_key_together(csv: Infer) -> None:
    rows = "".join(f"{c},{y},{i}\n" for i, c in enumerate("ABCDEFG") for y in range(2000, 2010))
    assert csv(f"country,year,people\n{rows}").key.names == ("country", "year")
    rows = "".join(f"{c},Q{q}2020,{i}\n" for i, c in enumerate("ABCDEFG") for q in range(1, 5))
    assert csv(f"state,quarter,rate\n{rows}").key.names == ("state", "quarter")


def test_three_columns_may_be_the_key_where_no_two_are(csv: Infer) -> None:
    def rows(*, twice: bool) -> str:
        made = [
            f"{s},{v},{y},{y % 7}.5" for s in "ABCDEF" for v in "xyz" for y in range(1990, 2000)
        ]
        return "".join(f"{row}\n" for row in [*made, *made[:twice]])

    head = "site,variety,year,yield\n"
    assert csv(head + rows(twice=False)).key.names == ("site", "variety", "year")
    assert csv(head + rows(twice=True)).key.names == ()
    months = "".join(f"{s},{y},{m},1\n" for s in "AB" for y in (2001, 2002) for m in range(1, 13))
    assert csv(f"station,year,month,x\n{months}").key.names == ("station", "year", "month")
    some = "".join(line for i, line in enumerate(months.splitlines(keepends=True)) if i % 9)
    assert csv(f"station,year,month,x\n{some}").key.names == ("station", "year", "month")
    by_chance = "".join(f"{i % 7},{i % 5},{i % 3},1\n" for i in range(25))
    assert csv(f"a,b,year,n\n{by_chance}").key.names == ()


def test_what_counts_is_a_thing_of_a_key(csv: Infer) -> None:
    full = "".join(f"{f},{y},{f * y % 91}.5\n" for f in range(1, 11) for y in range(1935, 1955))
    assert csv(f"firm,year,value\n{full}").key.names == ("firm", "year")
    lacking = "".join(f"{line}\n" for i, line in enumerate(full.splitlines()) if i % 7)
    assert csv(f"firm,year,value\n{lacking}").key.names == ()
    assert csv(f"trial,year,value\n{lacking}").key.names == ("trial", "year")


def test_a_column_may_be_called_n(csv: Infer) -> None:
    rows = "".join(f"S{i % 10},2026-01-{i // 10 + 1:02},{i % 9}\n" for i in range(300))
    assert csv(f"shop,day,n\n{rows}").key.names == ("shop", "day")


def test_two_identifiers_may_be_the_key(csv: Infer) -> None:
    rows = "".join(f"{i},{n},{i % 5}.5\n" for i in range(100, 160) for n in range(1, 2 + i % 4))
    assert csv(f"order_id,line_no,price\n{rows}").key.names == ("order_id", "line_no")
    assert csv(f"amount,pieces,price\n{rows}").key.names == ()


def test_a_name_that_other_things_have_too_is_a_key_of_many_records_only(csv: Infer) -> None:
    def rows(n: int) -> str:
        return "".join(f"{i % 3}.5,{7919 * i % 1_000_003}\n" for i in range(1, n))

    few = csv(f"amount,customer_id\n{rows(50)}").key
    assert (few.names, few.maybe) == ((), ("customer_id",))
    assert csv(f"amount,customer_id\n{rows(1002)}").key.names == ("customer_id",)
    dense = "".join(f"{i % 3}.5,{i}\n" for i in range(50))
    assert csv(f"amount,line_no\n{dense}").key.names == ("line_no",)


def test_a_thing_and_a_time_that_are_unique_by_chance_are_no_key(csv: Infer) -> None:
    rows = "".join(f"b{i * 7 % 190},2024-01-{i * 11 % 28 + 1:02},{i % 3}\n" for i in range(60))
    proposal = csv(f"bird,seen,eggs\n{rows}")
    assert proposal.key.names == ()
    rows = "".join(f"b{i},2024-01-{day:02},1\n" for i in range(6) for day in range(1, 11))
    assert csv(f"bird,seen,eggs\n{rows}").key.names == ("bird", "seen")


def test_years_of_things_are_no_event_time_unless_they_tell_records_apart(csv: Infer) -> None:
    rows = "".join(f"{i % 5},{1970 + i % 4}-01-01\n" for i in range(40))
    proposal = csv(f"horsepower,Year\n{rows}")
    assert proposal.event_time.name is None
    assert "`Year` tells years" in proposal.event_time.why
    assert csv(f"horsepower,date\n{rows}").event_time.name == "event_time"
    assert csv(f"horsepower,model_date\n{rows}").event_time.name is None
    assert csv(f"horsepower,Year\n{rows}", event_time="Year").event_time.name == "event_time"
    rows = "".join(f"{c},{y}-01-01,1\n" for c in "ABC" for y in range(1990, 2000))
    assert csv(f"source,year,sum\n{rows}").event_time.name == "event_time"


def test_codes_of_many_records_in_the_first_column_are_a_key(csv: Infer) -> None:
    rows = "".join(f"{chr(65 + i % 26)}{i},x,{i}.5\n" for i in range(1000))
    assert csv(f"iata,kind,miles\n{rows}").key.names == ("iata",)
    few = csv(f"iata,kind,miles\n{rows[:3000]}").key
    assert (few.names, few.maybe) == ((), ("iata",))


def test_a_measurement_with_words_in_it_is_no_thing(csv: Infer) -> None:
    rows = "".join(
        f"{'low' if i % 50 == 0 else i / 7},2024-01-{i % 28 + 1:02},1\n" for i in range(300)
    )
    assert csv(f"level,day,n\n{rows}").key.names == ()


def test_years_that_are_all_different_are_noted(csv: Infer) -> None:
    rows = "".join(f"{1970 + i},{i * i}\n" for i in range(40))
    assert csv(f"Year,people\n{rows}").key.maybe == ("Year",)
