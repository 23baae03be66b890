"""RUNS: what does each experiment, by name."""

from collections.abc import Callable

from attrimorph.reproductions import (
    attribute2image,
    augmentation,
    axes,
    axis_edits,
    group_edits,
    growing,
    homointerp,
    inversion,
    one_model,
    ring,
    table_one,
)
from attrimorph.reproductions.frame import Outcome, Request

RUNS: dict[str, Callable[[Request], Outcome]] = {
    "ring": ring.run,
    "table-one": table_one.run,
    "table-one-search": table_one.search,
    "morphing": one_model.morphing,
    "inpainting": one_model.inpainting,
    "augmentation": augmentation.run,
    "ablation": table_one.ablation,
    "latents": one_model.latents,
    "transferring": one_model.transferring,
    "retrieval": one_model.retrieval,
    "copies": one_model.copies,
    "superresolution": one_model.superresolution,
    "layers": attribute2image.layers,
    "drift": attribute2image.drift,
    "wrong-masks": attribute2image.wrong_masks,
    "inversion": inversion.run,
    "completion": inversion.completion,
    "uniformity": homointerp.uniformity,
    "group-edits": group_edits.run,
    "faults": homointerp.faults,
    "axes": axes.run,
    "untangling": axis_edits.untangling,
    "few-examples": axes.few_examples,
    "photographs": axis_edits.photographs,
    "growing": growing.run,
    "translation": group_edits.translation,
}
