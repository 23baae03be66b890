"""Make a model that ships: a run's newest model with its figures in its card and its weights in half precision.

    python benchmarks/ship.py RUN NAME

calibrates the strengths of the file that it writes, src/attrimorph/shipped/NAME.safetensors, on drawn faces of a seed
of their own, measures it on 1,000 unseen drawn faces (its samples, where it does not edit), and puts recipe, seed,
images seen and figures into its header.

    python benchmarks/ship.py RUN portraits-128 --faces PREPARED --sources sources.csv --measured portraits.json

makes a model of portraits: its figures are those that `benchmarks/portraits.py` measured of the file made without
--measured; its card tells, besides, whose pictures it learned from and under which licences, whom there are few of, and
what it must not be used for. Attributes that it did not learn are left out with --without NAME. With --average MODEL
... its editor has the mean of the weights of all (of runs that began alike: model soups, Wortsman et al. 2022).
"""

import argparse
import csv
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from attrimorph.applications.calibrate import calibrate, images_for, write_calibrated
from attrimorph.data import Schema
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.evaluators.judge import judge_for
from attrimorph.files import write_bytes
from attrimorph.loading import load
from attrimorph.metrics.evaluate import evaluate
from attrimorph.metrics.figures import overall
from attrimorph.metrics.skin import skin_lightness
from attrimorph.models import model_bytes
from attrimorph.models.model import SET, TAKEN_AWAY, Edits, Model

SHIPPED = Path(__file__).parents[1] / "src" / "attrimorph" / "shipped"
LARGEST = 20_000_000  # bytes
DARK_FIRST = (35, 45, 55, 65)  # L*, between the five ranges of skin that are counted
PROTOCOL = (
    "by a witness, an attribute classifier that taught nothing here and learned from CelebA; strength 1, each "
    "attribute alone, on held-out portraits and machine-made photographs"
)
NOT_FOR = (
    "telling who somebody is or what somebody is like; deceiving: pictures of people as they never were, without their "
    "consent and without saying so; minors; attribute names are those of CelebA's labellers, not what people are"
)


