"""What an editor of faces does to photographs, told by witnesses that taught nothing.

    python benchmarks/portraits.py MODEL ... --witness FOLDER --faces FOLDER [--photographs FOLDER] [--out FOLDER]

Every attribute of the model is set on held-out faces that lack it and taken away from those that have it, each alone.
The witness is an attribute classifier of another architecture (residual, batch norm, global mean) and crop (the inner
104 of 128 pixels) than any that teaches here; it learns from labelled faces of FOLDER (CelebA, LFW), which taught
nothing, and is trained at the first call. The identity is dlib's descriptor, where `dlib-bin` and
`face_recognition_models` are installed: same person below a distance of 0.6.
Sharpness is that of what changed, at 512 pixels, over the original's; skin is what is coloured like nose and cheeks.
Writes portraits.json, portraits.md and sheets of twelve people for each model. Of several the others are compared with
the first, on the edits that both were asked for: arena.md, and arena.jpg, twelve people by all of them. Intervals of
95 % are over people (bootstrap).
"""

import argparse
import importlib.metadata
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from attrimorph import load
from attrimorph.data.faces import find_faces
from attrimorph.data.images import Frame, aligned_frame
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.evaluators.evaluator import photographs, worn
from attrimorph.metrics.skin import skin, skin_lightness
from attrimorph.models.model import Model
from attrimorph.photographs.fields import Fields, apply, changed, explain
from attrimorph.pictures import sheet, to_pil

SEEN, INNER = 128, 104  # pixels of the witness's pictures, and of what it sees of them
IMAGES, BATCH = 160_000, 64
SAME = 0.6  # dlib's distance
LARGE = 512  # pixels at which sharpness is measured
TOUCHED = 0.03  # on the scale -1..1: a pixel that changes so much has changed
SHEET, CELL = 12, 192  # people on a sheet; pixels of one
FIFTHS = 5


class Block(nn.Module):
    """A residual block, [B, a, S, S] -> [B, b, S/2, S/2]."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.Conv2d(b, b, 3, 1, 1, bias=False),
            nn.BatchNorm2d(b),
        )  # fmt: skip
        self.past = nn.Conv2d(a, b, 1, 2, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        return F.relu(self.way(h) + self.past(h))


class Witness(nn.Module):
    """Pictures [B, 3, S, S] in [-1, 1] -> logits [B, W]."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        self.layers = nn.Sequential(
            nn.Conv2d(3, 64, 8, 4, 2, bias=False), nn.BatchNorm2d(64), nn.ReLU(), Block(64, 112), Block(112, 160),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(160, len(names)),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-1] != SEEN:
            images = F.interpolate(images, (SEEN, SEEN), mode="bilinear", antialias=True)
        edge = (SEEN - INNER) // 2
        found: Tensor = self.layers(images[..., edge:-edge, edge:-edge])
        return found


