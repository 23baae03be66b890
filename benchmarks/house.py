"""The house in figures, read from the code itself: size, rooms, names, and what one edit costs.

    python benchmarks/house.py

Prints the table of docs/development.md: each figure beside its bar. Imports inside functions and those for types alone
count like any other where circles and rooms are looked for: they bind a reader as much.
"""

import ast
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
ROOT = SOURCE / "attrimorph"
# Whoever stands in a later row may import from the rows before it and from its own.
FLOORS = (
    ("console", "errors", "files", "version"),
    ("losses", "networks", "recipe"),
    ("data",),
    ("charts", "pictures"),
    ("photographs",),
    ("models",),
    ("methods",),
    ("loading",),
    ("training",),
    ("evaluators", "metrics"),
    ("applications", "hub"),
    ("requests",),
    ("reproductions",),
    ("doctor", "studio"),
    ("attrimorph", "cli", "__main__"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# Runs in a process of its own: the files, modules and calls of one command, or of one move of a slider.
WATCH = """
import json, sys, threading
from pathlib import Path
out, words = sys.argv[1], sys.argv[2:]
files, codes, on = set(), {"encode": 0, "decode": 0}, threading.Event()
def watch(frame, event, argument):
    code = frame.f_code
    if on.is_set() and event == "call" and "/attrimorph/" in code.co_filename and code.co_name != "<module>":
        files.add(code.co_filename)
        caller = frame.f_back.f_code
        if code.co_name in codes and (caller.co_name, caller.co_filename) != (code.co_name, code.co_filename):
            if {"self", "images"} <= {*code.co_varnames} or {"self", "code"} <= {*code.co_varnames}:
                codes[code.co_name] += 1
threading.setprofile(watch)
"""
COMMAND = """
from attrimorph.cli import run
on.set()
sys.setprofile(watch)
assert run(words) == 0
"""
SLIDER = """
from starlette.testclient import TestClient
from attrimorph.studio.server import create_app
app = create_app()
known = {"authorization": f"Bearer {app.token}"}
with TestClient(app, base_url="http://127.0.0.1", headers=known) as client:
    head = {"content-type": "application/octet-stream"}
    photo = client.post("/api/open", content=Path(words[0]).read_bytes(), headers=head).json()["photo"]
    with client.websocket_connect("ws://127.0.0.1/live") as page:
        for number, strength in enumerate((0.5, 0.7)):
            state = {"stream": 0, "number": number, "model": "drawn-faces-64", "source": {"photo": photo}}
            page.send_text(json.dumps(state | {"changes": {"Smiling": strength}}))
            page.receive_bytes()
            # The first one opens the photograph; a slider is what comes after, until the server ends.
            on.clear() if number else on.set()
"""
DONE = """
sys.setprofile(None)
modules = [name for name in sys.modules if name.partition(".")[0] == "attrimorph"]
Path(out).write_text(json.dumps({"files": len(files), "modules": len(modules), **codes}))
"""

DRAW = """
import sys
from pathlib import Path
from PIL import Image
from attrimorph.data.drawn.synthetic import write_faces
folder = Path(sys.argv[1])
Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(folder / "picture.png")
write_faces(folder / "faces", count=24, size=32)
"""


def modules() -> dict[str, ast.Module]:
    """Return every module of the package by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        dotted = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        found[dotted] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def code_lines(path: Path) -> int:
    """Return the lines that are neither docstring, import, comment nor blank."""
    text = path.read_text(encoding="utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            left_out.update(range(node.lineno, node.end_lineno + 1))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            left_out.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in empty:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - left_out)


def imports(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Return the own modules that each module imports, anywhere in it."""
    found: dict[str, set[str]] = {}
    for module, tree in trees.items():
        names = found.setdefault(module, set())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                dotted = [f"{node.module}.{alias.name}" for alias in node.names]
                names.update(name if name in trees else node.module for name in dotted)
            elif isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
        names &= trees.keys() - {module}
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the sets of modules each of which leads to every other."""

    def reach(start: str) -> set[str]:
        seen, todo = set(), [start]
        while todo:
            todo.extend(fresh := graph[todo.pop()] - seen)
            seen |= fresh
        return seen

    reached = {module: reach(module) for module in graph}
    groups = {frozenset(other for other in reached[m] if m in reached[other]) for m in graph if m in reached[m]}
    return sorted(map(sorted, groups))


def room(module: str) -> str:
    """Return the room that a module stands in; the package's face is its own."""
    return module.split(".")[1] if "." in module else module


def upwards(graph: dict[str, set[str]]) -> list[str]:
    """Return "room -> room" wherever one imports from a floor above its own."""
    pairs = {(room(a), room(b)) for a, found in graph.items() for b in found}
    return sorted(f"{a} -> {b}" for a, b in pairs if FLOOR[b] > FLOOR[a])


def models_of(trees: dict[str, ast.Module]) -> set[str]:
    """Return the names of all classes that are models, the base class left out."""
    bases = {
        node.name: {ast.unparse(base) for base in node.bases}
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"Model"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found - {"Model"} | {"AxisEditor"}


def asked_of_classes(trees: dict[str, ast.Module]) -> Iterator[str]:
    """Name the modules that ask whether something is of a concrete class of model, once for each time."""
    concrete = models_of(trees)
    for module, tree in trees.items():
        if room(module) == "reproductions":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                names = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
                if names & concrete:
                    yield module


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many parameters a function has beside self."""
    named = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len(named) - (named[:1] in (["self"], ["cls"]))


def watch(folder: Path, *words: str, code: str = COMMAND) -> dict[str, int]:
    """Run a command and return its own files that did something, its own modules, its encodes and decodes."""
    out = folder / "watched.json"
    command = [sys.executable, "-c", WATCH + code + DONE, str(out), *words]
    subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL)
    return json.loads(out.read_text())


def seconds(*words: str) -> float:
    """Return the least wall time of three runs of the interpreter."""
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, env=environment(), stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - begin)
    return min(taken)


def environment() -> dict[str, str]:
    """Return the surroundings of the commands: this source, one thread."""
    return os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield each figure, as it is, and its bar."""
    trees = modules()
    graph = imports(trees)
    files = sorted(ROOT.rglob("*.py"))
    importers = Counter(name for found in graph.values() for name in found)
    classes = Counter(n.name for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef))
    functions = [
        n for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    code = sum(map(code_lines, files))
    largest = max(Counter(path.parent for path in files).values())
    yield "lines of code without docstrings, blanks, imports, comments", f"{code:,}", "18,500"
    yield "files; largest folder", f"{len(files)}; {largest}", "200; 22"
    yield (
        "modules with at most one importer",
        f"{sum(importers[m] <= 1 for m in trees if m != 'attrimorph')}",
        "45",
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        edit = ("edit", str(folder / "picture.png"), "--set", "Smiling=1")
        subprocess.run([sys.executable, "-c", DRAW, str(folder)], check=True, env=environment())
        edited = watch(folder, *edit, "--out", str(folder / "watched.png"))
        trained = watch(
            folder, "train", "quickstart", "--data", str(folder / "faces"), "--out", str(folder / "run"),
            *["--training.images", "64", "--training.checkpoint-images", "64", "--training.sample-images", "64"],
            *["--training.precision", "float32", "--training.memory-format", "contiguous"],
        )  # fmt: skip
        slid = watch(folder, str(folder / "picture.png"), code=SLIDER)
        ours = seconds("-m", "attrimorph", *edit, "--out", str(folder / "timed.png"))
        routes = " / ".join(str(route["files"]) for route in (trained, edited, slid))
        yield "files on the routes train / edit / slider (as executed)", routes, "28 / 18 / 14"
        yield "own modules imported by `attrimorph edit`", str(edited["modules"]), "70"
        yield (
            "wall time of `attrimorph edit` over that of `import torch`",
            f"{ours / seconds('-c', 'import torch'):.1f}",
            "1.5",
        )
        yield "encodes and decodes of one `edit`", f"{edited['encode']} and {edited['decode']}", "1 and 2"
    found = circles(graph)
    yield "import circles; rooms that import upwards", f"{len(found)}; {len(upwards(graph))}", "0; 0"
    yield "class names that stand for two things", str(sum(count > 1 for count in classes.values())), "8"
    yield "functions of 10 and more parameters", str(sum(parameters(node) >= 10 for node in functions)), "10"
    yield (
        "isinstance of a concrete model class outside reproductions",
        str(sum(1 for _ in asked_of_classes(trees))),
        "3",
    )
    for circle in found:
        print("circle:", ", ".join(circle), file=sys.stderr)
    for pair in upwards(graph):
        print("upwards:", pair, file=sys.stderr)


def main() -> None:
    print("| figure | now | bar |\n|---|---|---|")
    for row in rows():
        print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
