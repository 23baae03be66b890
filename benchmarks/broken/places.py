"""Places that cannot be written or read: full, forbidden, taken, locked."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .case import Case, Kit

Words = Callable[[Kit, Path], list[str]]
USE = ("--device", "cpu")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
FULL = {"train": 64 * 1024}  # bytes of the small disk: for a recipe and a log, for no model


def cannot_mount() -> str:
    """Return why no small disk can be mounted here, or ""."""
    return "" if ROOT and shutil.which("mount") else "only root can mount a small disk"


def cannot_become_nobody() -> str:
    """Return why a process cannot run as nobody here, or ""."""
    return "" if ROOT and shutil.which("setpriv") else "only root can become nobody"


def full_disk(verb: str) -> Words:
    """Let `out` be a small disk; `unmount` ends it."""

    def make(kit: Kit, folder: Path) -> list[str]:
        out = folder / "out"
        out.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={FULL.get(verb, 4096)}", "none", str(out)], check=True)
        return VERBS[verb](kit, out)

    return make


def unmount(folder: Path) -> None:
    """Take the small disk of a case away, where it has one."""
    if os.path.ismount(folder / "out"):
        subprocess.run(["umount", "-l", str(folder / "out")], check=True)


def at(*place: str, prepare: Callable[[Kit, Path], object] = lambda kit, folder: None) -> Callable[[str], Words]:
    """Return a maker of words whose output goes to a place below the folder."""

    def verb(name: str) -> Words:
        def make(kit: Kit, folder: Path) -> list[str]:
            prepare(kit, folder)
            return VERBS[name](kit, folder.joinpath(*place))

        return make

    return verb


def table(kit: Kit, folder: Path) -> Path:
    """Twenty labelled pictures in a folder beside `out`."""
    raw = folder.parent / "raw"
    raw.mkdir()
    for number in range(20):
        (raw / f"{number}.png").write_bytes(kit.face.read_bytes())
    rows = [f"{number}.png,{number % 2}" for number in range(20)]
    (raw / "attributes.csv").write_text("\n".join(["file_name,Smiling", *rows]) + "\n")
    return raw


VERBS: dict[str, Callable[[Kit, Path], list[str]]] = {
    "sample": lambda kit, out: [
        "sample",
        "--count",
        "400",
        "--model",
        str(kit.model),
        "--out",
        str(out / "a.png"),
        *USE,
    ],
    "edit": lambda kit, out: [
        *("edit", str(kit.face), "--set", "Smiling=1", "--model", str(kit.model), "--out", str(out / "a.png"), *USE)
    ],
    "morph": lambda kit, out: [
        *(
            "morph",
            str(kit.face),
            str(kit.face),
            "--steps",
            "90",
            "--model",
            str(kit.model),
            "--out",
            str(out / "a.png"),
            *USE,
        )
    ],
    "reconstruct": lambda kit, out: [
        "reconstruct",
        str(kit.face),
        "--model",
        str(kit.model),
        "--out",
        str(out / "a.png"),
        *USE,
    ],
    "transfer": lambda kit, out: [
        *(
            "transfer",
            str(kit.face),
            "--from",
            str(kit.face),
            "--model",
            str(kit.model),
            "--out",
            str(out / "a.png"),
            *USE,
        )
    ],
    "evaluate": lambda kit, out: [
        "evaluate",
        str(kit.model),
        "--count",
        "4",
        "--data",
        str(kit.data),
        "--out",
        str(out),
        *USE,
    ],
    "train": lambda kit, out: kit.train(out),
    "synthetic": lambda kit, out: ["data", "synthetic", str(out / "d"), "--count", "200", "--size", "16"],
    "shapes": lambda kit, out: [
        "data",
        "synthetic",
        str(out / "d"),
        "--kind",
        "shapes",
        "--count",
        "200",
        "--size",
        "16",
    ],
    "ring": lambda kit, out: ["data", "synthetic", str(out / "d"), "--kind", "ring", "--count", "9000"],
    "prepare": lambda kit, out: [
        "data",
        "prepare",
        str(table(kit, out)),
        "--out",
        str(out / "d"),
        "--image-size",
        "128",
    ],
    "check": lambda kit, out: ["data", "check", str(kit.data), "--out", str(out / "d" / "report.json")],
    "replay": lambda kit, out: ["replay", str(kit.receipts["sample"]), "--out", str(out / "a.png")],
}


def a_file(kit: Kit, folder: Path) -> None:
    (folder / "taken").write_text("taken")


def locked(kit: Kit, folder: Path) -> list[str]:
    """Another process holds the run's folder: one that sleeps until this one ends."""
    run = folder / "out"
    run.mkdir()
    script = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(run / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout
    holder.stdout.readline()
    HOLDERS.append(holder)
    return kit.train(run)


HOLDERS: list["subprocess.Popen[bytes]"] = []


def let_go() -> None:
    """End the processes that hold folders."""
    while HOLDERS:
        HOLDERS.pop().communicate(b"\n")


def unreadable(what: str) -> Words:
    """Return words that read something that only root may."""

    def make(kit: Kit, folder: Path) -> list[str]:
        folder.chmod(0o777)
        secret = folder / "secret"
        if what == "folder":
            secret.mkdir(mode=0o700)
            return ["data", "check", str(secret)]
        source = {"picture": kit.face, "model": kit.model, "receipt": kit.receipts["sample"]}.get(what, kit.face)
        path = secret.with_suffix(source.suffix if what != "recipe" else ".yaml")
        path.write_bytes(source.read_bytes())
        path.chmod(0o600)
        return {
            "picture": ["edit", str(path), "--set", "Smiling=1", "--model", str(kit.model), *USE],
            "model": ["sample", "--model", str(path), *USE],
            "receipt": ["replay", str(path)],
            "recipe": ["train", str(path)],
        }[what]

    return make


def forbidden(verb: str) -> Words:
    """Return words that write into a folder of root's."""

    def make(kit: Kit, folder: Path) -> list[str]:
        folder.chmod(0o755)
        return VERBS[verb](kit, folder / "roots")

    return make


def limited(verb: str) -> Words:
    """Return words whose files must stay below a limit of the system."""
    return lambda kit, folder: VERBS[verb](kit, folder / "out")


LIMIT = ("bash", "-c", 'ulimit -f 8; exec "$@"', "_")  # in units of 1024 bytes
TAKEN = at("taken", "deep", prepare=a_file)
PROC = at("..", *[".."] * 20, "proc", "no")
LONG = at("x" * 300)

PLACES: tuple[Case, ...] = (
    *(
        Case(f"a full disk: {verb}", full_disk(verb), "No space left", needs=cannot_mount())
        for verb in ("sample", "edit", "morph", "train", "synthetic", "shapes", "ring", "prepare", "evaluate", "replay")
    ),
    *(
        Case(f"below a file: {verb}", TAKEN(verb), "taken")
        for verb in ("sample", "train", "synthetic", "check", "evaluate")
    ),
    *(Case(f"in /proc: {verb}", PROC(verb), "proc") for verb in ("edit", "train", "morph", "transfer")),
    *(Case(f"a name of 300 letters: {verb}", LONG(verb), "too long") for verb in ("reconstruct", "train", "shapes")),
    Case("a run folder in use", locked, "another process is at work"),
    *(
        Case(f"a limit on the size of files: {verb}", limited(verb), "too large", prefix=LIMIT)
        for verb in ("sample", "synthetic", "train")
    ),
    *(
        Case(
            f"as nobody into root's folder: {verb}",
            forbidden(verb),
            "may not be written|Permission denied",
            prefix=NOBODY,
            needs=cannot_become_nobody(),
        )
        for verb in ("edit", "train", "ring")
    ),
    *(
        Case(
            f"as nobody a secret {what}",
            unreadable(what),
            "secret.*(ermission|denied)",
            prefix=NOBODY,
            needs=cannot_become_nobody(),
        )
        for what in ("picture", "model", "receipt", "recipe", "folder")
    ),
)
