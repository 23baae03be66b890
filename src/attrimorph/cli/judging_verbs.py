"""judge: train what measures models."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrimorph.cli.app import LAYOUT, MAKE, Layout, Whole, app

if TYPE_CHECKING:
    from attrimorph.data.prepared import PreparedData
    from attrimorph.evaluators.identity_encoder import IdentityEncoder
    from attrimorph.evaluators.judge import Judge


@app.command(group=MAKE)
def judge(
    data: Path,
    /,
    *,
    layout: Layout = LAYOUT,
    out: Path,
    kind: Literal["attributes", "identity"] = "attributes",
    least: Whole = 10,
    size: Whole = 64,
    images: Whole | None = None,
    seed: Whole | None = None,
) -> None:
    """Train an attribute classifier (judge) on data, to measure models with; no method ever trains with it.

    Interrupted, the same command goes on.

    Parameters
    ----------
    data
        A prepared folder or a folder of images in any known layout.
    out
        The file to write.
    kind
        attributes: a classifier of all attributes of the data; identity: an identity encoder (recogniser).
    least
        Images in the train split that a person must have to be learned.
    size
        Pixels to prepare a folder of images at; a prepared folder has its own.
    images
        How many images it is shown, repetitions counted.
    seed
        Of weights, order and augmentation.
    """
    from attrimorph.console import Meter
    from attrimorph.data.prepared import open_prepared
    from attrimorph.training.hardware import choose_fast_path, keep_memory
    from attrimorph.unfinished import key_of

    prepared = open_prepared(data) if layout.of(data).prepared else layout.open(data, size)
    keep_memory()
    # Which is faster is measured once: unfinished work goes on as it began.
    precision = key_of(out).get("precision") or choose_fast_path().precision
    wished = {"images_seen": images, "seed": seed, "precision": precision}
    given: dict[str, Any] = {name: value for name, value in wished.items() if value is not None}
    with Meter("training the attribute classifier") as meter:
        if kind == "identity":
            _identity(prepared, out, given, least, meter.update)
        else:
            _attributes(prepared, out, given, meter.update)


def _attributes(data: "PreparedData", out: Path, given: dict[str, Any], progress: Callable[..., None]) -> None:
    from attrimorph.evaluators.training import JudgeRecipe, train_judge

    found = train_judge(data, JudgeRecipe(**given), name=out.stem, progress=progress, result=out)
    found.save(out)
    _print_judge(found, out)


def _identity(
    data: "PreparedData", out: Path, given: dict[str, Any], least: int, progress: Callable[..., None]
) -> None:
    from attrimorph.evaluators.training import IdentityRecipe, train_identity_encoder

    recipe = IdentityRecipe(**given)
    found = train_identity_encoder(data, recipe, least=least, name=out.stem, progress=progress, result=out)
    found.save(out)
    _print_identity_encoder(found, out)


def _print_judge(found: "Judge", out: Path) -> None:
    from attrimorph.console import table
    from attrimorph.metrics.tables import words

    names = sorted(found.accuracies, key=lambda name: found.accuracies[name])
    rows: list[tuple[str, ...]] = [
        (f"{found.accuracies[name]:.1%}", f"{found.calibration[name]:.3f}", name) for name in names
    ]
    if rows:
        print(table(rows, ("right", "calibration error", "attribute")))
    measured = found.trained_on["measure"]
    on = f"on {measured['images']:,} images ({measured['split']})"
    print(table([(f"{value:.4f}", key, f"{words(key)[2]}, {on}") for key, value in found.means().items()]))
    print(out)


def _print_identity_encoder(found: "IdentityEncoder", out: Path) -> None:
    from attrimorph.console import table
    from attrimorph.metrics.figures import new_key

    rows: list[tuple[str, ...]] = []
    for name, value in found.measures.items():
        was, _, protocol = name.removesuffix(")").partition(" (")
        rows.append((f"{value:.4f}", new_key(was), protocol))
    print(table(rows))
    print(out)
