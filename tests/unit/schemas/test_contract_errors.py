"""What is wrong with a contract is said: all of it, with line, in words that help."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.contract_file import read_contract
from schemas.errors import SpecError
from schemas.located import parse

TABLE = Path(__file__).parent / "contracts" / "wrong.txt"
HEAD = """\
apiVersion: v3.1.0
kind: DataContract
id: t
version: 1.0.0
schema:
  - name: t
"""


def cases() -> Iterator[tuple[str, str, list[str]]]:
    for section in TABLE.read_text(encoding="utf-8").split("\n## ")[1:]:
        claim, *lines = section.rstrip("\n").split("\n")
        text = [line for line in lines if not line.startswith("=> ")]
        said = [line.removeprefix("=> ") for line in lines if line.startswith("=> ")]
        yield claim, contract(text), said


def contract(lines: list[str]) -> str:
    if not lines[0].startswith(("- ", "@ ")):
        return "\n".join(lines)
    schema = [f"    {line.removeprefix('@ ')}\n" for line in lines if line.startswith("@ ")]
    properties = [f"      {line}\n" for line in lines if not line.startswith("@ ")]
    return "".join([HEAD, *schema, "    properties:\n", *properties])


CASES = list(cases())


@pytest.mark.parametrize(("text", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_wrong_contract_is_refused_with_everything_that_is_wrong(
    text: str, said: list[str]
) -> None:
    with pytest.raises(SpecError) as caught:
        read_contract(parse(text.encode(), Path("c.yaml")))
    assert [f"{problem.line}: {problem.message}" for problem in caught.value.problems] == said


def test_the_table_is_read_whole() -> None:
    assert len(CASES) == TABLE.read_text(encoding="utf-8").count("\n## ") > 60
    assert all(said for _, _, said in CASES)


def test_a_file_with_hundreds_of_faults_names_the_first_hundred() -> None:
    bad = "".join(f"      - {{name: a{i}, logicalType: strng}}\n" for i in range(500))
    with pytest.raises(SpecError) as caught:
        read_contract(parse(f"{HEAD}    properties:\n{bad}".encode(), Path("c.yaml")))
    assert len(caught.value.problems) == 100
