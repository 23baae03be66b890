"""What training would trip over, found before it does: bad files, duplicates, labels, balance, sizes."""

import hashlib
import io
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attrimorph.data import SPLITS, Schema
from attrimorph.data.images import FORMATS, decoded_image
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.data.readers import Source
from attrimorph.data.readers.raw import preview
from attrimorph.errors import AttrimorphError
from attrimorph.files import LARGEST_READ, check_plain

Severity = Literal["error", "warning", "note"]
LEAST_SIDE = 32  # pixels; smaller images hold hardly anything to learn
MOST_ASPECT = 3.0
RARE = 0.01  # share below which a binary attribute is hardly ever seen
FEW_OF_A_VALUE = 10
FEW_IMAGES = 200
SHOWN = 20  # values of one attribute
AT_ONCE = 4096  # files that wait to be looked at
BYTES_AT_ONCE = 64 << 20  # of prepared images that are in memory


@dataclass(frozen=True)
class Issue:
    """One thing found.

    Attributes:
        severity: "error" = training would fail or its figures would be wrong; "warning" = it would learn less; "note".
        kind: one word for the kind of finding, for programs.
        text: a sentence with the remedy.
        files: the files (or attributes) concerned, all of them.
    """

    severity: Severity
    kind: str
    text: str
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Attributes:
        path, format: what was looked at.
        why: it was read as that format.
        images: how many there are.
        splits: split -> images.
        attributes: name -> kind, how many labels are known, and how they are distributed.
        left_out: what was left out or assumed, in sentences.
        findings: errors first.
        seconds: the check took.
    """

    path: str
    format: str
    why: str
    images: int
    splits: dict[str, int]
    attributes: dict[str, dict[str, Any]]
    left_out: list[str]
    findings: list[Issue]
    seconds: float

    @property
    def errors(self) -> list[Issue]:
        """The findings that must be mended before training."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the report in sentences."""
        splits = ", ".join(f"{count} {name}" for name, count in self.splits.items())
        counts = Counter(finding.severity for finding in self.findings)
        tail = ", ".join(f"{counts[name]} {name}s" for name in ("error", "warning", "note") if counts[name])
        return [
            f"{self.path}: {self.images} images ({splits}), checked in {self.seconds:.1f} s",
            f"layout: {self.format}, as {self.why}",
            *(f"{name}: {_told(entry, self.images)}" for name, entry in self.attributes.items()),
            *([] if self.attributes else ["no labels: for methods that need none"]),
            f"left out: {'; '.join(self.left_out) or 'nothing'}",
            *(f"{finding.severity}: {finding.text}" for finding in self.findings),
            tail or "nothing found",
        ]


def _told(entry: Mapping[str, Any], images: int) -> str:
    """Say how one attribute is distributed."""
    known = int(entry["known"])
    if "counts" in entry:
        values = [f"{value} {count}" for value, count in entry["counts"].items()]
        words = preview(values, SHOWN)
    elif "share" in entry:
        words = f"{round(entry['share'] * known)} have it, {known - round(entry['share'] * known)} have not"
    elif "mean" in entry:
        words = f"{entry['least']:.6g} to {entry['most']:.6g}, mean {entry['mean']:.4g}"
    else:
        words = "nobody knows"
    return f"{entry['kind']}, {words}" + (f", {images - known} missing" if known < images else "")


