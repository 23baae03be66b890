"""Make a model that ships: a run's newest model with its figures in its card and its weights in half precision.

    python benchmarks/ship.py RUN NAME

calibrates the strengths of the file that it writes, src/attrimorph/shipped/NAME.safetensors, on drawn faces of a seed
of their own, measures it on 1,000 unseen drawn faces (its samples, where it does not edit), and puts recipe, seed,
images seen and figures into its header.
"""

import argparse
from pathlib import Path

from torch import nn

from attrimorph.applications.calibrate import calibrate, images_for, write_calibrated
from attrimorph.evaluators.judge import judge_for
from attrimorph.files import write_bytes
from attrimorph.loading import load
from attrimorph.metrics.evaluate import evaluate
from attrimorph.metrics.figures import overall
from attrimorph.models import model_bytes
from attrimorph.models.model import SET, TAKEN_AWAY, Edits, Model

SHIPPED = Path(__file__).parents[1] / "src" / "attrimorph" / "shipped"
LARGEST = 20_000_000  # bytes


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


def main() -> None:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(description="Ship the newest model of a run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    arguments = parser.parse_args()
    out = SHIPPED / f"{arguments.name}.safetensors"
    model = ship(arguments.run, out)
    for key, value in model.card["figures"].items():
        print(f"{key}: {value}")
    size = out.stat().st_size
    print(f"{out}: {size / 1e6:.1f} MB" + ("" if size <= LARGEST else f"; over {LARGEST / 1e6:.0f} MB"))


if __name__ == "__main__":
    main()
