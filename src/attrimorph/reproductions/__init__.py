"""EXPERIMENTS: the experiments of the papers, by name; letters are those of the CVAE-GAN paper's list in the docs.

No torch here: the command line lists them without it; `runs` imports what does them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from attrimorph.errors import AttrimorphError, suggestion

if TYPE_CHECKING:
    from attrimorph.reproductions.frame import Outcome, Request


class Experiment(NamedTuple):
    """One figure or table.

    Attributes:
        letter: its letter; table-one is two of them; "" outside the CVAE-GAN paper.
        about: what it shows.
        paper: whose it is.
    """

    letter: str
    about: str
    paper: str = "CVAE-GAN"


A2I = "Attribute2Image"
HOMO = "HomoInterpGAN"
TL_GAN = "TL-GAN"

EXPERIMENTS: dict[str, Experiment] = {
    "ring": Experiment("a", "Figure 4: GAN, WGAN and FM-GAN learn a ring far away"),
    "table-one": Experiment("bc", "Figure 5, Table 1: samples of a class, and who recognises them"),
    "morphing": Experiment("d", "From one image of a class to another"),
    "inpainting": Experiment("e", "A hole filled again and again"),
    "augmentation": Experiment("f", "Recognisers trained with generated images besides few real ones"),
    "ablation": Experiment("g", "What L_img, L_featD and L_featC each give"),
    "latents": Experiment("h", "All latent vectors in the plane of their principal components"),
    "transferring": Experiment("i", "The z of one image under other classes"),
    "retrieval": Experiment("j", "The nearest in z among images of other classes"),
    "copies": Experiment("k", "The training images nearest to samples"),
    "superresolution": Experiment("l", "Small images enlarged"),
    "layers": Experiment("", "Foreground, gate and background against the true layers", A2I),
    "drift": Experiment("", "What edits do to the background: disCVAE against CVAE", A2I),
    "wrong-masks": Experiment("", "Two compositions taught with wrong masks", A2I),
    "inversion": Experiment("", "Codes by optimisation against the encoder, and without one", A2I),
    "completion": Experiment("", "A hidden half, eyes, mouth: by inversion, by iteration, by the mean", A2I),
    "uniformity": Experiment("", "Figure 11: does half the strength go half the way?", HOMO),
    "group-edits": Experiment("", "Edits of single groups against the truth and CVAE-GAN", HOMO),
    "faults": Experiment("", "Position, background, gaps, references: before and after mending", HOMO),
    "axes": Experiment("", "From a generator to twenty axes, timed step by step; one more", TL_GAN),
    "untangling": Experiment("", "What a beard does to Male, grey hair to age, and locks to that", TL_GAN),
    "few-examples": Experiment("", "An axis from twenty pictures against thousands judged", TL_GAN),
    "photographs": Experiment("", "EvaluationSet faces by inversion and axes against the truth", TL_GAN),
    "growing": Experiment("", "PGGAN beside GAN and WGAN-GP, equal images and equal time", TL_GAN),
    "translation": Experiment("", "A CycleGAN for each attribute beside one model for all", "CycleGAN"),
}


def names_of(name: str) -> list[str]:
    """Return the names that a name, a letter, a paper or "all" stands for.

    Raises:
        AttrimorphError: there is no such experiment.
    """
    if name == "all":
        return list(EXPERIMENTS)
    if name in EXPERIMENTS:
        return [name]
    if of_paper := [key for key, each in EXPERIMENTS.items() if each.paper.lower() == name.lower()]:
        return of_paper
    by_letter = [key for key, each in EXPERIMENTS.items() if len(name) == 1 and name in each.letter]
    if not by_letter:
        raise AttrimorphError(f"there is no experiment {name!r}; {suggestion(name, EXPERIMENTS)}")
    return by_letter


def runs() -> "dict[str, Callable[[Request], Outcome]]":
    """Return what does each experiment."""
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

    return {
        "ring": ring.run,
        "table-one": table_one.run,
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
