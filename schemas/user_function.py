"""What a module of the user's own defines, read from its text: nothing of it is executed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from schemas.located import did_you_mean

CALL: Final = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)
"""`module:function`; the module may be dotted."""

_EVERYTHING: Final = "*"


def module_file(call: str, folder: Path) -> Path | None:
    """Return the file of a call's module in the pipeline folder, None if it has none there."""
    name = folder.joinpath(*call.partition(":")[0].split("."))
    for file in (name / "__init__.py", name.with_suffix(".py")):
        if file.is_file():
            return file
    return None


def check_function(call: str, file: Path) -> str | None:
    """Say what is wrong with the function of a call; None if nothing is, as far as its text says.

    Args:
        call: `module:function`.
        file: The module's file; it is parsed, not executed.
    """
    name = call.partition(":")[2]
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        return f"must be Python that parses; got an error in {file.name}:{line or 1}; correct it"
    except OSError as error:
        return f"must be readable; got {error.strerror} for {file.name}; correct that"
    found = list(_definitions(body))
    names = {defined for defined, _ in found}
    if name not in names:
        if _EVERYTHING in names:
            return None
        functions = [n for n, node in found if isinstance(node, ast.FunctionDef) and n[0] != "_"]
        hint = did_you_mean(name, functions) or "write it"
        return f"must name a function of {file.name}; got {name!r}; {hint}"
    last = [node for defined, node in found if defined == name][-1]
    return _unfit(last, file)


def _unfit(node: ast.AST, file: Path) -> str | None:
    """Say why a definition cannot be called with one batch, where its text alone decides that."""
    if isinstance(node, ast.AsyncFunctionDef):
        return f"must be a plain function; got `async def` in {file.name}:{node.lineno}; drop async"
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        return None
    a = node.args
    positional = len(a.posonlyargs) + len(a.args)
    missing = any(default is None for default in a.kw_defaults)
    needed = positional - len(a.defaults)
    if needed > 1 or missing or not (positional or a.vararg):
        return (
            f"must take one record batch; got other parameters in {file.name}:{node.lineno}; "
            f"write def {node.name}(batch)"
        )
    return None


def _definitions(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names that a module's own statements bind, with what binds them."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((a.asname or a.name.partition(".")[0], node) for a in node.names)
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.stmt):
                yield from _definitions([part])
            elif isinstance(part, ast.ExceptHandler | ast.match_case):
                yield from _definitions(part.body)
            else:
                names = (n for n in ast.walk(part) if isinstance(n, ast.Name))
                yield from ((n.id, n) for n in names if isinstance(n.ctx, ast.Store))
