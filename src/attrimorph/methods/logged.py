"""The figures of a training's log, explained once: `train --explain`, the bar and docs/methods.md show this table."""

from collections.abc import Mapping
from typing import NamedTuple

from attrimorph.methods.cvae_gan.terms import METHODS


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
    "x an image, x_f its reconstruction, x_p a sample"
)

FIGURES: dict[str, Figure] = {
    # The most telling first: beside the bar stand the first six that a method has.
    "level": Figure("level", "", "PGGAN: doublings of the resolution so far; between whole numbers the next fades in",
                    "rises as the schedule says"),
    "image": Figure("reconstruction", "E, G", "L_img: squared error of x_f, summed over its pixels (Attribute2Image: "
                    "-log p(x), less than 0 where it predicts a variance)",
                    "falls, quickly at first, then to the end"),
    "pixel": Figure("reconstruction", "E, Dec", "HomoInterpGAN: squared error of the decoded features of x, mean over "
                    "pixels", "falls to the end; 0.01 is 26 dB"),
    "l1": Figure("reconstruction", "G", "pix2pix: absolute error of the made image, mean over pixels",
                 "falls to the end"),
    "cycle": Figure("there and back", "G", "CycleGAN: absolute error of an image that went to the other domain and "
                    "back, both ways, mean over pixels", "falls to the end"),
    "kl": Figure("KL", "E", "L_KL: how much a code tells of its image, in nats; distance of E's Gaussian from N(0, I)",
                 "settles; near 0 the codes tell nothing: lower losses.kl"),
    "kl_foreground": Figure("KL foreground", "E", "disCVAE: the same of the codes of the foreground",
                            "settles"),
    "kl_background": Figure("KL background", "E", "disCVAE: the same of the codes of the background",
                            "settles"),
    "gate_iou": Figure("masks found", "", "disCVAE: overlap of the gate with the true mask, 0 to 1", "rises past 0.9"),
    "d_real_right": Figure("D right on real", "", "share of real images that D takes for real (above 0)",
                           "0.6 to 0.95; 1 for long: D has won, and G learns nothing more"),
    "d_sample_right": Figure("D right on samples", "", "share of samples that D takes for samples (below 0)",
                             "0.6 to 0.95; 1 for long: as above"),
    "critic": Figure("critic", "D", "HomoInterpGAN: score of interpolated features less that of real ones",
                     "negative, and nearer to 0 as I learns"),
    "wasserstein": Figure("critic", "D", "score of samples less that of real images; PGGAN's G learns its opposite",
                          "negative, and nearer to 0 as G learns"),
    "sample_spread": Figure("variety", "", "spread of the samples of a batch against that of real images",
                            "near 1; below 0.1 all samples are alike, and the guard goes back"),
    "fool": Figure("G against D", "G", "CycleGAN, pix2pix: how far D's answer to made images is from real",
                   "neither to 0 nor ever rising: the two keep up"),
    "discriminator": Figure("D", "D", "pix2pix: half D's cross-entropy on true and made pairs",
                            "below 0.69, not to 0"),
    "discriminator_with": Figure("D with", "D", "CycleGAN: squared error of D on images with the attribute",
                                 "0.1 to 0.25; 0.25 is guessing"),
    "discriminator_without": Figure("D without", "D", "CycleGAN: the same without it", "0.1 to 0.25"),
    "homomorphism": Figure("attributes moved", "E, I, R", "HomoInterpGAN: cross-entropy of what the head reads off "
                           "interpolated features against what was asked", "falls"),
    "full": Figure("whole way", "I", "HomoInterpGAN: squared error of features that went all the way, against the "
                   "other image's", "falls"),
    "head_accuracy": Figure("head right", "", "HomoInterpGAN: share of attributes that the critic's head reads rightly "
                            "off real features", "rises past 0.9"),
    "c_accuracy": Figure("attributes right", "", "share of attributes that C reads rightly off real images",
                         "rises; always guessing the commoner value has its share"),
    "c_sample_accuracy": Figure("samples as asked", "", "share of attributes that C reads off samples as they were "
                                "asked for", "rises towards that of real images"),
    "psnr": Figure("PSNR", "", "peak signal to noise ratio of reconstructions, in dB", "rises; 20 is rough, 30 good"),
    "feature_d": Figure("error in D", "E, G", "L_featD: squared error of x_f in D's last hidden layer, summed",
                        "of its own scale, as D changes; not ever rising"),
    "feature_c": Figure("error in C", "E, G", "L_featC: the same in C's last hidden layer",
                        "of its own scale; falls once C has settled"),
    "real_or_fake_3": Figure("D", "D", "D's cross-entropy on x, x_f and x_p (Algorithm 1 of CVAE-GAN)",
                             "0.5 to 2.08 (guessing); 0 for long: D has won"),
    "real_or_fake": Figure("D", "D", "D's cross-entropy on x and x_p", "0.5 to 1.39 (guessing); 0 for long: D has won"),
    "non_saturating": Figure("G against D", "G", "-log D(x_p)", "0.7 to 3, steady; ever rising: D has won"),
    "non_saturating_2": Figure("G against D", "G", "-log D(x_p) - log D(x_f)", "1.4 to 6, steady"),
    "least_squares": Figure("D", "D", "LSGAN: squared error of D on x and x_p", "0.1 to 0.25; 0.25 is guessing"),
    "least_squares_fool": Figure("G against D", "G", "LSGAN: half the squared distance of D(x_p) from 1",
                                 "0.1 to 0.5, steady"),
    "hinge": Figure("D", "D", "hinge loss of D on x and x_p", "0.5 to 2 (guessing)"),
    "wasserstein_fool": Figure("G against D", "G", "-D(x_p): the score of samples, the other way round",
                               "of no scale; steady"),
    "adversarial": Figure("I against critic", "E, I, R", "HomoInterpGAN: the critic's score of interpolated features, "
                          "the other way round", "of no scale; steady"),
    "gradient_penalty": Figure("slope of the critic", "D", "(norm of the critic's slope - 1)^2 between real and made",
                               "below 0.1 after the start"),
    "drift": Figure("score of real", "D", "PGGAN: squared score of real images, kept near 0", "does not run away"),
    "mean_d": Figure("means in D", "G", "L_GD: distance of the mean features in D, of samples and real images",
                     "of its own scale; not ever rising"),
    "mean_c": Figure("means in C", "G", "L_GC: the same in C, one centre for each class or attribute value",
                     "of its own scale; not ever rising"),
    "classify_real": Figure("C", "C", "cross-entropy of C on real images, summed over the attributes", "falls"),
    "classify": Figure("C", "C", "the same, in Attribute2Image and HomoInterpGAN", "falls"),
    "classify_sample": Figure("C on samples", "G", "cross-entropy of C on samples, against what they were asked to be; "
                              "PGGAN's D learns from it, too", "falls after that of real images"),
    "code_real_or_fake": Figure("S", "S", "AAE: cross-entropy of S on codes and draws of N(0, I)",
                                "near 1.39 (guessing) in the end"),
    "code_fool": Figure("E against S", "E", "AAE: -log S(code)", "near 0.69 in the end"),
    "classify_code": Figure("K", "K", "cross-entropy of K, which reads the attributes off codes",
                            "high: the codes hide them"),
    "hide": Figure("hidden", "E, R", "cross-entropy of K against the labels' means: codes tell nothing of attributes",
                   "falls to the entropy of the labels"),
    "foreground": Figure("foreground", "E, G", "disCVAE: error of the painted foreground, summed over pixels", "falls"),
    "gate": Figure("gate", "E, G", "disCVAE: cross-entropy of the gate against the mask, summed over pixels", "falls"),
    "roughness": Figure("roughness", "E, G", "disCVAE: steps between pixels of the background that is covered",
                        "falls"),
    "identity": Figure("left alone", "G", "CycleGAN: absolute error of an image that is in its domain already",
                       "falls with `cycle`"),
    "perceptual": Figure("error in features", "E, Dec", "HomoInterpGAN: squared error of the decoded image in a "
                         "layer of VGG-19 or of C", "falls"),
    "guidance": Figure("guidance", "E, P", "HomoInterpGAN: squared error of deep features told from E's", "falls"),
    "head_real": Figure("head on real", "D", "HomoInterpGAN: cross-entropy of the critic's head on real features",
                        "falls"),
    "head_interpolated": Figure("head on moved", "D", "HomoInterpGAN: the same on interpolated ones, against the "
                                "labels before", "above that on real ones"),
    "judged_image": Figure("moved as asked", "E, I, R", "HomoInterpGAN: cross-entropy of C on the decoded interpolated "
                           "features, against what was asked", "falls"),
    "prototype": Figure("prototypes", "R", "HomoInterpGAN: squared error of features made again from code and labels",
                        "falls"),
    "code": Figure("KL of R", "R", "HomoInterpGAN: KL of R's codes", "steady"),
}  # fmt: skip

