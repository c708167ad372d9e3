"""What a person sees shows no personal data: previews, dead letters, errors; and who asked is known.

Each test has its control: with the protection switched off the same search finds the canary.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beam_pipelines import cli, preview
from runners import audit
from schemas import contract_protection, contract_transforms, planning
from tests import leaks
from tests.pipelines.byte_search import find
from transforms import masking, protect, python_step

REFUSED = [route for route in leaks.routes() if route.said]
COLUMNS = [route for route in REFUSED if route.left is not None and route.left[0] == "/"]
STEPS = leaks.PIPELINE[leaks.PIPELINE.index("steps:") : leaks.PIPELINE.index("aggregates:")]
WITHOUT_STEPS = (STEPS, "", "[country, here, called]", "[country]")
LOOKS = (("preview",), ("preview", "--json"))
LISTS = (("dlq", "list"), ("dlq", "list", "--json"), ("dlq", "show"), ("dlq", "show", "--json"))

Say = Callable[..., str]


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Say:
    """Run the command; return all that it says."""

    def said(*arguments: str | Path, code: int = 0) -> str:
        capfd.readouterr()
        found = cli.main([str(a) for a in arguments])
        out = capfd.readouterr()
        assert found == code, out.err
        return out.out + out.err

    return said


def looked(say: Say, verb: tuple[str, ...], folder: Path) -> str:
    """What a verb with its flags says of a folder."""
    words = [w for w in verb if not w.startswith("--")]
    return say(*words, folder, *verb[len(words) :])


def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off the check of where personal data goes."""
    monkeypatch.setattr(planning, "check_personal", lambda *_: [])
    monkeypatch.setattr(contract_protection, "_unexplained", lambda _: False)
    monkeypatch.setattr(contract_transforms, "_personal", lambda _: False)


