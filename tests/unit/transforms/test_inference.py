"""What a sample says about itself: types, objects and names."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.samples import Infer, column, of_column
from transforms.inference.infer import infer
from transforms.inference.names import identifiers, pipeline_name
from transforms.inference.reading import read_sample


@pytest.mark.parametrize(
    ("name", "values", "logical", "options"),
    [
        ("x", ["1", "-2", "30"], "integer", {}),
        ("x", ["007", "012", "100"], "string", {}),
        ("zip", ["10115", "80331"], "string", {}),
        ("x", ["1", "2.5", ".5", "1e3"], "number", {}),
        ("x", ["9223372036854775808", "1"], "string", {}),
        ("x", ["TRUE", "false"], "boolean", {}),
        ("x", ["yes", "No"], "boolean", {}),
        ("x", ["Y", "N", "Y"], "boolean", {}),
        ("x", ["t", "f"], "boolean", {}),
        ("x", ["yes", "yes"], "string", {}),
        ("x", ["yes", "no", "maybe"], "string", {}),
        ("sex", ["m", "f"], "string", {}),
        ("x", ["1,5", "2,5"], "number", {}),
        ("x", ["1,500", "2,500,000"], "integer", {}),
        ("x", ["$1.50", "$2"], "number", {}),
        ("x", ["12 %", "7%"], "integer", {}),
        ("x", ["$1", "€2"], "string", {}),
        ("phone", ["123,456", "1,234"], "string", {}),
        ("x", ["030 123 456", "030 123 457"], "string", {}),
        ("x", ["123 456 789", "223 456 789"], "string", {}),
        ("x", ["0,123", "0,456"], "number", {}),
        ("x", ["2024-01-31", "2024-02-29"], "date", {}),
        ("x", ["31.01.2024", "29.02.2024"], "date", {"format": "dd.MM.yyyy"}),
        ("x", ["01/31/2024", "02/29/2024"], "date", {"format": "MM/dd/yyyy"}),
        ("x", ["31/01/2024", "29/02/2024"], "date", {"format": "dd/MM/yyyy"}),
        ("x", ["31-Jan-2024", "29-Feb-2024"], "date", {"format": "dd-MMM-yyyy"}),
        ("day", ["20240131", "20240229"], "date", {"format": "yyyyMMdd"}),
        ("x", ["20240131", "20240229"], "integer", {}),
        ("x", ["2024-01-31T10:00:00Z", "2024-01-31 10:00:00+01:00"], "timestamp", {}),
        ("x", ["09:30", "23:59:59"], "time", {}),
        ("x", ["9:30 AM", "11:59 PM"], "time", {"format": "h:mm[:ss] a"}),
        ("x", ["9:30", "11:59"], "string", {}),
        ("x", ["1/31/2024", "12/1/2024"], "date", {"format": "M/d/yyyy"}),
        ("x", ["31.1.2024", "1.12.2024"], "date", {"format": "d.M.yyyy"}),
        ("x", ["Jun 12, 1998", "Aug 7, 1998"], "date", {"format": "MMM d, yyyy"}),
        ("x", ["1.2.10", "1.3.0"], "string", {}),
        (
            "x",
            ["01.03.24 09:15", "31.12.24 10:00"],
            "timestamp",
            {"format": "dd.MM.yy HH:mm[:ss]", "timezone": False, "defaultTimezone": "UTC"},
        ),
        (
            "x",
            ["1/31/2024 9:05", "12/1/2024 10:00"],
            "timestamp",
            {"format": "M/d/yyyy H:mm[:ss]", "timezone": False, "defaultTimezone": "UTC"},
        ),
        ("x", ["2024-13-01", "2024-01-01"], "string", {}),
        (
            "x",
            ["31.01.2024 09:30", "29.02.2024 10:00:01"],
            "timestamp",
            {"format": "dd.MM.yyyy HH:mm[:ss]", "timezone": False, "defaultTimezone": "UTC"},
        ),
    ],
)
def test_text_has_the_type_that_reads_all_of_it(
    csv: Infer, name: str, values: list[str], logical: str, options: dict[str, object]
) -> None:
    quoted = [f'"{v}"' if "," in v else v for v in values]
    found = column(csv(of_column(quoted, name)), name)
    assert (found.logical, found.options) == (logical, options)


def test_one_value_that_is_no_number_makes_a_column_text(csv: Infer) -> None:
    values = [str(i) for i in range(5000)]
    assert column(csv(of_column(values)), "x").logical == "integer"
    found = column(csv(of_column([*values, "n.a. so far"])), "x")
    assert found.logical == "string"
    assert found.notes[-1].startswith("all but 1 of 5,001 values are numbers")


def test_amounts_in_several_currencies_say_so(csv: Infer) -> None:
    for values, told in (
        (["$1.50", "€2", "$3"], "amounts in several currencies ($, €)"),
        (["USD 1.50", "EUR 2", "EUR 3"], "amounts in several currencies (EUR, USD)"),
        (["1.50 CHF", "2 USD", "3 USD"], "amounts in several currencies (CHF, USD)"),
    ):
        found = column(csv(of_column(values)), "x")
        assert found.logical == "string"
        assert found.notes[0].startswith(told)
    assert column(csv(of_column(["$1.50", "$2"])), "x").logical == "number"


def test_whole_numbers_with_a_point_stay_numbers_and_say_why(csv: Infer, json_lines: Infer) -> None:
    found = column(csv(of_column(["1.0", "", "3.0"])), "x")
    assert found.logical == "number"
    assert found.notes[0].endswith("beside gaps: a run takes none of these for an integer")
    assert "an integer, perhaps" in column(csv(of_column(["1.0", "2"])), "x").notes[0]
    found = column(json_lines({"x": 1.0, "user_id": 7.0}, {"x": None, "user_id": None}), "x")
    assert (found.logical, found.notes[0][:13]) == ("number", "whole numbers")
    ids = json_lines(*({"user_id": float(i) if i % 3 else None} for i in range(30)))
    assert column(ids, "user_id").logical == "integer"
    keys = json_lines(*({"id": float(i), "x": "a"} for i in range(30)))
    assert (keys.key.names, column(keys, "id").logical) == (("id",), "integer")


def test_empty_texts_in_quotes_are_no_nulls_and_said(csv: Infer) -> None:
    proposal = csv("a,b,c\n" + 'x,"1",1\n"","",2\n' * 9)
    told = "empty in 9 of 18, in quotes: no null"
    assert column(proposal, "a").notes == (told,)
    assert column(proposal, "b").notes == (f"{told}; the others are numbers",)
    assert column(proposal, "c").notes == ()


def test_money_is_exact_and_other_fractions_are_not(csv: Infer) -> None:
    proposal = csv("price,weight\n" + "1.50,1.50\n2.25,2.25\n")
    assert column(proposal, "price").physical == "DECIMAL(18,4)"
    assert column(proposal, "weight").physical is None


def test_na_means_null_where_a_column_has_a_type_without_it(csv: Infer) -> None:
    proposal = csv("x,country\n1,NA\nNA,DE\n")
    assert proposal.sample.nulls == ("", "NA")
    assert column(proposal, "x").logical == "integer"
    assert csv("x,country\na,NA\nb,DE\n").sample.nulls == ("",)


def test_days_of_two_readings_are_said_to_be_unsure(csv: Infer) -> None:
    found = column(csv(of_column(["01/02/2024", "03/04/2024"])), "x")
    assert found.options == {"format": "MM/dd/yyyy"}
    assert any("dd/MM/yyyy" in note for note in found.notes)


def test_objects_with_the_same_keys_are_structs_and_others_stay_open(json_lines: Infer) -> None:
    proposal = json_lines(
        *(
            {"same": {"a": i, "b": "x"}, "other": {f"k{i}": 1, "n": i}, "none": {}, "tags": ["x"]}
            for i in range(30)
        )
    )
    same, other = column(proposal, "same"), column(proposal, "other")
    assert not same.open
    assert [child.logical for child in same.children] == ["integer", "string"]
    assert other.open
    assert "n" in [child.name for child in other.children]
    assert column(proposal, "none").open
    tags = column(proposal, "tags")
    assert tags.items is not None
    assert (tags.logical, tags.items.logical) == ("array", "string")


def test_objects_of_very_many_keys_are_read(json_lines: Infer) -> None:
    names = {f"l{i}": {"official": "x" * 50, "common": "y" * 50} for i in range(300)}
    proposal = json_lines(*({"id": i, "names": names} for i in range(60)))
    assert column(proposal, "names").open


def test_a_key_of_several_kinds_is_left_out_and_said(json_lines: Infer) -> None:
    proposal = json_lines({"a": 1, "b": 1}, {"a": "x", "b": 2})
    assert [p.name for p in proposal.properties] == ["b"]
    assert "several kinds" in proposal.left_out["a"]


def test_numbers_of_json_are_integers_only_if_all_are(json_lines: Infer) -> None:
    proposal = json_lines({"i": 1, "n": 1, "t": "1"}, {"i": 2, "n": 1.5, "t": "2"})
    assert [p.logical for p in proposal.properties] == ["integer", "number", "string"]


def test_integers_beyond_64_bits_stay_exact(json_lines: Infer) -> None:
    found = column(json_lines({"i": 12345678901234567890}, {"i": 1}), "i")
    assert (found.logical, found.physical) == ("number", "DECIMAL(38,0)")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["1946-05", "1946-12"], "months (yyyy-MM)"),
        (["PT1H30M", "P1DT2.5S", "P2W"], "lengths of time"),
        (["2024-W05", "2024W51"], "weeks of a year"),
        (["2024Q1", "2024-Q4"], "quarters"),
    ],
)
def test_times_that_no_type_holds_are_said(csv: Infer, values: list[str], said: str) -> None:
    found = column(csv(of_column(values)), "x")
    assert found.logical == "string"
    assert found.notes[0].startswith(said)
    assert not column(csv(of_column([*values, "P", "2024-13"])), "x").notes


def test_totals_of_no_money_are_not_exact(csv: Infer) -> None:
    proposal = csv("sleep_total,total,order_total\n" + "1.5,1.5,1.5\n" * 3)
    assert [p.physical for p in proposal.properties] == [None, "DECIMAL(18,4)", "DECIMAL(18,4)"]


def test_json_in_texts_of_csv_and_parquet_is_read(csv: Infer, tmp_path: Path) -> None:
    rows = "".join(f'{i},"{{""a"": {i}}}"\n' for i in range(5))
    assert column(csv(f"x,y\n{rows}"), "y.a").logical == "integer"
    pq.write_table(pa.table({"y": ['{"a": 1}', '{"a": 2}']}), tmp_path / "t.parquet")
    assert column(infer("t", read_sample("t.parquet", tmp_path)), "y.a").logical == "integer"


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array(["007", "8"]),
            "n": pa.array([1, 2], pa.int32()),
            "d": pa.array([1, 2], pa.decimal128(9, 2)),
            "t": pa.array([1, 2], pa.timestamp("ms")),
            "z": pa.array([1, 2], pa.timestamp("ns", "Europe/Berlin")),
            "s": pa.array([{"a": 1}, {"a": 2}]),
            "l": pa.array([["x"], []]),
            "c": pa.array(["a", "b"]).dictionary_encode(),
            "u": pa.array([1, 2], pa.duration("s")),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    proposal = infer("t", read_sample("t.parquet", tmp_path))
    assert {p.name: (p.logical, p.physical) for p in proposal.properties} == {
        "id": ("string", None),
        "n": ("integer", None),
        "d": ("number", "DECIMAL(9,2)"),
        "s": ("object", None),
        "l": ("array", None),
        "c": ("string", None),
        "u": ("integer", None),
    } | dict.fromkeys(["t", "z"], ("timestamp", None))
    assert proposal.left_out == {}
    said = {p.name: p.notes[0] for p in proposal.properties if p.name in "zu"}
    assert said == {
        "z": "nanoseconds: digits below a microsecond are cut",
        "u": "a duration, as microseconds",
    }


def test_names_become_identifiers_and_differ() -> None:
    keys = ["Cost Total $", "cost total", "COST_TOTAL", "2012", "_id", "Größe", "Petal.Width", "数"]
    made = identifiers(keys)
    assert list(made.values()) == [
        "cost_total",
        "cost_total_2",
        "COST_TOTAL_3",
        "c_2012",
        "id",
        "grosse",
        "petal_width",
        "数",
    ]
    assert pipeline_name("data/2024-01-*.csv") == "data"


def test_numbers_in_texts_of_json_are_noted(json_lines: Infer) -> None:
    found = column(json_lines({"a": "1,000"}, {"a": "2"}), "a")
    assert (found.logical, found.notes) == (
        "string", ("numbers as texts: text, since that is what the file has",)
    )  # fmt: skip
