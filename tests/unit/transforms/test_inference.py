"""What a sample says about itself: types, keys, event time, personal data."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.errors import PenstockError
from schemas.protection import KINDS
from transforms.inference.infer import Proposal, infer
from transforms.inference.names import identifiers, pipeline_name
from transforms.inference.properties import Property
from transforms.inference.reading import read_sample

Infer = Callable[..., Proposal]


@pytest.fixture
def csv(tmp_path: Path) -> Infer:
    def of(text: str, **chosen: str) -> Proposal:
        (tmp_path / "s.csv").write_text(text, encoding="utf-8")
        return infer("s", read_sample("s.csv", tmp_path), **chosen)

    return of


@pytest.fixture
def json_lines(tmp_path: Path) -> Infer:
    def of(*records: dict[str, object]) -> Proposal:
        (tmp_path / "s.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
        return infer("s", read_sample("s.jsonl", tmp_path))

    return of


def column(proposal: Proposal, path: str) -> Property:
    return dict(proposal.walk())[path]


def of_column(values: list[str], name: str = "x") -> str:
    return f"{name},other\n" + "".join(f"{v},1\n" for v in values)


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


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b;c\n" + "1,5;2,5;3,5\n" * 30, ";"),  # commas cut all lines but the first into four
        ("1,5;2,5\n" * 30, ";"),
        ("a,b\n" + "x;y,1\n" * 30, ","),
        ("a\tb\n" + "x,y\t1,2\n" * 30, "\t"),
        ("a\n1\n2\n", ","),
    ],
)
def test_a_comma_within_fields_is_no_delimiter(tmp_path: Path, text: str, delimiter: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    assert read_sample("s.csv", tmp_path).delimiter == delimiter


def test_delimiters_compression_and_archives_are_found_out(tmp_path: Path) -> None:
    text = "a;b\n1;x\n2;y\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("b.csv", text.replace(";", "\t"))
    (tmp_path / "c.txt").write_text(text.replace(";", "|"))
    for name, delimiter in (("a.csv.gz", ";"), ("b.zip", "\t"), ("c.txt", "|")):
        sample = read_sample(name, tmp_path)
        assert (sample.format, sample.delimiter, sample.rows) == ("csv", delimiter, 2)
        assert [field.key for field in sample.fields] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", '[{"a": 1}, {"a": 2}]', "got one array in a.json"),
        ("a.json", '{\n "a": 1\n}\n', "an object over several lines"),
        ("a.json", '{\n "a": [\n{"b": 1},\n{"b": 2}]\n}\n', "to lines: jq -c '.a[]' FILE"),
        ("a.csv", "a,b\n1,2\n1\n2\n3\n", "most records of a sample must be such as a run takes"),
        ("a.csv", "", "must have records"),
        ("a.csv", "a;b\n" + "1;2;3\n" * 30, "all differ from its header"),
        ("a.csv", "a,b,a\n1,2,3\n", "must have different names"),
        ("a.jsonl", "no json\n", "must have records of its format"),
    ],
)
def test_what_a_run_could_not_read_is_refused(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PenstockError, match=said.replace("[", r"\[")):
        read_sample(name, tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_another_encoding_is_said_and_broken_records_are_counted(tmp_path: Path, name: str) -> None:
    rows = ['{"a": "Zürich"}', '{"a": "Genève"}', '{"a": "Rom"}'] * 20
    texts = ["a", *(row[7:-2] for row in rows)] if name.endswith("csv") else rows
    text = "".join(f"{row}\n" for row in texts)
    (tmp_path / name).write_bytes(text.encode("cp1252"))
    with pytest.raises(PenstockError, match="a sample must be UTF-8 text; got other bytes in 4"):
        read_sample(name, tmp_path)
    (tmp_path / name).write_bytes(text.encode() + texts[-3].encode("cp1252") + b"\n")
    sample = read_sample(name, tmp_path)
    assert (sample.rows, sample.broken) == (60, 1)


def test_spaces_around_all_of_a_column_are_no_part_of_its_texts(csv: Infer) -> None:
    proposal = csv("id, job, n\n" + "1, ?, 7\n2, Sales, ?\n")
    assert proposal.sample.written.trim
    assert proposal.sample.nulls == ("", " ?")
    assert column(proposal, "n").logical == "integer"
    assert proposal.sample.fields[1].key == " job"
    assert not csv("id,job\n1, a\n2,b\n").sample.written.trim


def test_a_column_without_a_name_is_left_out_if_it_counts_and_said_if_anything_is_in_it(
    csv: Infer,
) -> None:
    proposal = csv(",a,\n0,1,\n1,2,\n")
    assert [p.name for p in proposal.properties] == ["a"]
    assert proposal.left_out == {"": "it has no name, and counts"}
    assert csv("a,\n1,\n2,\n").left_out == {}
    cars = csv(",mpg\nMazda RX4,21\nFiat 128,32.4\n")
    assert [(p.name, p.key, p.logical) for p in cars.properties] == [
        ("unnamed", "", "string"),
        ("mpg", "mpg", "number"),
    ]


def test_files_whose_columns_stand_in_another_order_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,c\n1,x,1\n")
    (tmp_path / "b.csv").write_text("b,a\ny,2\n")
    sample = read_sample("*.csv", tmp_path)
    values = {f.key: f.values.to_pylist() for f in sample.fields if f.values is not None}
    assert values == {"a": ["1", "2"], "b": ["x", "y"], "c": ["1", None]}


def test_all_of_many_small_records_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a":1}\n' * 250_000)
    sample = read_sample("a.jsonl", tmp_path)
    assert (sample.whole, sample.rows) == (True, 250_000)


def test_only_part_of_much_data_is_looked_at_and_it_is_spread(tmp_path: Path) -> None:
    for day in range(4):
        with (tmp_path / f"{day}.jsonl").open("w") as file:
            file.writelines(f'{{"day": {day}, "i": {i}}}\n' for i in range(30_000))
    sample = read_sample(str(tmp_path), tmp_path, max_bytes=1 << 18)
    assert not sample.whole
    assert sample.spread
    assert sample.read_bytes < 1 << 20
    (day, _) = sample.fields
    assert day.values is not None
    assert len(set(day.values.to_pylist())) > 1
    assert sample.about_rows is not None
    assert 90_000 < sample.about_rows < 150_000


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


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (["2024-01-01", "2024-01-02"], "days"),
        (["2019", "2020", "2021"], "numbers"),
        (["a@b.de", "c@d.org"], "addresses of mail"),
        (["Anna Schmidt", "Juan Perez", "Wei Chen"], "names of persons"),
        (["user-1234567", "user-7654321"], "identifiers"),
        (["mail", "phone"], ""),
        (["Unit Price", "Cost Total $"], ""),
        (["1", "2", "3"], ""),
    ],
)
def test_keys_that_are_data_make_a_map_and_are_not_declared(
    json_lines: Infer, keys: list[str], what: str
) -> None:
    found = column(json_lines(*({"of": dict.fromkeys(keys, i)} for i in range(9))), "of")
    if not what:
        assert [child.key for child in found.children] == keys
        return
    assert (found.open, found.children) == (True, ())
    assert found.notes[0] == f"its keys are {what}: a map, of which no key is declared"
    personal = what in ("names of persons", "addresses of mail")
    assert found.protect == ("drop" if personal else None)


def test_columns_that_are_called_as_persons_are_noted(csv: Infer) -> None:
    wide = csv("day,Anna Schmidt,Juan Perez,Wei Chen\n" + "2024-01-01,1,2,3\n" * 3)
    assert sum(any("as a person is" in note for note in p.notes) for p in wide.properties) == 3


@pytest.mark.parametrize(
    ("value", "protect"),
    [
        ("a{i}@b.de", "pseudonymize"),
        ("see a{i}@b.de", "mask"),
        ("10.0.0.{i}", "pseudonymize"),
        ("plain {i}", None),
    ],
)
def test_texts_in_arrays_are_looked_at(json_lines: Infer, value: str, protect: str | None) -> None:
    proposal = json_lines(*({"x": [value.format(i=i), value.format(i=i)]} for i in range(30)))
    assert column(proposal, "x").protect == protect


def test_an_open_object_is_dropped_if_more_than_its_declared_keys_is_personal(
    json_lines: Infer,
) -> None:
    def more(other: str) -> Property:
        records = ({"o": {f"k{i}": other.format(i=i), "by": f"a{i}@b.de"}} for i in range(80))
        return column(json_lines(*records), "o")

    declared = more("plain {i}")
    assert [(c.name, c.protect) for c in declared.children] == [("by", "pseudonymize")]
    assert declared.protect is None
    assert (more("c{i}@d.org").protect, more("c{i}@d.org").children) == ("drop", ())


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


def test_totals_of_no_money_are_not_exact(csv: Infer) -> None:
    proposal = csv("sleep_total,total,order_total\n" + "1.5,1.5,1.5\n" * 3)
    assert [p.physical for p in proposal.properties] == [None, "DECIMAL(18,4)", "DECIMAL(18,4)"]


def test_two_identifiers_may_be_the_key(csv: Infer) -> None:
    rows = "".join(f"{i},{n},{i % 5}.5\n" for i in range(100, 160) for n in range(1, 2 + i % 4))
    assert csv(f"order_id,line_no,price\n{rows}").key.names == ("order_id", "line_no")
    assert csv(f"amount,pieces,price\n{rows}").key.names == ()


def people(**columns: str) -> str:
    names = ["Anna Schmidt", "Peter Jones", "Maria Garcia", "Paul Martin", "Linda Brown"]
    rows = [",".join(v.format(i=i, n=names[i % 5]) for v in columns.values()) for i in range(40)]
    return ",".join(columns) + "\n" + "\n".join(rows) + "\n"


CARDS = ["4111111111111111", "5500005555555559", "340000000000009", "6011000000000004"]


def test_personal_columns_are_found_by_name_and_value_and_protected(csv: Infer) -> None:
    proposal = csv(
        people(
            customer_id="{i}",
            contact="a{i}@example.org",
            name="{n}",
            phone="+49 30 1234{i:03}",
            source="10.0.{i}.7",
            birth_date="1990-01-{i:02}".replace("{i:02}", "01"),
            latitude="52.{i:02}",
            plz="10{i:03}",
        )
    )
    found = {p.name: (p.protect, p.protect_options) for _, p in proposal.personal}
    assert found == {
        "customer_id": ("keep", {}),
        "contact": ("pseudonymize", {}),
        "name": ("pseudonymize", {}),
        "phone": ("pseudonymize", {}),
        "source": ("generalize", {"prefix": 24}),
        "birth_date": ("generalize", {"to": "year"}),
        "latitude": ("generalize", {"step": 0.1}),
        "plz": ("generalize", {"prefix": 3}),
    }
    assert all(p.reason and p.notes for _, p in proposal.personal)


def test_fractions_are_no_telephone_numbers(csv: Infer) -> None:
    assert (
        column(csv(of_column([f"0.1234{i}" for i in range(30)], "phone")), "phone").protect is None
    )
    numbers = csv(of_column([f"5550123{i:03}" for i in range(30)], "phone"))
    assert column(numbers, "phone").protect == "pseudonymize"


def test_card_numbers_are_told_by_their_check_digit(csv: Infer) -> None:
    cards = of_column([f"{c}" for c in CARDS * 5], "payment")
    assert column(csv(cards), "payment").classification == "restricted"
    others = of_column([f"{int(c) + 1}" for c in CARDS * 5], "payment")
    assert column(csv(others), "payment").classification is None


def test_addresses_of_the_net_are_cut_by_bits_and_not_by_letters(csv: Infer) -> None:
    few = column(csv(of_column(["10.0.0.1", "10.0.0.2"], "ip")), "ip")
    assert (few.protect, few.options) == ("generalize", {"format": "ipv4"})
    mixed = [f"10.0.0.{i}" for i in range(19)]
    other = column(csv(of_column([*mixed, "2001:db8::1"], "ip")), "ip")
    assert (other.protect, other.options) == ("pseudonymize", {})


def test_a_column_that_is_masked_is_no_key(csv: Infer) -> None:
    cards = "".join(f"{_card(i)},{i}\n" for i in range(50))
    proposal = csv(f"card_number,x\n{cards}")
    assert column(proposal, "card_number").protect == "mask"
    assert proposal.key.names == ()


def _card(number: int) -> str:
    digits = [int(c) for c in f"{400000000000000 + number}"]
    doubled = [d * 2 - 9 * (d > 4) for d in digits[::-2]]
    return f"{400000000000000 + number}{-(sum(digits[-2::-2]) + sum(doubled)) % 10}"


def test_names_of_things_are_not_personal(csv: Infer) -> None:
    rows = "".join(f"Toyota Corolla {i},52.{i},Main Airport\n" for i in range(30))
    assert csv(f"name,latitude,address\n{rows}").personal == []


def test_values_of_personal_columns_are_never_an_enumeration(csv: Infer) -> None:
    rows = "".join(f"{'anna' if i % 2 else 'peter'},{'a' if i % 2 else 'b'}\n" for i in range(300))
    proposal = csv(f"first_name,kind\n{rows}")
    assert column(proposal, "first_name").enum == ()
    assert column(proposal, "kind").enum == ("a", "b")
    assert column(proposal, "kind").warn


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
    } | dict.fromkeys(["t"], ("timestamp", None))
    assert set(proposal.left_out) == {"z", "u"}  # 1 ns is beyond microseconds


PROSE = "the parcel came late and the box was torn so we sent another one"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("please write to a{i}@example.org again", "an e-mail address"),
        ("paid with 4111-1111-1111-1111, item {i}", "a card number"),
        ("call +49 30 1234{i:03} after six", "a telephone number"),
        ("case {i} has ssn 078-05-1120 on file", "a national number"),
        ("case {i}: login failed from 10.0.0.7", "an IP address"),
        ("refund to DE89 3704 0044 0532 0130 00, case {i}", "an account number"),
    ],
)
def test_personal_data_inside_free_texts_is_masked_where_it_stands(
    csv: Infer, text: str, kind: str
) -> None:
    def note(every: int) -> Property:
        lines = [text.format(i=i) if i % every == 0 else PROSE for i in range(100, 700)]
        return column(csv(of_column([f'"{line}"' for line in lines], "note")), "note")

    for found, told in ((note(1), f"100% hold {kind}"), (note(50), f"2% hold {kind}")):
        assert (found.classification, found.protect) == ("restricted", "mask")
        assert found.protect_options == {"within": [*KINDS]}
        assert told in found.notes[-1]
    one = note(600)
    assert one.classification is None
    assert one.notes[-1].startswith(f"free text: less than 1% hold {kind}. Decide: leave it, or")


@pytest.mark.parametrize(
    "text",
    [
        PROSE + " {i}",
        "Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/12{i}.0.0.0 Safari/537.36",
        "order 4006381333{i:03} left at 2024-01-31 10:00:00",  # one number in ten passes the check
        "https://example.org/a/{i}?b=2024-01-31T10:00:00+01:00",
        "release v1.2.3.{i} of 10:20:30",
    ],
)
def test_prose_and_what_looks_alike_in_texts_is_not_personal(csv: Infer, text: str) -> None:
    found = column(csv(of_column([text.format(i=i) for i in range(100, 1000)], "note")), "note")
    assert found.classification is None
    assert not any("hold" in note for note in found.notes)


def test_texts_that_hold_an_address_are_never_an_enumeration(csv: Infer) -> None:
    values = ["a@b.de asked" if i == 7 else f"kind {i % 3}" for i in range(300)]
    found = column(csv(of_column(values)), "x")
    assert found.enum == ()
    assert column(csv(of_column(values[8:])), "x").enum == ("kind 0", "kind 1", "kind 2")


def test_addresses_behind_names_go_whole(csv: Infer) -> None:
    found = column(csv(of_column([f"Ann B{i} <a{i}@b.de>" for i in range(30)], "who")), "who")
    assert found.protect == "pseudonymize"


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


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    out = io.StringIO()
    out.write("\ufeffa,b\n1,2\n")
    (tmp_path / "a.csv").write_text(out.getvalue(), encoding="utf-8")
    assert [f.key for f in read_sample("a.csv", tmp_path).fields] == ["a", "b"]


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


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", ["c1", "c2", "c3"]),
        ("1,2.5\n3,4\n", ["c1", "c2"]),
        ("2024-01-01,a\n2024-01-02,b\n", ["c1", "c2"]),
        ("39,State-gov,13\n50,Private,9\n38,State-gov,9\n", ["c1", "c2", "c3"]),
        ("p,x,s\n" + "e,x,s\np,b,y\n" * 20, ["c1", "c2", "c3"]),
        ("country,2019,2020\nDE,1,2\nFR,3,4\n", ["country", "2019", "2020"]),
        ("label,0,1,2\n7,0,0,0\n2,0,1,0\n", ["label", "0", "1", "2"]),
        ("2019,2018\n5,6\n7,8\n", ["2019", "2018"]),
        ("name,34\nBob,28\nEve,41\n", ["name", "34"]),
        ("name,city\nBob,Rome\nname,city\n" * 20, ["name", "city"]),
        ("x,y\n1,2\n", ["x", "y"]),
    ],
)
def test_a_first_record_that_is_data_names_no_columns(
    tmp_path: Path, text: str, names: list[str]
) -> None:
    (tmp_path / "s.csv").write_text(text)
    sample = read_sample("s.csv", tmp_path)
    assert [field.key for field in sample.fields] == names
    assert list(sample.names) == (names if names[0] == "c1" else [])


@pytest.mark.parametrize(
    ("text", "skip", "delimiter", "keys"),
    [
        ("sep=;\na;b\n1;2,5\n3;4,5\n", 1, ";", ["a", "b"]),
        ("Sales\nof May\n\nday,shop,sum\n1,A,2\n2,B,3\n", 3, ",", ["day", "shop", "sum"]),
        ("Sales,,\n,,\nday,shop,sum\n1,A,2\n2,B,3\n", 2, ",", ["day", "shop", "sum"]),
        ("# made 2024\nday;shop;sum\n1;A;2\n2;B;3\n", 1, ";", ["day", "shop", "sum"]),
        ("Report, of May\na,b,c,d\n1,2,3,4\n5,6,7,8\n", 1, ",", ["a", "b", "c", "d"]),
        ("\ufeffTitle\n\na,b\n1,2\n3,4\n", 2, ",", ["a", "b"]),
        ("Title\n\n7,2,x\n3,4,y\n5,6,z\n", 2, ",", ["c1", "c2", "c3"]),
        # no titles
        ("a,b\n1,2\n3,4\n", 0, ",", ["a", "b"]),
        (",a\n0,2\n1,4\n", 0, ",", ["", "a"]),
        ("a;b;c\n1;2;3\n4;5;6\n", 0, ";", ["a", "b", "c"]),
        ("a\n1\n2\n", 0, ",", ["a"]),
    ],
)
def test_lines_before_the_header_are_passed_over(
    tmp_path: Path, text: str, skip: int, delimiter: str, keys: list[str]
) -> None:
    (tmp_path / "s.csv").write_text(text, encoding="utf-8")
    sample = read_sample("s.csv", tmp_path)
    assert (sample.skip, sample.delimiter) == (skip, delimiter)
    assert [field.key for field in sample.fields] == keys
    assert sample.broken == 0


def test_a_header_of_one_column_is_no_title_of_texts_with_commas(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("who\nDoe, Ann\nRoe, Bob\n")
    with pytest.raises(PenstockError, match="all differ from its header"):
        read_sample("s.csv", tmp_path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sample,0.5,1.0,1.5\n1,2.5,3.5,4.5\n2,2.5,3.5,4.5\n", True),
        ("0.5,1.0,1.5\n2.5,3.5,4.5\n2.5,1.5,4.5\n", True),
        ("16.5,16.7,17.2,17.7,18.2,19.7\n1,0,4,2,1,2\n0,2,1,3,4,1\n", True),
        ("0.1,0.7,1.2,1.7,2.2,3.7\n0.2,0.9,1.4,1.8,2.3,3.1\n0.1,0.3,0.4,0.8,1,2\n", False),
        ("5.1,3.5,1.4\n4.9,3.0,1.4\n4.7,3.2,1.3\n", False),
        ("0.5,0.7,1.5\n2.5,3.5,4.5\n2.5,1.5,4.5\n", False),
    ],
)
def test_fractions_are_a_header_if_they_are_steps_of_a_scale(
    tmp_path: Path, text: str, named: bool
) -> None:
    (tmp_path / "s.csv").write_text(text)
    assert (not read_sample("s.csv", tmp_path).names) is named


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


def test_numbers_in_texts_of_json_are_noted(json_lines: Infer) -> None:
    found = column(json_lines({"a": "1,000"}, {"a": "2"}), "a")
    assert (found.logical, found.notes) == (
        "string", ("numbers as texts: text, since that is what the file has",)
    )  # fmt: skip


def test_names_of_persons_of_the_world_are_told_by_their_two_parts(csv: Infer) -> None:
    names = ["Juan Perón", "Mohammed Zahir Shah", *(f"Xi{c} Mb{c}eki" for c in "abcdefgh")]
    rows = "".join(f"{i},{name}\n" for i, name in enumerate(names))
    assert column(csv(f"n,name\n{rows}"), "name").protect == "pseudonymize"
    assert column(csv(f"n,chief\n{rows}"), "chief").notes[-1].startswith("may be names of persons")
    places = "".join(f"{i},Port{c} {c}ville\n" for i, c in enumerate("abcdefghij"))
    assert column(csv(f"n,name\n{places}"), "name").classification is None


@pytest.mark.parametrize(
    ("text", "types", "marks"),
    [
        # German: what is 1.234 in one column follows from another
        ("a;b;c\n1.234,50;1.234;7\n2,25;2.345;8\n", ["number", "integer", "integer"], (",", ".")),
        # one column against two
        ("a;b;c\n1,5;2,5;52.52\n2,25;3,5;13.4\n", ["number", "number", "string"], (",", "")),
        # alone it could be both, and so it stays as it is
        ("a;b\n1,234;x\n2,345;y\n", ["string", "string"], (".", "")),
        # small numbers have no comma
        ("a;b\n1,234;x\n345;y\n", ["integer", "string"], (".", ",")),
        # dates and versions are no numbers
        (
            "a,b,c\n2024-01-31,1.2.3,1\n2024-02-01,1.2.4,2\n",
            ["date", "string", "integer"],
            (".", ""),
        ),
        ("a;b\n1'234.5;1\n12'000;2\n", ["number", "integer"], (".", "'")),
    ],
)
def test_a_file_has_one_way_to_write_numbers(
    csv: Infer, text: str, types: list[str], marks: tuple[str, str]
) -> None:
    proposal = csv(text)
    written = proposal.sample.written
    assert (written.decimal, written.thousands) == marks
    assert [p.logical for p in proposal.properties if p.field] == types