def in_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off the masking of screens."""
    monkeypatch.setattr(preview, "shape", str)
    monkeypatch.setattr(masking.Masks, "__call__", lambda _, record, *__, **___: record.decode())


@pytest.mark.parametrize("route", REFUSED, ids=lambda route: route.claim)
def test_what_a_run_is_refused_for_a_preview_is_too(
    tmp_path: Path, say: Say, route: leaks.Route
) -> None:
    folder = leaks.make(tmp_path, contract=route.contract, pipeline=route.pipeline)
    said = say("preview", folder, code=2)
    assert leaks.CANARY not in said
    assert str(leaks.SALARY) not in said


@pytest.mark.parametrize("route", COLUMNS, ids=lambda route: route.claim)
def test_with_check_and_masks_switched_off_a_preview_shows_it(
    tmp_path: Path, say: Say, route: leaks.Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert route.left is not None
    unchecked(monkeypatch)
    in_clear(monkeypatch)
    folder = leaks.make(tmp_path, contract=route.contract, pipeline=route.pipeline)
    assert route.left[1] in say("preview", folder, "--json").lower()


@pytest.mark.parametrize("verb", LOOKS, ids=" ".join)
@pytest.mark.parametrize("pipeline", [(), WITHOUT_STEPS], ids=["steps", "no steps"])
def test_a_preview_shows_what_is_kept_by_its_shape(
    tmp_path: Path,
    say: Say,
    verb: tuple[str, ...],
    pipeline: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = leaks.make(tmp_path, pipeline=pipeline)
    said = looked(say, verb, folder)
    assert leaks.CANARY not in said
    assert str(leaks.SALARY) not in said
    assert "aaaaaa-aaaaaaaa" in said
    in_clear(monkeypatch)
    said = looked(say, verb, folder)
    assert leaks.CANARY in said
    assert str(leaks.SALARY) in said


def broken(folder: Path) -> Path:
    """Make a folder with records that are refused by decode, by a rule and by a step."""
    maximum = "logicalTypeOptions: {maximum: 1}"
    contract = ("name: country, logicalType: string", (f"name: n, logicalType: integer, {maximum}}}\n"
                "      - {name: country, logicalType: string"))  # fmt: skip
    failing = 'steps:\n  - filter: {keep: "CAST(left(user, 1) AS BIGINT) > 0"}\n'
    leaks.make(folder, contract=contract, pipeline=("steps:\n", failing))
    rows = (folder / "data.jsonl").read_text().splitlines()
    wrong = [json.loads(row) for row in rows[:3]]
    wrong[0] |= {"salary": leaks.CANARY}
    # A key that looks like a name is told as a column that is not declared; others may be values.
    wrong[1] |= {"n": 7, f"{leaks.CANARY}@example.org": {"deep": [leaks.CANARY]}}
    texts = [*map(json.dumps, wrong), rows[3], f"{leaks.CANARY} is no JSON"]
    (folder / "data.jsonl").write_text("".join(f"{text}\n" for text in texts))
    return folder


def test_dead_letters_are_shown_by_their_shape_and_reasons_hold_no_value(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = broken(tmp_path)
    told = json.loads(say("run", folder, "--json").splitlines()[-1])
    assert {d["rule"] for d in told["destinies"]} >= {"type", "maximum", "json", "expression"}
    verbs = (*LOOKS, *LISTS)
    for verb in verbs:
        said = looked(say, verb, folder)
        assert leaks.CANARY not in said, verb
        assert "aaaaaa-aaaaaaaa" in said, verb
    assert not find([leaks.CANARY], folder / "out")
    in_clear(monkeypatch)
    for verb in verbs:
        assert leaks.CANARY in looked(say, verb, folder), verb


@pytest.mark.parametrize("hidden", [True, False], ids=["by class", "control"])
def test_an_exception_of_a_function_is_told_by_its_class(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch, *, hidden: bool
) -> None:
    step = 'steps:\n  - python: {call: "mine:fail", reads: [user], columns: {x: string}}\n'
    release = (
        '      - {property: "penstock:eventTime", value: at}\n',
        (
            '      - {property: "penstock:eventTime", value: at}\n      - property: "penstock:release"\n'
            "        value: [{place: processed.x, reason: because}]\n"
        ),
    )
    folder = leaks.make(tmp_path, contract=release, pipeline=("steps:\n", step))
    with (folder / "mine.py").open("a") as file:
        file.write("\n\ndef fail(batch):\n    raise ValueError(batch['user'][0].as_py())\n")
    if not hidden:  # its text is told instead
        name = lambda error: SimpleNamespace(__name__=str(error))  # noqa: E731
        monkeypatch.setattr(python_step, "type", name, raising=False)
    said = say("run", folder, "--json")
    said += "".join(looked(say, verb, folder) for verb in (*LOOKS, *LISTS))
    assert ("it raised ValueError" in said) == hidden
    assert (leaks.CANARY in said) == (not hidden)
    assert bool(find([leaks.CANARY], folder / "out")) == (not hidden)


@pytest.mark.parametrize("verb", ["run", "preview"])
def test_an_error_that_nobody_foresaw_is_told_without_its_text(
    tmp_path: Path, say: Say, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError(leaks.CANARY)

    folder = leaks.make(tmp_path)
    monkeypatch.setattr(protect.Protector, "protect", fail)
    said = say(verb, folder, code=1)
    assert "RuntimeError" in said
    assert leaks.CANARY not in said
    monkeypatch.setenv("PENSTOCK_DEBUG", "1")
    with pytest.raises(Exception) as raised:  # noqa: PT011  # whatever it is
        say(verb, folder)
    assert leaks.CANARY in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("verb", "action"),
    [
        (("preview", "--show-personal", "--json"), "preview"),
        (("dlq", "show", "--records"), "dlq.show"),
    ],
)
def test_who_asks_for_personal_data_is_in_the_audit_log_which_shows_that_it_was_changed(
    tmp_path: Path, say: Say, verb: tuple[str, ...], action: str
) -> None:
    folder = broken(tmp_path)
    say("run", folder, "--json")
    log = folder / "out" / audit.FILE
    before = log.read_text().splitlines()
    assert leaks.CANARY in looked(say, verb, folder)
    looked(say, verb, folder)
    lines = log.read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines[len(before) :]] == [action, action]
    assert {json.loads(line)["user"] for line in lines} == {audit.user()}
    assert leaks.CANARY not in log.read_text()
    assert audit.broken(log) is None
    first = len(before)
    for changed in (
        [*lines[:first], lines[first].replace(audit.user(), "somebody"), *lines[first + 1 :]],
        [*lines[:first], *lines[first + 1 :]],  # taken out
        [*lines[:first], lines[first + 1], lines[first]],  # in another order
    ):
        log.write_text("".join(f"{line}\n" for line in changed))
        assert audit.broken(log) == first + 1
    log.write_text("".join(f"{line}\n" for line in lines))
    assert audit.broken(log) is None
