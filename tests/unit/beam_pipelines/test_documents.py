"""Documents of a pipeline say what its two files say, and nothing that is in them takes effect."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from beam_pipelines.cli import main
from beam_pipelines.documents.escaping import code, label, prose, table
from beam_pipelines.documents.folder import FOLDER, documents
from beam_pipelines.documents.parts import Part, merged, written
from schemas.errors import SpecError
from schemas.planning import check_pipeline
from tests import leaks
from tests.pipelines import shop
from tests.unit.repo.test_repo_hygiene import ROOT

NAMES = ("data-requirements.md", "pipeline-architecture.md", "data-flow-diagram.md")
HOSTILE = (
    "a|b`c`<img src=x onerror=alert(1)>[x](javascript:x)**b**\n# h\r\n```\n<!-- penstock:end title -->"
    '\n<!-- penstock:begin title -->\x1b[2J\u202e%%{init: {}}%%"] --> evil'
)
MARKED = r"`a` *b* _c_ [d](e) <f> <b>g</b> &amp; \* ![h](i) ~~j~~ $k$ | l"
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40) | st.text('`|\\<>&*_[]()!#-+=.$~1 \n%"a')
MARKDOWN = MarkdownIt("commonmark").enable("table")


class Words(HTMLParser):
    """Collects what a reader sees of HTML, and the names of the tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen, self.tags = "", set[str]()
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.seen += data

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shop.make_folder(tmp_path)


def text_of(folder: Path) -> dict[str, str]:
    return {name: (folder / FOLDER / name).read_text(encoding="utf-8") for name in NAMES}


@pytest.mark.parametrize("name", ["flights", "events"])
def test_the_documents_of_the_worked_examples_are_current(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["docs", str(ROOT / "beam_pipelines" / name), "--check"])
    said = capsys.readouterr()
    assert code == 0, said.out + said.err


