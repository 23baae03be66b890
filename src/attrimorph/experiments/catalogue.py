"""The experiments of the papers, by name; letters are those of the CVAE-GAN paper's list in docs/reproductions."""

from collections.abc import Callable
from typing import NamedTuple

from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.experiments import (
    ablation,
    augmentation,
    axes_fitting,
    axes_photographs,
    completion,
    copies,
    drift,
    faults,
    few_examples,
    group_edits,
    growing,
    inpainting,
    inversion,
    latents,
    layers,
    morphing,
    retrieval,
    ring,
    superresolution,
    table_one,
    transferring,
    translation,
    uniformity,
    untangling,
    wrong_masks,
)
from attrimorph.experiments.outcome import Outcome, Request


class Experiment(NamedTuple):
    """One figure or table.

    Attributes:
        letter: its letter; table-one is two of them; "" outside the CVAE-GAN paper.
        about: what it shows.
        run: does it.
        paper: whose it is.
    """

    letter: str
    about: str
    run: Callable[[Request], Outcome]
    paper: str = "CVAE-GAN"


A2I = "Attribute2Image"
HOMO = "HomoInterpGAN"
TL_GAN = "TL-GAN"

EXPERIMENTS: dict[str, Experiment] = {
    "ring": Experiment("a", "Figure 4: GAN, WGAN and FM-GAN learn a ring far away", ring.run),
    "table-one": Experiment("bc", "Figure 5, Table 1: samples of a class, and who recognises them", table_one.run),
    "morphing": Experiment("d", "From one image of a class to another", morphing.run),
    "inpainting": Experiment("e", "A hole filled again and again", inpainting.run),
    "augmentation": Experiment(
        "f", "Recognisers trained with generated images besides few real ones", augmentation.run
    ),
    "ablation": Experiment("g", "What L_img, L_featD and L_featC each give", ablation.run),
    "latents": Experiment("h", "All latent vectors in the plane of their principal components", latents.run),
    "transferring": Experiment("i", "The z of one image under other classes", transferring.run),
    "retrieval": Experiment("j", "The nearest in z among images of other classes", retrieval.run),
    "copies": Experiment("k", "The training images nearest to samples", copies.run),
    "superresolution": Experiment("l", "Small images enlarged", superresolution.run),
    "layers": Experiment("", "Foreground, gate and background against the true layers", layers.run, A2I),
    "drift": Experiment("", "What edits do to the background: disCVAE against CVAE", drift.run, A2I),
    "wrong-masks": Experiment("", "Two compositions taught with wrong masks", wrong_masks.run, A2I),
    "inversion": Experiment("", "Codes by optimisation against the encoder, and without one", inversion.run, A2I),
    "completion": Experiment(
        "", "A hidden half, eyes, mouth: by inversion, by iteration, by the mean", completion.run, A2I
    ),
    "uniformity": Experiment("", "Figure 11: does half the strength go half the way?", uniformity.run, HOMO),
    "group-edits": Experiment("", "Edits of single groups against the truth and CVAE-GAN", group_edits.run, HOMO),
    "faults": Experiment("", "Position, background, gaps, references: before and after mending", faults.run, HOMO),
    "axes": Experiment("", "From a generator to twenty axes, timed step by step; one more", axes_fitting.run, TL_GAN),
    "untangling": Experiment(
        "", "What a beard does to Male, grey hair to age, and locks to that", untangling.run, TL_GAN
    ),
    "few-examples": Experiment("", "An axis from twenty pictures against thousands judged", few_examples.run, TL_GAN),
    "photographs": Experiment("", "Unseen faces by inversion and axes against the truth", axes_photographs.run, TL_GAN),
    "growing": Experiment("", "PGGAN beside GAN and WGAN-GP, equal images and equal time", growing.run, TL_GAN),
    "translation": Experiment(
        "", "A CycleGAN for each attribute beside one model for all", translation.run, "CycleGAN"
    ),
}


def named(name: str) -> list[str]:
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
