"""The figures of a training's log, explained once, in `logged.csv`: `train --explain`, the bar and docs/methods.md.

A new method names itself in the last column of what it logs."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from attrimorph.methods.cvae_gan.recipe import METHODS


class Figure(NamedTuple):
    """One figure of the log; its key there is stable.

    Attributes:
        words: what stands beside the bar.
        learns: the networks that learn from it, "" for none: it is only watched.
        meaning: what it is.
        healthy: what it does in a training that goes well.
    """

    words: str
    learns: str
    meaning: str
    healthy: str


NETWORKS = (
    "E encoder, G generator, D discriminator or critic, C attribute classifier, S discriminator of codes, "
    "K classifier of codes; of HomoInterpGAN: Dec decoder, I interpolation, P projection, R prototypes; "
    "of Retouch: U editor; x an image, x_f its reconstruction, x_p a sample"
)

with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as _table:
    _ROWS = list(csv.DictReader(_table))

FIGURES = {row["key"]: Figure(row["words"], row["learns"], row["meaning"], row["healthy"]) for row in _ROWS}
"""The most telling first: beside the bar stand the first six that a method has."""

RECONSTRUCTED = {"image", "feature_d", "feature_c", "real_or_fake_3", "non_saturating_2"}
JUDGED = {"real_or_fake_3", "real_or_fake", "least_squares", "hinge", "wasserstein", "loss_sensitive"}
FAMILY = {
    # What is watched in the CVAE-GAN family -> the losses beside which it is computed.
    "psnr": RECONSTRUCTED,
    "sample_spread": JUDGED | {"classify_sample", "mean_c"},
    "d_real_right": JUDGED | {"feature_d", "mean_d"},
    "d_sample_right": JUDGED | {"mean_d"},
    "c_accuracy": {"classify_real", "classify_both"},
    "c_sample_accuracy": {"classify_sample", "classify_both", "mean_c"},
}
OTHERS: dict[str, set[str]] = {}
"""Method -> what its log may hold; some of it only with the weight, the labels or the phase that it belongs to."""
for _row in _ROWS:
    for _method in _row["methods"].split():
        OTHERS.setdefault(_method, set()).add(_row["key"])


def logged(method: str) -> dict[str, Figure]:
    """Return the figures of a method's log, the most telling first."""
    if method in METHODS:
        losses = {term.loss for term in METHODS[method].terms}
        keys = losses | {name for name, beside in FAMILY.items() if beside & losses}
    else:
        keys = OTHERS.get(method, set())
    return {name: figure for name, figure in FIGURES.items() if name in keys}


def in_words(values: Mapping[str, float]) -> dict[str, float]:
    """Return values of the log as they stand beside the bar, the most telling first."""
    return {figure.words: values[name] for name, figure in FIGURES.items() if name in values}


def explanation(figures: Mapping[str, Figure]) -> str:
    """Return what figures mean, for a terminal of 80 columns."""
    from textwrap import fill

    parts = [fill(NETWORKS + ".", 78)]
    for name, (words, learns, meaning, healthy) in figures.items():
        who = f"learns: {learns}" if learns else "watched only"
        text = [f"{words} (in the log: {name}; {who})", meaning + ".", f"Goes well: {healthy}."]
        parts.append("\n".join([fill(text[0], 78), *(fill(line, 78, initial_indent="  ", subsequent_indent="  ")
                                                     for line in text[1:])]))  # fmt: skip
    return "\n\n".join(parts)
