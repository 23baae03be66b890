"""The keys of all figures: what each one means, its unit, and which way is better. docs/measuring.md holds this table.

A key is short and stays what it is; the protocol (who judged, how many images of which data) stands beside a figure.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Better = Literal["higher", "lower", ""]


class Key(NamedTuple):
    """What a key stands for.

    Attributes:
        what: the figure, in words.
        unit: "share" lies in 0..1.
        better: which way; "" where neither is.
    """

    what: str
    unit: str
    better: Better


KEYS = {
    "classifier.accuracy": Key("attributes that the model's own classifier tells right", "share", "higher"),
    "reconstruction.psnr": Key("PSNR of reconstructions", "dB", "higher"),
    "reconstruction.ssim": Key("SSIM of reconstructions", "", "higher"),
    "reconstruction.ms_ssim": Key("MS-SSIM of reconstructions", "", "higher"),
    "reconstruction.perceptual_distance": Key("perceptual distance of reconstructions from the images", "", "lower"),
    "reconstruction.attribute_accuracy": Key(
        "attributes that the attribute classifier finds right in reconstructions", "share", "higher"
    ),
    "images.attribute_accuracy": Key(
        "attributes that the attribute classifier finds right in the images themselves", "share", ""
    ),
    "edit.target_reached": Key("edits after which the attribute classifier finds the target turned", "share", "higher"),
    "edit.reached_when_set": Key("edits that set an attribute and reached their target", "share", "higher"),
    "edit.reached_when_taken_away": Key(
        "edits that took an attribute away and reached their target", "share", "higher"
    ),
    "edit.leakage": Key("other attributes that are not as they truly should be", "share", "lower"),
    "edit.drift": Key("other attributes judged otherwise than before the edit", "share", "lower"),
    "edit.count": Key("edits that were judged", "edits", ""),
    "edit.psnr": Key("PSNR of edits against the true counterfactual", "dB", "higher"),
    "edit.psnr_inside": Key("PSNR of edits where the truth differs from the input", "dB", "higher"),
    "edit.psnr_outside": Key("PSNR of edits where the truth is like the input", "dB", "higher"),
    "edit.perceptual_distance": Key("perceptual distance of edits from the true counterfactual", "", "lower"),
    "edit.perceptual_distance_inside": Key("perceptual distance where the truth differs from the input", "", "lower"),
    "edit.perceptual_distance_outside": Key("perceptual distance where the truth is like the input", "", "lower"),
    "edit.identity_drift": Key("1 - cosine of an identity encoder's features, reconstruction to edit", "", "lower"),
    "edit.background_drift": Key("change of pixels outside the person, reconstruction to edit", "1/255", "lower"),
    "truth.identity_drift": Key("1 - cosine of an identity encoder's features, input to true counterfactual", "", ""),
    "truth.judge_error": Key("attributes that the attribute classifier misjudges in true counterfactuals", "share", ""),
    "response.deviation": Key("mean distance of the response from the straight line", "", "lower"),
    "response.deviation_from_truth": Key("mean distance of the response from that of the truth", "", "lower"),
    "response.deviation_single": Key("distance of single images' responses from the straight line", "", "lower"),
    "response.largest_jump": Key("steepest rise, in slopes of the straight line", "", "lower"),
    "response.rising_steps": Key("steps of strength that do not fall", "share", "higher"),
    "response.rank_correlation": Key("rank correlation of response and strength", "", "higher"),
    "response.unevenness": Key("coefficient of variation of the perceptual steps", "", "lower"),
    "response.longest_step": Key("longest perceptual step over the mean one", "", "lower"),
    "response.psnr": Key("PSNR between the ends, against the truth at the same strength", "dB", "higher"),
    "response.perceptual_distance": Key(
        "perceptual distance between the ends from the truth at the same strength", "", "lower"
    ),
    "truth.deviation": Key("response.deviation of the true counterfactuals: the floor", "", ""),
    "truth.deviation_single": Key("response.deviation_single of the true counterfactuals", "", ""),
    "truth.largest_jump": Key("response.largest_jump of the true counterfactuals", "", ""),
    "truth.rising_steps": Key("response.rising_steps of the true counterfactuals", "share", ""),
    "truth.rank_correlation": Key("response.rank_correlation of the true counterfactuals", "", ""),
    "truth.unevenness": Key("response.unevenness of the true counterfactuals", "", ""),
    "truth.longest_step": Key("response.longest_step of the true counterfactuals", "", ""),
    "samples.frechet_distance": Key(
        "Frechet distance from samples to images, in an attribute classifier's features", "", "lower"
    ),
    "samples.fid": Key("Frechet distance in the features of the published Inception network", "", "lower"),
    "samples.kernel_distance": Key(
        "kernel distance from samples to images, in an attribute classifier's features", "", "lower"
    ),
    "samples.kid": Key("kernel distance in the features of the published Inception network", "", "lower"),
    "samples.precision": Key("samples that lie among the images", "share", "higher"),
    "samples.recall": Key("images that lie among the samples", "share", "higher"),
    "samples.attribute_accuracy": Key(
        "attributes asked for that the attribute classifier finds in samples", "share", "higher"
    ),
    "samples.top1": Key(
        "values of a categorical attribute that the attribute classifier finds in samples", "share", "higher"
    ),
    "samples.score": Key(
        "Inception-style score of samples by the attribute classifier: binary or one categorical attribute",
        "",
        "higher",
    ),
    "images.score": Key("Inception-style score of the images themselves", "", ""),
    "samples.diversity": Key("perceptual distance of two samples of equal attributes", "", "higher"),
    "samples.ms_ssim": Key("MS-SSIM of two samples of equal attributes", "", "lower"),
    "truth.diversity": Key("perceptual distance of two synthetic faces of equal attributes", "", ""),
    "truth.ms_ssim": Key("MS-SSIM of two synthetic faces of equal attributes", "", ""),
    "code.mig": Key("MIG of z against the factors that are no attributes", "", "higher"),
    "code.sap": Key("SAP of z against the factors that are no attributes", "", "higher"),
    "code.disentanglement": Key("DCI disentanglement of z against the factors that are no attributes", "", "higher"),
    "code.completeness": Key("DCI completeness of z against the factors that are no attributes", "", "higher"),
    "code.informativeness": Key("DCI informativeness of z against the factors that are no attributes", "", "higher"),
    "code_and_y.mig": Key("MIG of z and the guessed attributes against all factors", "", "higher"),
    "code_and_y.sap": Key("SAP of z and the guessed attributes", "", "higher"),
    "code_and_y.disentanglement": Key("DCI disentanglement of z and the guessed attributes", "", "higher"),
    "code_and_y.completeness": Key("DCI completeness of z and the guessed attributes", "", "higher"),
    "code_and_y.informativeness": Key("DCI informativeness of z and the guessed attributes", "", "higher"),
    "identity.cosine": Key("cosine of an identity encoder's features, image to its reconstruction", "", "higher"),
    "identity.cosine_of_strangers": Key("cosine of its features, image to the reconstruction of another", "", ""),
    "identity.verification": Key("pairs of image and reconstruction told right: one person or two", "share", "higher"),
    "identity.area": Key("area under the ROC curve of that verification", "", "higher"),
    "identity.true_accepts_at_1": Key("true accepts of that verification at 1 % false ones", "share", "higher"),
    "identity.true_accepts_at_10": Key("true accepts of that verification at 10 % false ones", "share", "higher"),
    "judge.accuracy": Key("attributes that an attribute classifier tells right on unseen images", "share", "higher"),
    "judge.calibration_error": Key(
        "expected calibration error of an attribute classifier, mean over attributes", "", "lower"
    ),
    "judge.calibration_error_overall": Key(
        "expected calibration error of an attribute classifier, all answers together", "", "lower"
    ),
    "recogniser.top1": Key("unseen images whose person an identity encoder tells right", "share", "higher"),
    "recogniser.calibration_error": Key("expected calibration error of an identity encoder", "", "lower"),
    "recogniser.verification": Key("pairs of people it never saw told right: one person or two", "share", "higher"),
    "recogniser.area": Key("area under the ROC curve of that verification", "", "higher"),
}  # fmt: skip
"""Of attributes a key goes on with their name: `edit.target_reached.Smiling`."""

WAS = {
    "classifier accuracy": "classifier.accuracy",
    "reconstruction PSNR in dB": "reconstruction.psnr",
    "reconstruction SSIM": "reconstruction.ssim",
    "reconstruction MS-SSIM": "reconstruction.ms_ssim",
    "reconstruction perceptual distance": "reconstruction.perceptual_distance",
    "attribute accuracy of reconstructions": "reconstruction.attribute_accuracy",
    "attribute accuracy of the images themselves": "images.attribute_accuracy",
    "edit target reached": "edit.target_reached",
    "edit leakage": "edit.leakage",
    "edit drift": "edit.drift",
    "edit PSNR against the true counterfactual in dB": "edit.psnr",
    "edit PSNR in dB where the truth differs from the input": "edit.psnr_inside",
    "edit PSNR in dB elsewhere": "edit.psnr_outside",
    "edit perceptual distance from the true counterfactual": "edit.perceptual_distance",
    "edit perceptual distance where the truth differs from the input": "edit.perceptual_distance_inside",
    "edit perceptual distance elsewhere": "edit.perceptual_distance_outside",
    "edit identity drift": "edit.identity_drift",
    "edit background drift in 1/255": "edit.background_drift",
    "identity drift of the true edits": "truth.identity_drift",
    "the judge's own error on true edits": "truth.judge_error",
    "edit response, deviation from the straight line": "response.deviation",
    "edit response, deviation from that of the truth": "response.deviation_from_truth",
    "edit response, deviation of single images": "response.deviation_single",
    "edit response, largest jump": "response.largest_jump",
    "edit response, steps that do not fall": "response.rising_steps",
    "edit response, rank correlation with strength": "response.rank_correlation",
    "edit path, unevenness of its steps": "response.unevenness",
    "edit path, longest step": "response.longest_step",
    "edit PSNR on the way in dB": "response.psnr",
    "edit perceptual distance on the way": "response.perceptual_distance",
    "true response, deviation from the straight line": "truth.deviation",
    "true response, deviation of single images": "truth.deviation_single",
    "true response, largest jump": "truth.largest_jump",
    "true response, steps that do not fall": "truth.rising_steps",
    "true response, rank correlation with strength": "truth.rank_correlation",
    "true path, unevenness of its steps": "truth.unevenness",
    "true path, longest step": "truth.longest_step",
    "Frechet distance": "samples.frechet_distance",
    "FID": "samples.fid",
    "kernel distance": "samples.kernel_distance",
    "KID": "samples.kid",
    "precision of samples": "samples.precision",
    "recall of samples": "samples.recall",
    "attribute accuracy of samples": "samples.attribute_accuracy",
    "top-1 accuracy of samples, {}": "samples.top1",
    "Inception-style score, {}, of samples": "samples.score",
    "Inception-style score, {}, of the images themselves": "images.score",
    "diversity within a class of samples": "samples.diversity",
    "MS-SSIM within a class of samples": "samples.ms_ssim",
    "diversity within a class of drawn faces": "truth.diversity",
    "MS-SSIM within a class of drawn faces": "truth.ms_ssim",
    "MIG of z": "code.mig",
    "SAP of z": "code.sap",
    "DCI disentanglement of z": "code.disentanglement",
    "DCI completeness of z": "code.completeness",
    "DCI informativeness of z": "code.informativeness",
    "MIG of z and guessed y": "code_and_y.mig",
    "SAP of z and guessed y": "code_and_y.sap",
    "DCI disentanglement of z and guessed y": "code_and_y.disentanglement",
    "DCI completeness of z and guessed y": "code_and_y.completeness",
    "DCI informativeness of z and guessed y": "code_and_y.informativeness",
    "identity of reconstructions": "identity.cosine",
    "identity of strangers": "identity.cosine_of_strangers",
    "verification accuracy of reconstructions": "identity.verification",
    "verification area of reconstructions": "identity.area",
    "true accepts of reconstructions at 1% false": "identity.true_accepts_at_1",
    "true accepts of reconstructions at 10% false": "identity.true_accepts_at_10",
    "top-1 accuracy": "recogniser.top1",
    "expected calibration error": "recogniser.calibration_error",
    "verification accuracy": "recogniser.verification",
    "verification area under the curve": "recogniser.area",
}
"""Names in evaluations of format version 1 and in older models' cards; {} stands for an attribute's name."""


def base_of(key: str) -> str:
    """Return the key without an attribute's name; "" of what is no key."""
    fitting = [base for base in KEYS if key == base or key.startswith(f"{base}.")]
    return max(fitting, key=len, default="")


def overall(keys: Sequence[str]) -> list[str]:
    """Return the keys without those of single attributes, as far as a figure of all attributes stands for them."""
    return [key for key in keys if base_of(key) in (key, "") or base_of(key) not in keys]


def new_key(was: str) -> str:
    """Return the key of a figure's name in `WAS`; a name that was none stays as it is."""
    if was.startswith("Inception-style score, binary attributes, of "):
        return WAS[was.replace("binary attributes", "{}")]
    for name, key in WAS.items():
        before, hole, behind = name.partition("{}")
        if was == name and not hole:
            return key
        if hole and was.startswith(before) and was.endswith(behind):
            return f"{key}.{was.removeprefix(before).removesuffix(behind)}"
    return was


def describe(keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return what these keys mean, for JSON: key without an attribute's name -> what, unit, better."""
    found = dict.fromkeys(base_of(key) for key in keys if base_of(key))
    return {base: {"what": KEYS[base].what, "unit": KEYS[base].unit, "better": KEYS[base].better} for base in found}