def check(
    path: str | Path | Source, *, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Report:
    """Look through a folder of images, raw or prepared: every file is hashed and decoded.

    Args:
        path: the folder, and how it is read where it is not recognised.
        workers: threads; None = one for each core.
        progress: called with (done, total).

    Raises:
        AttrimorphError: the folder cannot be read at all, or prepared images are not what was prepared.
    """
    begin = time.perf_counter()
    source = Source.of(path)
    if source.prepared:
        data = open_prepared(source.path)
        files, split, schema, y = data.files, data.split.tolist(), data.schema, data.attributes.numpy()
        name, why = "prepared", f"schema.json lies there, made of {data.preprocessing.get('format', 'drawn images')}"
        skipped = [entry["file"] for entry in data.skipped]
        left_out = [f"{len(skipped)} images that cannot be used"] if skipped else []
        hashes = np.fromiter(_hashes(data, progress), np.uint64, len(files))
        findings = found([("note", "skipped", skipped, "{n} images were skipped when this was prepared: {names}")])
    else:
        raw = source.read()
        files, split, schema, y = raw.relative(), raw.split, raw.schema, raw.encode()
        name, why, left_out = raw.name, raw.why, list(raw.notes)
        for names, what in ((raw.rows_without_image, "label rows"), (raw.images_without_row, "images without a label")):
            left_out += [f"{len(names)} {what}"] if names else []
        # Millions of tuples and strings would take gigabytes.
        hashes, sizes, reasons = np.zeros(len(files), np.uint64), np.zeros((len(files), 2), np.int32), dict[int, str]()
        with ThreadPoolExecutor(workers or os.cpu_count(), thread_name_prefix="check") as pool:
            # A part at a time: what waits to be looked at takes a kilobyte for each file.
            parts = (raw.files[start : start + AT_ONCE] for start in range(0, len(files), AT_ONCE))
            looks = chain.from_iterable(pool.map(_look, part) for part in parts)
            for row, (digest, size, reason) in enumerate(looks):
                hashes[row], sizes[row] = digest, size
                if reason:
                    reasons[row] = reason
                if progress is not None and ((row + 1) % 32 == 0 or row + 1 == len(files)):
                    progress(row + 1, len(files))
        findings = _unreadable(files, reasons) + _sizes(files, sizes)
        findings += found([
            ("warning", "rows-without-image", raw.rows_without_image, "{n} label rows have no image: {names}; they are "
             "left out"),
            ("warning", "images-without-row", raw.images_without_row, "{n} images have no label row: {names}; they are "
             "left out"),
        ])  # fmt: skip
    findings += _duplicates(files, split, hashes, y) + _splits(split) + _labels(schema, y, split)
    order = ("error", "warning", "note")
    return Report(
        str(source.path),
        name,
        why,
        len(files),
        {word: split.count(word) for word in SPLITS},
        _distribution(schema, y),
        left_out,
        sorted(findings, key=lambda finding: order.index(finding.severity)),
        time.perf_counter() - begin,
    )


def _hashes(data: PreparedData, progress: Callable[[int, int], None] | None) -> Iterator[int]:
    """Yield the hash of every prepared image, when it is what was prepared."""
    at_once = max(1, BYTES_AT_ONCE // data.images[0].nbytes)
    for row in range(len(data)):
        digest = _digest(data.read(np.array([row]))[0].tobytes())  # of one row, compared with its checksum
        if (row + 1) % at_once == 0:
            data.release()
        if progress is not None and ((row + 1) % 256 == 0 or row + 1 == len(data)):
            progress(row + 1, len(data))
        yield digest


def _look(path: Path) -> tuple[int, tuple[int, int], str]:
    """Return the hash of a file's bytes (0: none), its size in pixels (0: none), and why it cannot be used."""
    try:
        if isinstance(path, Path):  # and not in an archive
            check_plain(path, LARGEST_READ)
        content = path.read_bytes()
    except OSError as error:
        return 0, (0, 0), f"{path.name}: {error.strerror}"
    except AttrimorphError as error:
        return 0, (0, 0), str(error)
    digest = _digest(content)
    try:
        # The smallest decoding still reads the file to its end, and so finds it when it is cut short.
        decoded_image(io.BytesIO(content), str(path), least=1)
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return digest, image.size, ""
    except AttrimorphError as error:
        return digest, (0, 0), str(error)


def _digest(content: bytes) -> int:
    """Hash to 8 bytes: of ten million files two others are taken for the same once in 400,000 data sets."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest()) or 1


def found(rules: Iterable[tuple[Severity, str, Sequence[str], str]], most: int = 3) -> list[Issue]:
    """Return a finding for each (severity, kind, names, sentence) that has names.

    Args:
        rules: in the sentence, {n} is how many names there are and {names} the first of them.
        most: so many.
    """
    return [
        Issue(severity, kind, text.format(n=len(names), names=preview(names, most)), list(names))
        for severity, kind, names, text in rules
        if names
    ]


def _unreadable(files: Sequence[str], reasons: Mapping[int, str]) -> list[Issue]:
    bad = [(files[row], reason) for row, reason in reasons.items()]
    first = "; ".join(f"{file}: {reason}" for file, reason in bad[:3])
    text = f"{len(bad)} of {len(files)} images cannot be read, they would be skipped: {first}"
    return [Issue("error", "unreadable", text, [file for file, _ in bad])] if bad else []


def _sizes(files: Sequence[str], sizes: NDArray[np.int32]) -> list[Issue]:
    least, most = sizes.min(1), sizes.max(1)
    tiny = [files[row] for row in np.flatnonzero((least > 0) & (least < LEAST_SIDE)).tolist()]
    long = [files[row] for row in np.flatnonzero(most > MOST_ASPECT * least).tolist()]
    findings = found([
        ("warning", "tiny", tiny, f"{{n}} images are smaller than {LEAST_SIDE} pixels: {{names}}; leave them out"),
        ("warning", "aspect", long, f"{{n}} images are more than {MOST_ASPECT:g} times as long as wide, most of them "
         "would be cut off: {names}; crop them"),
    ])  # fmt: skip
    kinds, first, counts = np.unique(sizes[least > 0], axis=0, return_index=True, return_counts=True)
    if len(kinds) > 1:
        # Of several as frequent, or as small, the one that comes first.
        often, smallest = np.lexsort((first, -counts))[0], np.lexsort((first, kinds.min(1)))[0]
        text = (
            f"images have {len(kinds)} different sizes, most often {'x'.join(map(str, kinds[often]))} ({counts[often]} "
            f"times), the smallest {'x'.join(map(str, kinds[smallest]))}"
        )
        findings.append(Issue("note", "sizes", text))
    return findings


def _duplicates(
    files: Sequence[str], split: Sequence[str], hashes: NDArray[np.uint64], y: NDArray[np.float32]
) -> list[Issue]:
    order, none = np.argsort(hashes, kind="stable"), np.uint64(0)
    edges = np.flatnonzero(np.diff(hashes[order], prepend=none, append=none))  # where another hash begins
    same = sorted(order[a:b].tolist() for a, b in pairwise(edges) if b - a > 1)
    across = [rows for rows in same if len({split[row] for row in rows}) > 1]
    contrary = [rows for rows in same if any(not np.array_equal(y[rows[0]], y[row], equal_nan=True) for row in rows)]
    rules: tuple[tuple[Severity, str, list[list[int]], str], ...] = (
        ("error", "duplicates-across-splits", across, "images are the same file in different splits, figures on them "
         "would flatter; remove them from one"),
        ("warning", "duplicates", [rows for rows in same if rows not in across], "images are the same file inside one "
         "split; remove all but one"),
        ("warning", "contradictions", contrary, "images are the same file with different labels; mend the labels"),
    )  # fmt: skip
    findings = []
    for severity, kind, alike, text in rules:
        names = [files[row] for rows in alike for row in rows]
        if names:
            example = " = ".join(names[: min(3, len(alike[0]))])
            findings.append(Issue(severity, kind, f"{len(names)} {text} ({example})", names))
    return findings


def _splits(split: Sequence[str]) -> list[Issue]:
    counts = {name: split.count(name) for name in SPLITS}
    train = counts["train"]
    rules: tuple[tuple[bool, Issue], ...] = (
        (not train, Issue("error", "no-train", "the split train has no images; mend the split column")),
        (0 < train < FEW_IMAGES, Issue("warning", "few", f"only {train} images are for training; expect it to learn "
                                         "them by heart; add some")),
        *((not counts[name], Issue("note", "empty-split", f"the split {name} has no images; nothing can be measured "
                                     "on it")) for name in ("valid", "test")),
    )  # fmt: skip
    return [finding for holds, finding in rules if holds]


def _labels(schema: Schema, y: NDArray[np.float32], split: Sequence[str]) -> list[Issue]:
    """Look at the labels of the train split (of all images when that is empty)."""
    inside = np.fromiter((name == "train" for name in split), bool, len(split))
    inside |= not inside.any()
    kinds: dict[str, list[str]] = {kind: [] for kind in ("unlabelled", "constant", "rare", "few", "missing")}
    for attribute in schema.attributes:
        part = y[inside, schema.columns(attribute.name)]
        known = part[~np.isnan(part[:, 0])]
        if not len(known):
            kinds["unlabelled"].append(attribute.name)
            continue
        if len(known) < len(part):
            kinds["missing"].append(f"{attribute.name} ({1 - len(known) / len(part):.0%})")
        if (known == known[0]).all():
            kinds["constant"].append(attribute.name)
        elif attribute.kind == "binary" and not RARE <= float(known.mean()) <= 1 - RARE:
            kinds["rare"].append(f"{attribute.name} ({float(known.mean()):.1%})")
        elif attribute.kind == "categorical":
            counts = zip(attribute.values, known.sum(0).astype(int).tolist(), strict=True)
            kinds["few"] += [f"{attribute.name}={value} ({count})" for value, count in counts if count < FEW_OF_A_VALUE]
    findings = found([
        ("error", "unlabelled", kinds["unlabelled"], "{n} attributes have no label in train at all: {names}; leave "
         "them out"),
        ("warning", "constant", kinds["constant"], "{n} attributes never vary in train, nothing can be learned: "
         "{names}; leave them out"),
        ("warning", "rare", kinds["rare"], "{n} binary attributes are nearly always the same in train (share that has "
         "it): {names}"),
        ("warning", "few", kinds["few"], "{n} values have fewer than 10 training images (number): {names}"),
        ("note", "missing", kinds["missing"], "{n} attributes are missing for some images (share): {names}; losses "
         "pass over these"),
    ], most=8)  # fmt: skip
    for group in schema.exclusive:
        held = np.nansum(y[np.ix_(inside, [schema.columns(name).start for name in group])], axis=1)
        if more := int((held > 1).sum()):
            text = f"{more} images have more than one of {', '.join(group)}, which exclude each other"
            findings.append(Issue("note", "exclusive", text))
    return findings


def _distribution(schema: Schema, y: NDArray[np.float32]) -> dict[str, dict[str, Any]]:
    result = {}
    for attribute in schema.attributes:
        part = y[:, schema.columns(attribute.name)].astype(np.float64)
        known = part[~np.isnan(part[:, 0])]
        entry: dict[str, Any] = {"kind": attribute.kind, "known": len(known)}
        if len(known) and attribute.kind == "binary":
            entry["share"] = round(float(known.mean()), 6)
        elif len(known) and attribute.kind == "categorical":
            entry["counts"] = dict(zip(attribute.values, known.sum(0).astype(int).tolist(), strict=True))
        elif len(known):
            numbers = known[:, 0] * attribute.scale + attribute.mean
            entry |= {"mean": float(numbers.mean()), "least": float(numbers.min()), "most": float(numbers.max())}
        result[attribute.name] = entry
    return result
