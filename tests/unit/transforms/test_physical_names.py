"""A column may have another name in records than in tables: `physicalName`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.contract import Contract
from schemas.contract_file import read_contract
from schemas.errors import SourceError
from schemas.located import parse
from schemas.plan import FileSource
from transforms.decode.columnar import ColumnarDecoder
from transforms.decode.delimited import CsvDecoder
from transforms.decode.json_lines import JsonDecoder
from transforms.sources.blocks import Block
from transforms.synthetic.faults import Fault, breaker
from transforms.synthetic.written import json_lines

TEXT = """\
apiVersion: v3.1.0
kind: DataContract
id: t
version: 1.0.0
schema:
  - name: t
    properties:
      - {name: cost_total, physicalName: Cost Total $, logicalType: number, required: true}
      - {name: petal_width, physicalName: Petal.Width, logicalType: integer}
      - name: more
        physicalName: "_more.of it"
        logicalType: object
        customProperties: [{property: "penstock:open", value: true}]
        properties: [{name: e, logicalType: string}]
"""


@pytest.fixture
def contract() -> Contract:
    return read_contract(parse(TEXT.encode(), Path("c.yaml")))


def block(text: bytes, header: bytes = b"") -> Block:
    return Block("file:///x", 0, np.frombuffer(text, np.uint8).copy(), 0, header)


def test_json_is_read_by_the_key_and_lands_under_the_name(contract: Contract) -> None:
    text = b'{"Cost Total $": 1.5, "Petal.Width": 2, "cost_total": 9, "_more.of it": {"e": "x"}}\n'
    rows = JsonDecoder(contract).decode(block(text)).rows
    assert rows["cost_total"].to_pylist() == [1.5]
    assert rows["petal_width"].to_pylist() == [2]
    assert rows["more"].to_pylist() == ['{"e": "x"}']
    assert rows["more.e"].to_pylist() == ["x"]


def test_a_record_with_the_name_in_place_of_the_key_has_no_such_column(contract: Contract) -> None:
    decoded = JsonDecoder(contract).decode(block(b'{"cost_total": 9}\n'))
    assert decoded.rows.num_rows == 0
    assert decoded.refused["rule"].to_pylist() == ["required"]


def test_csv_is_read_by_the_key_and_lands_under_the_name(contract: Contract) -> None:
    header = b"Petal.Width,Cost Total $,_more.of it"
    decoder = CsvDecoder(contract, FileSource(path="x.csv", format="csv"))
    decoder.check(header, "x.csv")
    rows = decoder.decode(block(b'2,1.5,"{""e"":""x""}"\n', header)).rows
    assert rows.select(["cost_total", "petal_width", "more.e"]).to_pylist() == [
        {"cost_total": 1.5, "petal_width": 2, "more.e": "x"}
    ]
    with pytest.raises(SourceError, match=r"without 'Cost Total \$'"):
        decoder.check(b"cost_total,petal_width", "x.csv")


def test_parquet_is_read_by_the_key_and_lands_under_the_name(contract: Contract) -> None:
    data = pa.record_batch(
        {"Petal.Width": [2], "Cost Total $": [1.5], "_more.of it": ['{"e":"x"}']}
    )
    rows = ColumnarDecoder(contract).decode(Block("file:///x", 0, data, 0)).rows
    assert rows.select(["cost_total", "petal_width", "more.e"]).to_pylist() == [
        {"cost_total": 1.5, "petal_width": 2, "more.e": "x"}
    ]


def test_made_up_records_have_the_keys(contract: Contract) -> None:
    table = pa.table({"cost_total": [1.5], "petal_width": [2], "more": [{"e": "x"}]})
    (line,) = json_lines(table, contract).to_pylist()
    assert line == b'{"Cost Total $":1.5,"Petal.Width":2,"_more.of it":{"e":"x"}}\n'
    keys = {c.name: c.key for c in contract.columns}
    broken = breaker(keys, "json", FileSource(path="x"))(
        line, Fault(kind="missing", column="cost_total")
    )
    assert io.BytesIO(broken).read() == b'{"Petal.Width":2,"_more.of it":{"e":"x"}}\n'


def test_a_property_is_read_from_the_first_column_without_a_name() -> None:
    named = "{name: cost_total, physicalName: Cost Total $, logicalType: number, required: true}"
    text = TEXT.replace(named, '{name: car, physicalName: "", logicalType: string}')
    contract = read_contract(parse(text.encode(), Path("c.yaml")))
    source = FileSource(path="x", format="csv")
    decoder = CsvDecoder(contract, source)
    read = decoder.decode(block(b"Fiat,4\n", b",Petal.Width")).rows
    assert (read["car"].to_pylist(), read["petal_width"].to_pylist()) == (["Fiat"], [4])
    read = decoder.decode(block(b"Fiat,4,x\n", b",Petal.Width,")).rows
    assert read["car"].to_pylist() == ["Fiat"]
    assert JsonDecoder(contract).decode(block(b'{"": "Fiat"}\n')).rows["car"].to_pylist() == [
        "Fiat"
    ]