def test_what_a_person_wrote_stays_and_what_is_generated_follows_the_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["docs", str(folder)]) == 0
    assert capsys.readouterr().out.count(": new\n") == 3
    path = folder / FOLDER / "pipeline-architecture.md"
    mine = "Ask *Ada* before you change this.\n\n| my | table |\n"
    before, end, after = path.read_text().partition("<!-- penstock:end transformations -->\n")
    path.write_text(f"Mine first.\n{before}{end}\n{mine}{after}")
    assert main(["docs", str(folder), "--check"]) == 0
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("> 5", "> 7").replace("size: 1h", "size: 2h"))
    held = text_of(folder)
    capsys.readouterr()

    assert main(["docs", str(folder), "--check"]) == 1
    said = capsys.readouterr()

    assert "-5. Keep records of which `properties.amount > 5` is true." in said.out
    assert "+5. Keep records of which `properties.amount > 7` is true." in said.out
    assert said.err.startswith(
        "documents must be what `penstock docs` makes of the two files; got 1"
    )
    assert text_of(folder) == held, "--check writes nothing"

    assert main(["docs", str(folder)]) == 0
    assert f"{FOLDER}/pipeline-architecture.md: changed, +2 -2 lines" in capsys.readouterr().out
    text = path.read_text()
    assert text.startswith("Mine first.\n")
    assert text.count(mine) == 1
    assert "`properties.amount > 7`" in text
    assert "2h, 0s of lateness allowed" in text
    assert main(["docs", str(folder), "--check", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["documents"] == {f"{FOLDER}/{name}": "current" for name in NAMES}


def test_figures_that_were_measured_stay_until_they_are_measured_again(folder: Path) -> None:
    plan, _ = check_pipeline(folder)
    path = folder / FOLDER / NAMES[0]
    path.parent.mkdir(parents=True)
    path.write_text(documents(plan, ["- 7 records."])[0].after)
    unmeasured, again = documents(plan)[0], documents(plan, ["- 8 records."])[0]
    assert unmeasured.current
    assert "- 7 records." in unmeasured.after
    assert "- 8 records." in again.after
    assert "- 7 records." not in again.after


def test_line_ends_of_a_document_stay(folder: Path) -> None:
    main(["docs", str(folder)])
    path = folder / FOLDER / NAMES[1]
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert main(["docs", str(folder), "--check"]) == 0
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(pipeline.read_text().replace("> 5", "> 7"))
    main(["docs", str(folder)])
    assert b"> 7" in path.read_bytes()
    assert path.read_bytes().count(b"\r\n") == path.read_bytes().count(b"\n")


def test_a_document_that_cannot_be_read_is_named_with_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / FOLDER / NAMES[2]
    path.mkdir(parents=True)
    assert main(["docs", str(folder)]) == 2
    assert f"{path}:1: a document must be readable; got " in capsys.readouterr().err
    assert list(path.parent.iterdir()) == [path], "nothing is written if one cannot be"
    path.rmdir()
    path.write_bytes(b"mine\n\xff\n")
    assert main(["docs", str(folder)]) == 2
    assert f"{path}:2: a document must be UTF-8; got " in capsys.readouterr().err


PARTS = [Part(name=name, lines=(f"# {name}",)) for name in ("one", "two", "three")]


def test_a_new_part_comes_after_the_one_before_it_and_an_old_one_goes() -> None:
    old = written([PARTS[0], Part(name="gone", lines=("x",)), PARTS[2]]) + "\nmine\n"
    found = merged(old, PARTS, Path("x.md"))
    order = re.findall(r"begin (\w+)|(mine)", found)
    assert order == [("one", ""), ("two", ""), ("three", ""), ("", "mine")]
    assert merged(found, PARTS, Path("x.md")) == found
    assert merged(written(PARTS[1:]), PARTS, Path("x.md")) == written(PARTS)
    assert merged(written(PARTS[:2]), PARTS, Path("x.md")) == written(PARTS)


@pytest.mark.parametrize(
    ("text", "line", "got"),
    [
        ("# mine\n", 1, "none of them"),
        ("x\n<!-- penstock:begin one -->\n", 2, "`begin one` without its end"),
        ("<!-- penstock:end one -->\n", 1, "`end one` without its begin"),
        (f"{written(PARTS)}{PARTS[0].text()}", 12, "`begin one` a second time"),
        (
            "<!-- penstock:begin one -->\n<!-- penstock:begin two -->\n",
            2,
            "`begin two` within one",
        ),
    ],
)
def test_a_document_whose_markers_are_broken_is_left_alone(text: str, line: int, got: str) -> None:
    with pytest.raises(SpecError) as caught:
        merged(text, PARTS, Path("x.md"))
    (problem,) = caught.value.problems
    assert problem.line == line
    assert f"; got {got}; mend it" in problem.message


@given(TEXTS)
@example(HOSTILE)
@example(MARKED)
def test_prose_is_shown_as_it_is_in_paragraphs_and_cells(text: str) -> None:
    want = " ".join(shown(" ".join(text.split())).split())
    paragraph = Words(MARKDOWN.render(prose(text)))
    assert paragraph.seen.strip() == want
    assert paragraph.tags <= {"p", "code"}
    said, tags = cell(prose(text))
    assert (said, tags <= {"code"}) == (want, True)


PIECES = (
    "http:// HTTPS:// ftp:// www. mailto: xmpp: @ b.org/x ada &#64; &#58; ` | ( ) _ ~ * . < > \\"
)
ADDRESSES = st.lists(st.sampled_from([*PIECES.split(), " "]), max_size=9).map("".join)
URL = re.compile(r"(?:https?|ftp|mailto|xmpp)://|www\.", re.IGNORECASE)
MAIL = re.compile(r"[\w.+-]+@[\w-]+\.\w")


def autolinks(markdown: str) -> list[str]:
    """What GitHub makes a link of: addresses in the source, of mail also where they are escaped."""
    found = URL.findall(re.sub(r"(?<![\\`])`[^`]+`(?!`)", "", markdown))
    lines = [token.children or [] for token in MARKDOWN.parse(markdown) if token.type == "inline"]
    words = [token.content for line in lines for token in line if token.type == "text"]
    return found + [mail for text in words for mail in MAIL.findall(text)]


@given(ADDRESSES)
@example("see https://evil.example/x, (www.evil.example) or mail ada@evil.example!")
@example("a@b.org`|x")
def test_no_address_becomes_a_link(text: str) -> None:
    assert autolinks(prose(text)) == autolinks(f"x {code(text)} y") == []
    words = Words(MARKDOWN.render(prose(text)))
    assert words.seen.strip() == " ".join(shown(" ".join(text.split())).split())


def test_addresses_as_they_came_are_links() -> None:
    for text in (
        "see https://evil.example",
        "WWW.evil.example",
        "ada&#64;evil.example",
        "a\\@b.org",
    ):
        assert autolinks(text)
    assert prose("see (https://e.example/a_b).") == "see (`https://e.example/a_b`)."


@given(TEXTS)
@example(HOSTILE)
@example(MARKED)
def test_code_is_shown_as_it_is_in_paragraphs_and_cells(text: str) -> None:
    want = shown(text)
    paragraph = Words(MARKDOWN.render(f"x {code(text)}"))
    assert paragraph.seen == f"x {want}\n"
    assert paragraph.tags == {"p", "code"}
    assert cell(code(text)) == (want, {"code"})


def shown(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def cell(markdown: str) -> tuple[str, set[str]]:
    """What a reader sees of a cell between two others, and the tags in it."""
    html = MARKDOWN.render("\n".join(table(("a", "b", "c"), [("1", markdown, "3")])))
    (row,) = re.findall(r"<tbody>\n<tr>\n(.*)</tr>", html, re.DOTALL)
    cells = re.findall(r"<td>(.*?)</td>", row, re.DOTALL)
    assert [cells[0], cells[2:]] == ["1", ["3"]]
    words = Words(cells[1])
    return words.seen, words.tags


@given(TEXTS)
@example(HOSTILE)
@example(MARKED)
def test_a_label_holds_nothing_that_ends_it_or_that_mermaid_obeys(text: str) -> None:
    made = label(text)
    left = re.sub(r"#[0-9]+;", "", made)
    assert all(c.isalnum() or c in " _-./,()=" for c in left)
    assert re.sub(r"#([0-9]+);", lambda m: chr(int(m[1])), made) == shown(text)


def test_no_text_of_a_contract_takes_effect_in_a_document(tmp_path: Path) -> None:
    hostile, addressed = json.dumps(HOSTILE), json.dumps(f"mail ada@evil.example {HOSTILE}")
    column = (
        f"{{name: pieces, physicalName: {hostile}, description: {addressed}, logicalType: integer}}"
    )
    contract = shop.CONTRACT.replace("{name: pieces, logicalType: integer}", column)
    contract = contract.replace("name: Shop", f"name: {hostile}").replace(
        "Names a person.", hostile
    )
    contract = contract.replace(
        "schema:\n",
        f"description: {{purpose: {hostile}, usage: {hostile}, limitations: {hostile}}}\nschema:\n",
        1,
    )
    pipeline = shop.PIPELINE.replace('path: "data/*.jsonl*"', f"path: {hostile}")
    plan, _ = check_pipeline(shop.make_folder(tmp_path, contract=contract, pipeline=pipeline))
    found = {document.name.rpartition("/")[2]: document for document in documents(plan)}
    for document in found.values():
        markers = re.findall(r"<!-- .*? -->", MARKDOWN.render(document.after))
        assert len(markers) == len(set(markers))
        words = Words(re.sub(r"<!-- .*? -->", "", MARKDOWN.render(document.after)))
        known = {"h1", "h2", "p", "ul", "ol", "li", "code", "pre", "em"}
        assert words.tags <= known | {"table", "thead", "tbody", "tr", "th", "td"}
        assert "\x1b" not in document.after
        assert autolinks(re.sub(r"^```.*?^```", "", document.after, flags=re.M | re.S)) == []
        (folder := plan.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        (folder / document.name.rpartition("/")[2]).write_text(document.after)
    assert all(document.current for document in documents(plan)), "markers of others are no markers"
    seen = Words(MARKDOWN.render(found[NAMES[0]].after)).seen
    assert shown(HOSTILE) in seen
    (block,) = re.findall(r"```mermaid\n(.*?)\n```", found[NAMES[2]].after, re.DOTALL)
    (line,) = [line for line in block.splitlines() if "json files" in line]
    assert re.fullmatch(r'  files\[\("[^"`%<>{}|]*<br>json files"\)\] --> decode', line)


def test_personal_data_is_listed_with_its_protection_and_what_is_let_out_with_its_way(
    tmp_path: Path,
) -> None:
    head = '      - {property: "penstock:eventTime", value: at}\n'
    text = f'{head}      - property: "penstock:release"\n        value:\n'
    text += '          - {place: "processed.a", reason: "the | invoice"}\n'
    folder = leaks.make(
        tmp_path,
        contract=(head, text),
        pipeline=("steps:\n", "steps:\n  - derive: {a: upper(user)}\n"),
    )
    assert main(["docs", str(folder)]) == 0
    (part,) = re.findall(
        r"<!-- penstock:begin personal-data -->\n(.*)<!-- penstock:end",
        text_of(folder)[NAMES[0]],
        re.DOTALL,
    )
    lines = part.splitlines()
    assert "| `user` | restricted | kept in clear | the invoice names it |" in lines
    assert "| `name` | restricted | replaced by a keyed pseudonym |  |" in lines
    assert "| `extra.mail` | restricted | replaced by a keyed pseudonym |  |" in lines
    assert "| `private` | restricted | dropped |  |" in lines
    way = "user (keep) -> derive-1 -> a -> processed_data.people"
    assert f"| `processed.a` | `{way}` | the &#124; invoice |" in lines
    assert sum(" -> processed_data.people` |" in line for line in lines) == 3


def test_documents_say_what_the_files_say(folder: Path) -> None:
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(
        pipeline.read_text()
        .replace(
            "steps:\n",
            "  stream: {kafka: {topic: sales, brokers: b:9092}, disorder: 7s}\nsteps:\n",
        )
        .replace(
            "size: 1h}",
            "size: 1h, trigger: {type: after_watermark, early: {type: after_processing_time, "
            "delay: 9s}, late: {type: after_count, count: 5}}}",
        )
        .replace("warehouse: {}", "warehouse: {}\n  kafka: {topic: out, brokers: b:9092}")
    )
    contract = folder / "contract.odcs.yaml"
    contract.write_text(
        contract.read_text().replace(
            "schema:\n",
            "slaProperties:\n  - {property: latency, value: 5, unit: min}\n"
            "  - {property: retention, value: 2, unit: y, element: shop.sold_at}\nschema:\n",
            1,
        )
    )
    assert main(["docs", str(folder)]) == 0
    needs, built, flow = text_of(folder).values()
    assert "- Streams: Kafka `sales` on `b:9092` (json), up to 7s out of order;" in needs
    assert "Not known yet: no rows have landed." in needs
    assert "- Once only, by `sale_id` within 1d of event time" in needs
    assert "4. Derive `size` = `CASE WHEN properties.amount >= 50" in built
    assert "7. Deduplicate by `sale_id`, within 1d of event time." in built
    assert "The file names the dedupe earlier" in built
    assert (
        "| 1h, 0s of lateness allowed; early rows after 9s; late rows after 5 new rows |" in built
    )
    assert "promises latency 5 min: a run must be started at least that often, or a stream" in built
    assert "promises retention 2 y of `shop.sold_at`." in built
    assert "Kafka on `b:9092`, json: `processed_data.shop` to `out`" in built
    assert "| stream | `prism`, `flink` |" in built
    assert 'step3 --> step4["deduplicate-1<br>sale_id"]' in flow
    assert "clear & step1 & step2 -. refused .-> refused" in flow
    assert "| filtered | `filter-1` took it out |" in flow
    assert 'lake ==> sent[["Kafka<br>out"]]' in flow