RECONSTRUCTED = {"image", "feature_d", "feature_c", "real_or_fake_3", "non_saturating_2"}
JUDGED = {"real_or_fake_3", "real_or_fake", "least_squares", "hinge", "wasserstein"}
FAMILY = {
    # What is watched in the CVAE-GAN family -> the losses beside which it is computed.
    "psnr": RECONSTRUCTED,
    "sample_spread": JUDGED | {"classify_sample", "mean_c"},
    "d_real_right": JUDGED | {"feature_d", "mean_d"},
    "d_sample_right": JUDGED | {"mean_d"},
    "c_accuracy": {"classify_real"},
    "c_sample_accuracy": {"classify_sample", "mean_c"},
}
CODES = ("classify_code", "hide")
OTHERS: dict[str, tuple[str, ...]] = {
    "attribute2image-cvae": ("kl", "image", "classify", *CODES, "psnr", "c_accuracy"),
    "attribute2image-discvae": (
        "kl_foreground", "kl_background", "foreground", "gate", "image", "roughness", "classify", *CODES, "psnr",
        "gate_iou", "c_accuracy",
    ),
    "cyclegan": ("cycle", "identity", "fool", "discriminator_with", "discriminator_without"),
    "pix2pix": ("l1", "fool", "discriminator"),
    "homointerp": (
        "pixel", "perceptual", "guidance", "classify", "c_accuracy", "critic", "head_real", "head_interpolated",
        "head_accuracy", "gradient_penalty", "adversarial", "homomorphism", "full", "judged_image", "prototype", "code",
        *CODES, "psnr",
    ),
    "pggan": (
        "level", "wasserstein", "drift", "gradient_penalty", "classify_real", "classify_sample", "sample_spread",
        "c_accuracy", "c_sample_accuracy",
    ),
}  # fmt: skip
"""Method -> what its log may hold; some of it only with the weight, the labels or the phase that it belongs to."""


def logged(method: str) -> dict[str, Figure]:
    """Return the figures of a method's log, the most telling first."""
    if method in METHODS:
        losses = {term.loss for term in METHODS[method].terms}
        keys = losses | {name for name, beside in FAMILY.items() if beside & losses}
    else:
        keys = set(OTHERS.get(method, ()))
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