def halved(networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Return the networks with weights in half precision, but for the prior, whose rounding all codes would feel."""
    return {name: network if name == "prior" else network.half() for name, network in networks.items()}


def ship(run: Path, out: Path, *, count: int = 1_000) -> Model:
    """Write the newest model of `run` to `out` in half precision, measured.

    Args:
        run: a run folder.
        out: the file.
        count: unseen drawn faces to measure on.
    """
    model = load(run)
    write_bytes(out, model_bytes(halved(model.networks), model.header))
    # What is calibrated and measured is what users get: the weights after rounding.
    shipped = load(out)
    judge = judge_for(shipped.schema, shipped.image_size)
    edits = isinstance(shipped, Edits)
    if judge is not None and edits:
        shipped = write_calibrated(out, calibrate(shipped, judge, images_for(shipped)), out).model
    evaluation = evaluate(
        shipped,
        judge=judge,
        metrics=("reconstruction", "edits") if edits else ("distribution",),
        count=count,
        edits=count * len(shipped.schema.names),
        counterfactuals=200,
    )
    kept = overall(list(evaluation.figures))
    single = [f"{key}.{name}" for name in shipped.schema.names for key in (SET, TAKEN_AWAY)]
    card = {
        "name": out.stem,
        "seed": model.recipe.training.seed,
        "figures": {key: round(value, 4) for key, value in evaluation.figures.items() if key in {*kept, *single}},
        "protocols": {key: evaluation.protocols[key] for key in kept},
    }
    header = {**shipped.header, "card": card}
    write_bytes(out, model_bytes(halved(shipped.networks), header))
    return load(out)


def people_in(data: PreparedData) -> str:
    """Say who is in a train split: sexes, ages and skins, as far as the labels and the pictures tell."""
    rows, parts = data.indices("train"), []
    for name, yes, no in (("Male", "men", "women"), ("Young", "young", "older")):
        if name in data.schema.names:
            y = data.attributes.numpy()[rows, data.schema.columns(name).start]
            parts.append(f"{(y == 1).mean():.0%} {yes}, {(y == 0).mean():.0%} {no} (the rest unknown)")
    light = []
    for part in np.array_split(rows, max(1, len(rows) // 64)):
        images = torch.from_numpy(np.ascontiguousarray(data.images[part])).movedim(3, 1) / 127.5 - 1
        light.append(skin_lightness(F.interpolate(images, (128, 128), mode="area")))
    edges, L = (0, *DARK_FIRST, 100), torch.cat(light)
    shares = [f"L* {a} to {b}: {((a <= L) & (b > L)).float().mean():.0%}" for a, b in pairwise(edges)]
    return "; ".join([*parts, f"skin, dark first: {', '.join(shares)}"])


def without(model: Model, names: list[str]) -> dict[str, Any]:
    """Take attributes out of the networks of a Retouch, and return its header without them."""
    schema = model.schema
    kept = [place for name in schema.names if name not in names for place in range(schema.width)[schema.columns(name)]]
    inputs = [*kept, *(schema.width + place for place in kept)]  # the asked change and the present attributes
    embedding, last = model.networks["editor"].embedding, model.networks["classifier"].last
    embedding.weight = nn.Parameter(embedding.weight[:, inputs])
    last.weight, last.bias = (nn.Parameter(part[kept]) for part in (last.weight, last.bias))
    fewer = Schema(
        tuple(each for each in schema.attributes if each.name not in names),
        exclusive=tuple(pair for pair in schema.exclusive if not {*pair} & {*names}),
    )
    examples = np.reshape(model.header["examples"], (-1, schema.width))[:, kept]
    return {**model.header, "schema": fewer.to_json(), "examples": examples.flatten().tolist()}


def ship_portraits(
    run: Path,
    out: Path,
    faces: Path,
    sources: Path,
    measured: Path | None,
    changed: str,
    names: list[str],
    others: list[str],
) -> Model:
    """Write the newest model of `run` to `out` in half precision, with the card of a model of people.

    Args:
        run: a run folder.
        out: the file.
        faces: what it learned from, prepared.
        sources: a CSV of file_name, source, kind, licence of these.
        measured: what `benchmarks/portraits.py` wrote of it; None: no figures yet.
        changed: since the version before.
        names: of attributes that are left out.
        others: models whose editor's weights are averaged with its own.
    """
    model, data = load(run), open_prepared(faces)
    editors = [each.networks["editor"].state_dict() for each in (model, *map(load, others))]
    model.networks["editor"].load_state_dict(
        {name: torch.stack([each[name].float() for each in editors]).mean(0) for name in editors[0]}
    )
    header = without(model, names)
    with sources.open(encoding="utf-8") as file:
        told = {row["file_name"]: row for row in csv.DictReader(file)}
    used = [told[Path(data.files[row]).name] for row in data.indices("train")]
    counts = Counter((row["source"], row["kind"], row["licence"]) for row in used)
    found: dict[str, Any] = json.loads(measured.read_text()) if measured else {"attributes": {}, "groups": {}}
    reached = {}
    if measured:
        reached = {"edit.target_reached": found["mean_of_attributes"], "edit.drift": found["all"]["others"]["mean"]}
    for name, both in found["attributes"].items():
        for way, key in (("set", SET), ("taken", TAKEN_AWAY)):
            if "reached" in both[way]:
                reached[f"{key}.{name}"] = both[way]["reached"]["mean"]
    groups = [f"{who} {each['reached']['mean']:.0%}" for who, each in found["groups"].items() if "reached" in each]
    card = {
        "name": out.stem,
        "seed": model.recipe.training.seed,
        "figures": {key: round(value, 4) for key, value in reached.items()},
        "protocols": dict.fromkeys(("edit.target_reached", "edit.drift"), PROTOCOL),
        "words": {
            "learned from": f"{len(used):,} portraits: "
            + "; ".join(f"{n:,} {source} ({kind}, {licence})" for (source, kind, licence), n in counts.most_common()),
            "taught by": "attribute classifiers that learned from CelebA; no weight here saw a picture of those",
            "who they are": people_in(data),
            "reached, by group": ", ".join(groups),
            "not for": NOT_FOR,
            "changes": changed,
        },
    }
    # Files of the machine that it was trained on, and what it began with, stand in no recipe that others can run.
    own = header["recipe"]
    fresh = {"losses": {**own["losses"], "teacher": ""}, "training": {**own["training"], "start": ""}}
    recipe = {**own, "name": out.stem, **fresh}
    write_bytes(out, model_bytes(halved(model.networks), {**header, "recipe": recipe, "card": card}))
    return load(out)


def main() -> None:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(description="Ship the newest model of a run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--faces", type=Path, help="the prepared portraits that it learned from")
    parser.add_argument("--sources", type=Path, help="a CSV of their files, sources, kinds and licences")
    parser.add_argument("--measured", type=Path, help="portraits.json of benchmarks/portraits.py")
    parser.add_argument("--changed", default="the first version", help="what is other than in the version before")
    parser.add_argument("--average", nargs="*", default=[], help="models to take the mean of weights with")
    parser.add_argument("--without", nargs="*", default=[], help="attributes to leave out")
    arguments = parser.parse_args()
    out = SHIPPED / f"{arguments.name}.safetensors"
    if arguments.faces:
        portraits = arguments.faces, arguments.sources, arguments.measured, arguments.changed, arguments.without
        model = ship_portraits(arguments.run, out, *portraits, arguments.average)
        print("\n".join(f"{topic}: {text}" for topic, text in model.card["words"].items()))
    else:
        model = ship(arguments.run, out)
    for key, value in model.card["figures"].items():
        print(f"{key}: {value}")
    size = out.stat().st_size
    print(f"{out}: {size / 1e6:.1f} MB" + ("" if size <= LARGEST else f"; over {LARGEST / 1e6:.0f} MB"))


if __name__ == "__main__":
    main()
