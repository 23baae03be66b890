"""What training would trip over, found before it does: bad files, duplicates, labels, balance, sizes."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attrimorph.data.images import FORMATS, open_image
from attrimorph.data.prepared import SPLITS, open_prepared
from attrimorph.data.readers.raw import preview
from attrimorph.data.schema import Schema
from attrimorph.data.source import Source
from attrimorph.errors import AttrimorphError

Severity = Literal["error", "warning", "note"]
LEAST_SIDE = 32  # pixels; smaller images hold hardly anything to learn
MOST_ASPECT = 3.0
RARE = 0.01  # share below which a binary attribute is hardly ever seen
FEW_OF_A_VALUE = 10
FEW_IMAGES = 200
SHOWN = 20  # values of one attribute


@dataclass(frozen=True)
class Finding:
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
    findings: list[Finding]
    seconds: float

    @property
    def errors(self) -> list[Finding]:
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
    path: str | Path | Source,
    *,
    format: str = "auto",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Look through a folder of images, raw or prepared: every file is hashed and decoded.

    Args:
        path: the folder, and how it is read where it is not recognised.
        format: of a path alone: one of `readers.FORMATS`, or "auto".
        workers: threads; None = one for each core.
        progress: called with (done, total).

    Raises:
        AttrimorphError: the folder cannot be read at all.
    """
    begin = time.perf_counter()
    source = path if isinstance(path, Source) else Source(Path(path), format)
    if source.prepared:
        data = open_prepared(source.path)
        files, split, schema, y = data.files, data.split.tolist(), data.schema, data.attributes.numpy()
        name, findings = "prepared", _skipped(data.skipped)
        why = f"schema.json lies there, made of {data.preprocessing.get('format', 'drawn images')}"
        left_out = [f"{len(data.skipped)} images that cannot be used"] if data.skipped else []
        hashes: list[str | None] = [_digest(image.tobytes()) for image in data.images]
    else:
        raw = source.read()
        files, split, schema, y = raw.relative(), raw.split, raw.schema, raw.encode()
        name, why, left_out = raw.name, raw.why, list(raw.notes)
        for names, what in ((raw.rows_without_image, "label rows"), (raw.images_without_row, "images without a label")):
            left_out += [f"{len(names)} {what}"] if names else []
        seen = _look_at(raw.files, workers, progress)
        hashes = [digest for digest, _, _ in seen]
        findings = _unreadable(files, [reason for _, _, reason in seen])
        findings += _sizes(files, [size for _, size, _ in seen])
        findings += _unmatched(raw.rows_without_image, raw.images_without_row)
    findings += _duplicates(files, split, hashes, y) + _splits(split) + _labels(schema, y, split)
    order = ("error", "warning", "note")
    return Report(
        path=str(source.path),
        format=name,
        why=why,
        images=len(files),
        splits={word: split.count(word) for word in SPLITS},
        attributes=_distribution(schema, y),
        left_out=left_out,
        findings=sorted(findings, key=lambda finding: order.index(finding.severity)),
        seconds=time.perf_counter() - begin,
    )


Seen = tuple[str | None, tuple[int, int] | None, str | None]


def _look_at(files: Sequence[Path], workers: int | None, progress: Callable[[int, int], None] | None) -> list[Seen]:
    """Return (hash of the bytes, size in pixels, why it cannot be used) of every file."""
    with ThreadPoolExecutor(workers or os.cpu_count(), thread_name_prefix="check") as pool:
        seen: list[Seen] = []
        for result in pool.map(_look, files):
            seen.append(result)
            if progress is not None and (len(seen) % 32 == 0 or len(seen) == len(files)):
                progress(len(seen), len(files))
    return seen


def _look(path: Path) -> Seen:
    try:
        digest = _digest(path.read_bytes())
    except OSError as error:
        return None, None, f"{path.name}: {error.strerror}"
    try:
        # The smallest decoding still reads the file to its end, and so finds it when it is cut short.
        open_image(path, least=1)
        with Image.open(path, formats=FORMATS) as image:
            return digest, image.size, None
    except AttrimorphError as error:
        return digest, None, str(error)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _unreadable(files: Sequence[str], reasons: Sequence[str | None]) -> list[Finding]:
    bad = [(file, reason) for file, reason in zip(files, reasons, strict=True) if reason]
    if not bad:
        return []
    first = "; ".join(f"{file}: {reason}" for file, reason in bad[:3])
    text = f"{len(bad)} of {len(files)} images cannot be read, they would be skipped: {first}"
    return [Finding("error", "unreadable", text, [file for file, _ in bad])]


def _skipped(skipped: Sequence[dict[str, str]]) -> list[Finding]:
    if not skipped:
        return []
    names = [entry["file"] for entry in skipped]
    return [
        Finding("note", "skipped", f"{len(names)} images were skipped when this was prepared: {preview(names)}", names)
    ]


