"""What a module's text says of the function that a python step calls; it is never executed."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.user_function import check_function, module_file


def _said(folder: Path, text: str) -> str | None:
    (folder / "mine.py").write_text("raise SystemExit('it was executed')\n" + text)
    file = module_file("mine:score", folder)
    assert file is not None
    return check_function("mine:score", file)


@pytest.mark.parametrize(
    "text",
    [
        "def score(batch): ...",
        "def score(batch, scale=2, *more, loud=False): ...",
        "def score(*batches): ...",
        "class score: ...",
        "score = lambda batch: batch",
        "a, (score, b) = make()",
        "from elsewhere import score",
        "from elsewhere import other as score",
        "from elsewhere import *",
        "try:\n    import fast\nexcept ImportError:\n    def score(batch): ...",
        "if True:\n    pass\nelse:\n    def score(batch): ...",
        "@decorated\ndef score(a, b, c): ...",
        "with it as score: ...",
        "def score(): ...\ndef score(batch): ...",
    ],
)
def test_a_function_that_may_take_a_batch_is_accepted(tmp_path: Path, text: str) -> None:
    assert _said(tmp_path, text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def scor(batch): ...", "must name a function of mine.py; got 'score'; did you mean"),
        ("", "got 'score'; write it"),
        ("def other():\n    def score(batch): ...", "must name a function"),
        ("class A:\n    def score(self): ...", "must name a function"),
        ("import score.more as other", "must name a function"),
        ("def score(): ...", "must take one record batch; got other parameters in mine.py:2"),
        ("def score(a, b): ...", "must take one record batch"),
        ("def score(a, *, b): ...", "must take one record batch"),
        ("async def score(batch): ...", "got `async def` in mine.py:2"),
        ("def score(batch:\n", "must be Python that parses; got an error in mine.py:2"),
        ("\0", "must be Python that parses"),
    ],
)
def test_a_function_that_cannot_is_refused_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    found = _said(tmp_path, text)
    assert found is not None
    assert said in found


def test_a_module_may_be_a_package_or_lie_in_one(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    inner, package = tmp_path / "mine" / "steps.py", tmp_path / "mine" / "__init__.py"
    assert module_file("mine.steps:score", tmp_path) is None
    inner.write_text("")
    package.write_text("")
    assert module_file("mine.steps:score", tmp_path) == inner
    assert module_file("mine:score", tmp_path) == package