def witness_of(folder: Path, kept: Path) -> Witness:
    """Return the witness, trained on the train split of prepared faces where it is not kept already."""
    data = open_prepared(folder)
    witness = Witness(data.schema.names)
    if kept.is_file():
        witness.load_state_dict(torch.load(kept, weights_only=True))
        return witness.eval()
    rows, generator = data.indices("train"), torch.Generator().manual_seed(11)
    torch.manual_seed(11)
    optimiser = torch.optim.AdamW(witness.parameters(), 2e-3, weight_decay=0.02)
    steps, vary = IMAGES // BATCH, photographs(data.schema)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    witness.to(memory_format=torch.channels_last).train()
    for step in range(steps):
        at = rows[torch.randint(len(rows), (BATCH,), generator=generator).numpy()]
        x, y = pictures(data, at), data.attributes[at]
        x = worn(vary(x, None, generator)[0], generator).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.binary_cross_entropy_with_logits(witness(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        plan.step()
        if step % 100 == 0:
            print(f"\rwitness: {step * BATCH:,}/{IMAGES:,} images, loss {loss.item():.3f}", end="", flush=True)
    witness.eval()
    at = data.indices("test")
    right = (logits(witness, pictures(data, at)) > 0) == (data.attributes[at] > 0.5)
    print(f"\rwitness: {right.float().mean():.1%} right of {len(at):,} unseen faces' attributes")
    torch.save(witness.state_dict(), kept)
    return witness


def pictures(data: PreparedData, rows: np.ndarray[Any, Any]) -> Tensor:
    """Return images of prepared data, [n, 3, S, S] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(data.images[rows])).movedim(3, 1).float().div(127.5).sub(1)


@torch.no_grad()
def logits(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return what a network says of many pictures."""
    return torch.cat([network(part) for part in images.split(BATCH)])


def identity() -> Callable[[Tensor], Tensor] | None:
    """Return dlib's descriptor of aligned faces, [n, 3, S, S] -> [n, 128]; None where it is not installed."""
    try:
        import dlib

        files = importlib.metadata.files("face_recognition_models") or ()
    except (ImportError, importlib.metadata.PackageNotFoundError):
        return None
    paths = {Path(each).name: str(each.locate()) for each in files}
    predict = dlib.shape_predictor(paths["shape_predictor_5_face_landmarks.dat"])
    network = dlib.face_recognition_model_v1(paths["dlib_face_recognition_resnet_model_v1.dat"])

    def describe(images: Tensor) -> Tensor:
        found = []
        for image in to_pil(images):
            pixels = np.asarray(image.resize((256, 256)))
            shape = predict(pixels, dlib.rectangle(53, 75, 203, 225))
            found.append(np.array(network.compute_face_descriptor(dlib.get_face_chip(pixels, shape))))
        return torch.tensor(np.array(found))

    return describe


def detail(images: Tensor) -> Tensor:
    """Return the absolute Laplacian of luma, [n, S, S]."""
    luma = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    kernel = torch.tensor([[[[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]]])
    return F.conv2d(luma, kernel, padding=1).abs()[:, 0]


def fields_at(model: Model, images: Tensor, changes: dict[str, float]) -> tuple[Tensor, Fields]:
    """Return pictures as a model's edit changes them, and its fields: told, or found from its own before and after."""
    tells = getattr(model, "fields", None)
    if tells is not None:
        fields = tells(images, changes)
    else:
        fields = explain(*(model.edit(images, each).cpu() for each in ({}, changes)))
    return changed(images, fields), fields


def at_large(image: Tensor, fields: Fields) -> Tensor:
    """Return a picture [1, 3, L, L] in [-1, 1] as the fields of it, of any size, change it: as `edit` applies them."""
    side = next(part.shape[-1] for part in vars(fields).values() if part is not None)
    pixels = (image[0].permute(1, 2, 0).numpy() + 1) / 2
    scale = image.shape[-1] / side
    result = apply(pixels, Frame((scale, 0, 0, 0, scale, 0), side), fields)
    return torch.from_numpy(result).permute(2, 0, 1)[None].mul(2).sub(1)


def large_faces(folder: Path) -> Iterator[Tensor]:
    """Yield the largest face of each photograph of a folder, aligned, [3, 512, 512] in [-1, 1]."""
    for path in sorted(folder.iterdir()):
        image = Image.open(path).convert("RGB")
        if faces := find_faces(image, largest=True):
            pixels = np.array(aligned_frame(faces[0].eyes, LARGE).cut(image))
            yield torch.from_numpy(pixels).permute(2, 0, 1).float().div(127.5).sub(1)


def interval(values: np.ndarray[Any, Any], people: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return the mean of values and its interval of 95 %, bootstrap over people."""
    if not len(values):
        return {"mean": float("nan"), "low": float("nan"), "high": float("nan"), "count": 0}
    count = people.max() + 1
    sums, numbers = np.bincount(people, values, count), np.bincount(people, minlength=count)
    draws = np.random.default_rng(0).integers(count, size=(1000, count))
    means = sums[draws].sum(1) / np.maximum(numbers[draws].sum(1), 1)
    low, high = np.quantile(means, (0.025, 0.975))
    return {"mean": float(values.mean()), "low": float(low), "high": float(high), "count": len(values)}


Row = dict[str, Any]
"""What became of one edit: attribute, set, person, reached, others, distance, skin, sharpness."""


def measure(
    model: Model, images: Tensor, large: Tensor | None, witness: Witness, out: Path
) -> tuple[list[Row], dict[str, Any]]:
    """Edit every picture in every attribute, and return what became of every edit, and all figures.

    Args:
        model: the editor.
        images: held-out faces, [n, 3, S, S] in [-1, 1], S the model's image size; the last ones are those of `large`.
        large: the same at 512 pixels, or None.
        witness: who judges.
        out: where the sheets go.
    """
    names = [name for name in model.schema.names if name in witness.names]
    columns = [witness.names.index(name) for name in names]
    before = logits(witness, images)[:, columns] > 0
    rival = {name: {other for pair in model.schema.exclusive if name in pair for other in pair} for name in names}
    describe = identity()
    own = describe(images) if describe else None
    skins = skin(images)
    tone = skin_lightness(images, skins)
    fifth = (tone.argsort().argsort() * FIFTHS // len(tone)).numpy()
    grain = detail(large) if large is not None else None
    rows: list[Row] = []
    for at, name in enumerate(names):
        shown = []
        for sets in (True, False):
            who = (before[:, at] != sets).nonzero()[:, 0]
            for part in who.split(32) if len(who) else ():
                made, fields = fields_at(model, images[part], {name: 1.0 if sets else -1.0})
                after = logits(witness, made)[:, columns] > 0
                others = [i for i in range(len(names)) if names[i] != name and names[i] not in rival[name]]
                far = (describe(made) - own[part]).norm(dim=1) if describe and own is not None else None
                moved = skin_lightness(made, skins[part]) - tone[part]
                for i, person in enumerate(part.tolist()):
                    row = {
                        "attribute": name,
                        "set": sets,
                        "person": person,
                        "reached": bool(after[i, at] == sets),
                        "others": float((after[i, others] != before[person, others]).float().mean()),
                        "distance": float(far[i]) if far is not None else None,
                        "skin": float(moved[i]),
                    }
                    first = len(images) - len(large) if large is not None else len(images)
                    if large is not None and grain is not None and person >= first:
                        x = large[person - first, None]
                        result = at_large(x, fields[i])
                        touched = (result - x).abs().amax((0, 1)) > TOUCHED
                        if touched.sum() > 500:
                            ratio = detail(result)[0][touched].mean() / grain[person - first][touched].mean()
                            row["sharpness"] = float(ratio)
                    rows.append(row)
                if len(shown) < SHEET:
                    shown += [torch.stack([images[p], m]) for p, m in zip(part.tolist(), made, strict=True)][:6]
            print(f"\r{name}: {'set' if sets else 'taken away'}, {len(who)} people      ", end="", flush=True)
        pairs = torch.stack(shown[:SHEET])
        sheet([*pairs.unbind(1)], cell=256).save(out / f"{name}.jpg", quality=88)
    print()
    return rows, summary(rows, names, fifth, before)


def summary(rows: list[Row], names: list[str], fifth: Any, before: Tensor) -> dict[str, Any]:
    """Return figures of all, by attribute and direction, and by group."""
    people = np.array([row["person"] for row in rows])
    which = np.array([row["attribute"] for row in rows])
    sets = np.array([row["set"] for row in rows])
    has = {name: before[:, names.index(name)].numpy()[people] for name in ("Male", "Young") if name in names}

    def figures(chosen: Any) -> dict[str, Any]:
        found = {}
        for key in ("reached", "others", "distance", "skin", "sharpness"):
            told = np.array([row.get(key) is not None for row in rows]) & chosen
            values = np.array([float(row[key]) for row, use in zip(rows, told, strict=True) if use])
            if not len(values):
                continue
            found[key] = interval(values, people[told])
            if key in ("distance", "sharpness"):
                found[key]["median"] = float(np.median(values))
            if key == "distance":
                found["same_person"] = interval((values < SAME).astype(float), people[told])
        return found

    all_of = np.ones(len(rows), bool)
    groups = {f"fifth {i + 1} of skin lightness": fifth[people] == i for i in range(FIFTHS)}
    for name, holds in has.items():
        groups |= {name: holds, f"not {name}": ~holds}
    by = {name: {"set": figures((which == name) & sets), "taken": figures((which == name) & ~sets)} for name in names}
    tones = {
        name: [float(np.mean([row["skin"] for row, use in zip(rows, (which == name) & (fifth[people] == i), strict=True)
                              if use] or [np.nan])) for i in range(FIFTHS)]
        for name in names
    }  # fmt: skip
    each = [figures(which == name)["reached"]["mean"] for name in names]
    return {
        "mean_of_attributes": float(np.mean(each)),
        "least": [names[int(np.argmin(each))], float(np.min(each))],
        "all": figures(all_of),
        "attributes": by,
        "groups": {name: figures(chosen) for name, chosen in groups.items()},
        "skin_by_fifth": tones,
    }


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""

    def cell(figure: dict[str, float] | None, percent: bool = True) -> str:
        if not figure:
            return ""
        scale, form = (100, ".0f") if percent else (1, ".2f")
        return f"{figure['mean'] * scale:{form}} ({figure['low'] * scale:{form}}-{figure['high'] * scale:{form}})"

    lines = [
        f"Reached, mean of attributes: {found['mean_of_attributes']:.1%}; least: {found['least'][0]} "
        f"{found['least'][1]:.0%}",
        "",
        "| attribute | set, reached % | taken, reached % | others changed % | skin, L* changed, fifths, dark first |",
        "|---|---|---|---|---|",
    ]
    for name, both in found["attributes"].items():
        others = [each["others"]["mean"] for each in both.values() if "others" in each]
        tones = ", ".join(f"{each:.1f}" for each in found["skin_by_fifth"][name])
        reached = [cell(both[way].get("reached")) for way in ("set", "taken")]
        lines.append(f"| {name} | {' | '.join(reached)} | {100 * np.mean(others):.1f} | {tones} |")
    lines += ["", "| who | reached % | others changed % | same person % | sharpness |", "|---|---|---|---|---|"]
    for who, each in {"all": found["all"], **found["groups"]}.items():
        figures = [cell(each.get(key)) for key in ("reached", "others", "same_person")]
        sharp = f"{each['sharpness']['median']:.2f}" if "sharpness" in each else ""
        lines.append(f"| {who} | {' | '.join(figures)} | {sharp} |")
    return "\n".join(lines) + "\n"


FIGURES = {"reached": 100, "others": 100, "distance": 1, "sharpness": 1}


def arena(rows: dict[str, list[Row]]) -> str:
    """Return as Markdown how the first of several models does what all were asked, and how the others differ from it,
    with intervals of 95 % of the mean and of the mean difference (bootstrap over people)."""
    by = {model: {(row["attribute"], row["set"], row["person"]): row for row in own} for model, own in rows.items()}
    shared = sorted(set.intersection(*(set(own) for own in by.values())))
    people = np.array([person for *_, person in shared])
    first = next(iter(by))
    lines = [f"{len(shared):,} edits", "", f"| model | {' | '.join(FIGURES)} |", f"|---|{'---|' * len(FIGURES)}"]
    for model, own in by.items():
        cells = []
        for key, scale in FIGURES.items():
            pairs = np.array([[float(each[edit].get(key) or 0) for each in (own, by[first])] for edit in shared])
            told = np.array([all(each[edit].get(key) is not None for each in (own, by[first])) for edit in shared])
            mean = interval(scale * pairs[told, 0], people[told])
            cells.append(f"{mean['mean']:.3g} ({mean['low']:.3g} to {mean['high']:.3g})")
            if model != first:
                apart = interval(scale * (pairs[told, 0] - pairs[told, 1]), people[told])
                cells[-1] += f"; {apart['mean']:+.2g} ({apart['low']:+.2g} to {apart['high']:+.2g})"
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def side_by_side(models: dict[str, Model], large: Tensor, witness: Witness, out: Path) -> None:
    """Draw twelve people as they are and as every model edits them, another attribute for each."""
    shared = [name for name in witness.names if all(name in model.schema.names for model in models.values())]
    people = large[:: max(1, len(large) // SHEET)][:SHEET]
    has, rows, labels = logits(witness, people) > 0, [], []
    for number, person in enumerate(people):
        name = shared[number * len(shared) // SHEET]
        sets = not bool(has[number, witness.names.index(name)])
        row = [person]
        for model in models.values():
            small = F.interpolate(person[None], (model.image_size,) * 2, mode="bilinear", antialias=True)
            row.append(at_large(person[None], fields_at(model, small, {name: 1.0 if sets else -1.0})[1])[0])
        rows.append(F.interpolate(torch.stack(row), (CELL, CELL), mode="bilinear", antialias=True))
        labels.append(f"{'+' if sets else '-'} {name.replace('_', ' ')}")
    picture = sheet(rows, columns=["as is", *models], labels=labels, cell=CELL)
    picture.convert("RGB").save(out / "arena.jpg", quality=85)


def main() -> None:
    """Read what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument(
        "--witness", type=Path, required=True, help="what the witness learns from, prepared at 128 pixels"
    )
    parser.add_argument("--faces", type=Path, required=True, help="faces prepared at the model's size; the test split")
    parser.add_argument("--photographs", type=Path, help="a folder of whole photographs")
    parser.add_argument("--count", type=int, default=0, help="so many of the faces; 0 for all")
    parser.add_argument("--out", type=Path, default=Path("runs/portraits"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    witness = witness_of(options.witness, options.out.parent / f"witness-{options.witness.name}.pt")
    data = open_prepared(options.faces)
    faces = pictures(data, data.indices("test")[: options.count or None])
    large = torch.stack([*large_faces(options.photographs)]) if options.photographs else None
    models = {Path(each).name: load(each) for each in options.models}
    rows: dict[str, list[Row]] = {}
    for name, model in models.items():
        out = options.out / name if len(models) > 1 else options.out
        out.mkdir(exist_ok=True)
        images = torch.cat(
            [
                F.interpolate(each, (model.image_size,) * 2, mode="bilinear", antialias=True)
                for each in (faces, large)
                if each is not None
            ]
        )
        rows[name], found = measure(model, images, large, witness, out)
        (out / "portraits.json").write_text(json.dumps(found, indent=1))
        (out / "portraits.md").write_text(table(found))
        print(name, table(found), sep="\n\n")
    if len(models) > 1:
        (options.out / "arena.md").write_text(arena(rows))
        print(arena(rows))
        if large is not None:
            side_by_side(models, large, witness, options.out)


if __name__ == "__main__":
    main()