def _sizes(files: Sequence[str], sizes: Sequence[tuple[int, int] | None]) -> list[Finding]:
    known = [(file, size) for file, size in zip(files, sizes, strict=True) if size]
    findings = []
    if tiny := [file for file, size in known if min(size) < LEAST_SIDE]:
        text = f"{len(tiny)} images are smaller than {LEAST_SIDE} pixels: {preview(tiny)}; leave them out"
        findings.append(Finding("warning", "tiny", text, tiny))
    if long := [file for file, size in known if max(size) > MOST_ASPECT * min(size)]:
        text = (
            f"{len(long)} images are more than {MOST_ASPECT:g} times as long as wide, most of them would be cut off: "
            f"{preview(long)}; crop them"
        )
        findings.append(Finding("warning", "aspect", text, long))
    counts = Counter(size for _, size in known)
    if len(counts) > 1:
        (common, often), least = counts.most_common(1)[0], min(counts, key=min)
        text = (
            f"images have {len(counts)} different sizes, most often {common[0]}x{common[1]} ({often} times), "
            f"the smallest {least[0]}x{least[1]}"
        )
        findings.append(Finding("note", "sizes", text))
    return findings


def _unmatched(rows: list[str], images: list[str]) -> list[Finding]:
    findings = []
    if rows:
        text = f"{len(rows)} label rows have no image: {preview(rows)}; they are left out"
        findings.append(Finding("warning", "rows-without-image", text, rows))
    if images:
        text = f"{len(images)} images have no label row: {preview(images)}; they are left out"
        findings.append(Finding("warning", "images-without-row", text, images))
    return findings


def _duplicates(
    files: Sequence[str], split: Sequence[str], hashes: Sequence[str | None], y: NDArray[np.float32]
) -> list[Finding]:
    groups: dict[str, list[int]] = {}
    for row, digest in enumerate(hashes):
        if digest is not None:
            groups.setdefault(digest, []).append(row)
    same = [rows for rows in groups.values() if len(rows) > 1]
    across = [rows for rows in same if len({split[row] for row in rows}) > 1]
    within = [rows for rows in same if len({split[row] for row in rows}) == 1]
    contrary = [rows for rows in same if any(not np.array_equal(y[rows[0]], y[row], equal_nan=True) for row in rows)]
    findings = []
    rules: tuple[tuple[list[list[int]], Severity, str, str], ...] = (
        (across, "error", "duplicates-across-splits", "images are the same file in different splits, figures on them "
         "would flatter; remove them from one"),
        (within, "warning", "duplicates", "images are the same file inside one split; remove all but one"),
        (contrary, "warning", "contradictions", "images are the same file with different labels; mend the labels"),
    )  # fmt: skip
    for found, severity, kind, text in rules:
        if found:
            names = [files[row] for rows in found for row in rows]
            example = " = ".join(files[row] for row in found[0][:3])
            told = f"{len(names)} {text} ({example})"
            findings.append(Finding(severity, kind, told, names))
    return findings


def _splits(split: Sequence[str]) -> list[Finding]:
    findings = []
    counts = {name: split.count(name) for name in SPLITS}
    if not counts["train"]:
        findings.append(Finding("error", "no-train", "the split train has no images; mend the split column"))
    elif counts["train"] < FEW_IMAGES:
        text = f"only {counts['train']} images are for training; expect it to learn them by heart; add some"
        findings.append(Finding("warning", "few", text))
    for name in ("valid", "test"):
        if not counts[name]:
            findings.append(
                Finding("note", "empty-split", f"the split {name} has no images; nothing can be measured on it")
            )
    return findings


def _labels(schema: Schema, y: NDArray[np.float32], split: Sequence[str]) -> list[Finding]:
    """Look at the labels of the train split (of all images when that is empty)."""
    inside = np.array([name == "train" for name in split])
    y = y[inside] if inside.any() else y
    found: dict[str, list[str]] = {"unlabelled": [], "missing": [], "constant": [], "rare": [], "few": []}
    for attribute in schema.attributes:
        part = y[:, schema.columns(attribute.name)]
        known = part[~np.isnan(part[:, 0])]
        if not len(known):
            found["unlabelled"].append(attribute.name)
            continue
        if len(known) < len(part):
            found["missing"].append(f"{attribute.name} ({1 - len(known) / len(part):.0%})")
        if (known == known[0]).all():
            found["constant"].append(attribute.name)
        elif attribute.kind == "binary" and not RARE <= float(known.mean()) <= 1 - RARE:
            found["rare"].append(f"{attribute.name} ({float(known.mean()):.1%})")
        elif attribute.kind == "categorical":
            counts = known.sum(0)
            found["few"] += [
                f"{attribute.name}={value} ({int(count)})"
                for value, count in zip(attribute.values, counts, strict=True)
                if count < FEW_OF_A_VALUE
            ]
    findings = []
    rules: tuple[tuple[str, Severity, str], ...] = (
        ("unlabelled", "error", "attributes have no label in train at all: {}; leave them out"),
        ("constant", "warning", "attributes never vary in train, nothing can be learned: {}; leave them out"),
        ("rare", "warning", "binary attributes are nearly always the same in train (share that has it): {}"),
        ("few", "warning", "values have fewer than 10 training images (number): {}"),
        ("missing", "note", "attributes are missing for some images (share): {}; losses pass over these"),
    )  # fmt: skip
    for kind, severity, text in rules:
        if names := found[kind]:
            findings.append(Finding(severity, kind, f"{len(names)} {text.format(preview(names, 8))}", names))
    for group in schema.exclusive:
        held = np.nansum(y[:, [schema.columns(name).start for name in group]], axis=1)
        if more := int((held > 1).sum()):
            text = f"{more} images have more than one of {', '.join(group)}, which exclude each other"
            findings.append(Finding("note", "exclusive", text))
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
