"""Keys come by reference, stay secret, and are made once."""

from __future__ import annotations

import hashlib
import pickle
import stat
import threading
from pathlib import Path

import pytest

from schemas.errors import UsageError
from transforms.keys import DEFAULT_REFERENCE, Key, keep_key, make_default_key, resolve

SECRET = "correct horse battery staple".replace(" ", "-")


def key_file(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "keys"
    path.write_text(text)
    path.chmod(mode)
    return "file:keys"


def test_the_default_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    assert make_default_key(tmp_path) is True
    first = resolve(DEFAULT_REFERENCE, tmp_path).newest
    assert make_default_key(tmp_path) is False
    assert resolve(DEFAULT_REFERENCE, tmp_path).newest == first
    files = list(tmp_path.iterdir())
    assert [file.name for file in files] == [".penstock-key"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert len(first.secret) == 44


def test_of_processes_that_race_one_makes_the_key(tmp_path: Path) -> None:
    made: list[bool] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        made.append(make_default_key(tmp_path))
        resolve(DEFAULT_REFERENCE, tmp_path)  # whole at once: never found half written

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 7 + [True]
    assert [file.name for file in tmp_path.iterdir()] == [".penstock-key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(
        UsageError, match=f"file:keys must be readable by its owner only; got mode {mode:04o}"
    ):
        resolve(key_file(tmp_path, SECRET, mode), tmp_path)


def test_a_file_holds_several_keys_of_which_the_last_is_newest(tmp_path: Path) -> None:
    ring = resolve(key_file(tmp_path, f"# old\n{SECRET}\n\n  {SECRET}-2 \n# end\n"), tmp_path)
    assert [key.secret for key in ring.keys] == [SECRET, f"{SECRET}-2"]
    assert ring.newest.secret == f"{SECRET}-2"
    assert ring.by_id(ring.keys[0].id) == ring.keys[0]
    assert ring.by_id("00000000") is None


def test_a_key_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PENSTOCK_TEST_KEY", f"{SECRET} {SECRET}-2")
    assert resolve("env:PENSTOCK_TEST_KEY", tmp_path).newest.secret == f"{SECRET}-2"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("env:PENSTOCK_NO_SUCH_KEY", "env:PENSTOCK_NO_SUCH_KEY must be set"),
        ("file:nowhere", "file:nowhere must be a readable file; got No such file"),
        ("vault:x", "must be env:NAME or file:path; got 'vault:x'"),
        ("file:", "must be env:NAME or file:path"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(
    tmp_path: Path, reference: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(reference, tmp_path)


def test_a_short_secret_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 16 characters; got a shorter one") as error:
        resolve(key_file(tmp_path, f"{SECRET}\nhunter2\n"), tmp_path)
    assert "hunter2" not in str(error.value)
    assert SECRET not in str(error.value)


def test_an_empty_file_holds_no_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got none"):
        resolve(key_file(tmp_path, "# nothing yet\n"), tmp_path)


def test_keys_are_neither_printed_nor_pickled(tmp_path: Path) -> None:
    ring = resolve(key_file(tmp_path, SECRET), tmp_path)
    assert SECRET not in f"{ring!r} {ring} {ring.newest!r} {ring.newest}"
    for value in (ring, ring.newest):
        with pytest.raises(TypeError, match="must stay in its process"):
            pickle.dumps(value)


def test_an_id_says_which_key_it_is_and_nothing_of_it() -> None:
    assert Key(SECRET).id == hashlib.sha256(SECRET.encode()).hexdigest()[:8]


def test_a_run_goes_on_only_with_the_keys_of_the_rows_that_landed(tmp_path: Path) -> None:
    first, second = (Key(letter * 20).id for letter in "ab")
    ring = key_file(tmp_path, "a" * 20)
    assert keep_key(ring, tmp_path, [first], anew=False).newest.id == first
    key_file(tmp_path, f"{'a' * 20} {'b' * 20}")
    rotated = keep_key(ring, tmp_path, [first], anew=False)
    assert rotated.newest.id == second
    key_file(tmp_path, "b" * 20)
    with pytest.raises(UsageError, match=rf"\(id {first}\); got only {second}; restore it"):
        keep_key(ring, tmp_path, [first, second], anew=False)
    assert keep_key(ring, tmp_path, [first], anew=True).newest.id == second
    assert keep_key(ring, tmp_path, None, anew=False).newest.id == second


@pytest.mark.parametrize("used", [["abcdabcd"], None])
def test_a_lost_default_key_is_not_made_anew_in_silence(
    tmp_path: Path, used: list[str] | None
) -> None:
    with pytest.raises(UsageError, match="go on with --new-key"):
        keep_key(DEFAULT_REFERENCE, tmp_path, used, anew=False)
    assert list(tmp_path.iterdir()) == []
    made = keep_key(DEFAULT_REFERENCE, tmp_path, used, anew=True)
    assert keep_key(DEFAULT_REFERENCE, tmp_path, [made.newest.id], anew=False) == made


def test_the_default_key_is_made_for_a_lake_that_has_none(tmp_path: Path) -> None:
    assert keep_key(DEFAULT_REFERENCE, tmp_path, [], anew=False).keys
