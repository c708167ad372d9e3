"""What a reader of the repository may rely on, whatever else changes."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ("requirements.txt", "requirements-runtime.txt", "infra/local/requirements-uv.txt")


def tracked() -> list[Path]:
    """Every text file of the repository, or of the folder where there is no git."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


def texts() -> dict[str, str]:
    out = {}
    for path in tracked():
        try:
            out[str(path.relative_to(ROOT))] = path.read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
    return out


def test_no_file_names_a_folder_of_someones_machine() -> None:
    # Split, so that this file does not find itself.
    machine = re.compile(
        "(?<![\\w.])/(?:" + "|".join(["work", "home", "Users", "ro" + "ot"]) + ")/"
    )
    found = [
        f"{name}:{number}"
        for name, text in texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if machine.search(line)
    ]
    assert found == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    hosts = [
        "pypi." + "org",
        "python" + "hosted",
        "index-" + "url",
        "art" + "ifactory",
        "/sim" + "ple",
    ]
    allowed = {"infra/local/setup.sh", "infra/local/lock.sh"}  # they say that none is written
    found = [
        f"{name}: {host}"
        for name, text in texts().items()
        for host in hosts
        if host in text and name not in allowed
    ]
    assert found == []


def targets() -> dict[str, str]:
    """Make targets and the line that `make help` shows for each."""
    makefile = (ROOT / "Makefile").read_text()
    rules = re.findall(r"^([a-z][a-z-]*):(?!=)(.*)$", makefile, re.MULTILINE)
    return {name: rest.partition("##")[2].strip() for name, rest in rules}


def test_every_make_target_explains_itself() -> None:
    assert {"help", "setup", "demo", "test", "test-stack", "lint", "bench", "lock"} <= set(
        targets()
    )
    assert [name for name, said in targets().items() if not said] == []


def test_make_alone_lists_every_target() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [name for name in targets() if f"make {name} " not in shown] == []


def test_every_make_command_in_the_documentation_exists() -> None:
    pages = {n: t for n, t in texts().items() if n.endswith(".md") or n == "infra/local/demo.sh"}
    named = {
        (page, name)
        for page, text in pages.items()
        for name in re.findall(r"(?:^|`| {4})make ([a-z][a-z-]*)", text, re.MULTILINE)
    }
    assert named
    assert [entry for entry in named if entry[1] not in targets()] == []


def test_every_relative_link_of_the_documentation_leads_somewhere() -> None:
    pages = {n: t for n, t in texts().items() if n.endswith(".md")}
    broken = [
        f"{page}: {link}"
        for page, text in pages.items()
        for link in re.findall(r"\]\(([^)#\s]+)", text)
        if "://" not in link and not (ROOT / page).parent.joinpath(link).exists()
    ]
    assert broken == []


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_hash(lock: str) -> None:
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) == len(pins(lock))
    assert [e.split()[0] for e in entries if "--hash=sha256:" not in e] == []


def test_the_runtime_lock_has_the_versions_of_the_whole_lock() -> None:
    whole = pins("requirements.txt")
    runtime = pins("requirements-runtime.txt")
    assert {name: v for name, v in runtime.items() if whole.get(name) != v} == {}
    assert len(whole) > len(runtime)


def test_what_runs_a_local_pipeline_pulls_in_no_cloud_and_no_tensorflow() -> None:
    heavy = ("google-cloud", "boto3", "tensorflow", "snowflake", "pandas")
    assert [name for name in pins("requirements-runtime.txt") if name.startswith(heavy)] == []


def test_a_setup_in_place_takes_under_a_second_of_work_and_says_nothing() -> None:
    if not (ROOT / ".venv" / "penstock-setup").exists():
        pytest.skip("not set up by make setup")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["infra/local/setup.sh"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout + done.stderr == ""
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_ci_and_pre_commit_run_what_lint_runs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    for tool in ("ruff check", "ruff format --check", "mypy", "lint-imports"):
        assert f"$(BIN)/{tool}" in makefile
        assert f".venv/bin/{tool}" in hooks
    assert "make lint" in (ROOT / ".ci" / "run").read_text()


def test_every_package_that_the_rooms_import_is_named_in_setup_py() -> None:
    tree = ast.parse((ROOT / "setup.py").read_text())
    lists = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    named = lists["RUNTIME"] + [
        p for extra, ps in lists["EXTRAS"].items() if extra != "dev" for p in ps
    ]
    declared = {re.split(r"[\[<>=!~ ]", package)[0].lower().replace("_", "-") for package in named}
    owners = importlib.metadata.packages_distributions()
    missing = set()
    for path in tracked():
        if path.suffix != ".py" or path.relative_to(ROOT).parts[0] not in lists["ROOMS"]:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in {n.split(".")[0] for n in names} - sys.stdlib_module_names:
                by = {d.lower().replace("_", "-") for d in owners.get(name, [name])}
                if name not in lists["ROOMS"] and not by & declared:
                    missing.add((str(path.relative_to(ROOT)), name))
    assert missing == set()
