"""The subject of an evaluation, and the groups of figures about images: reconstruction, distribution, diversity, ...

The subject is one model on one set of images: each pass over the images is made once, when needed. A group takes it
and puts its figures, pictures and notes into the evaluation. What cannot be measured is a note.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from attrimorph.data import Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import Judges, attribute_accuracy, editable_names
from attrimorph.evaluators.evaluator import BATCH, batched, halves
from attrimorph.evaluators.identity_encoder import FOLDS, IdentityEncoder, verification
from attrimorph.evaluators.judge import Judge
from attrimorph.metrics.distribution import (
    PAIRS,
    SUBSET,
    binary_score,
    dci,
    diversity,
    inception_style_score,
    kernel_distance,
    mig,
    precision_recall,
    sap,
)
from attrimorph.metrics.edits import EditMeasures, measure_edits
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.extractors import Extractor, JudgeFeatures, SeesMaps
from attrimorph.metrics.figures import Evaluation, of_mean, wilson
from attrimorph.metrics.frechet import frechet_distance
from attrimorph.metrics.similarity import (
    ms_ssim,
    ms_ssim_scales,
    perceptual_distance,
    perceptual_embedding,
    psnr,
    squared_distance,
    ssim,
)
from attrimorph.models.model import Code, Edits, Encodes, Model, Sample, decisions
from attrimorph.pictures import sheet

SAMPLE_SEED = 1
EDITS = 7_500  # in all, unless the caller wants more
COUNTERFACTUALS = 40
Progress = Callable[[str], None]


@dataclass(frozen=True)
class EvaluationContext:
    """What is measured, and with what.

    Attributes:
        model: any.
        unseen: images that nobody trained on.
        judge: who tells attributes, or None.
        identity_encoder: who tells people, or None.
        extractor: whose features distributions are compared in, or None.
        edits: the most edits in all.
        counterfactuals: edits of each attribute and direction that are looked at closely, beside the true picture.
        progress: gets a line of text now and then.
    """

    model: Model
    unseen: EvaluationSet
    judge: Judges | None = None
    identity_encoder: IdentityEncoder | None = None
    extractor: Extractor | None = None
    edits: int = EDITS
    counterfactuals: int = COUNTERFACTUALS
    progress: Progress | None = None

    @property
    def size(self) -> int:
        """Pixels each way."""
        return self.model.image_size

    @cached_property
    def labels(self) -> Tensor:
        """The images' attributes, those that are missing as 0, [N, width]."""
        return self.unseen.labels.nan_to_num(0.0)

    @cached_property
    def guesses(self) -> Tensor | None:
        """Probabilities that the model's own classifier gives, [N, width]; None where it has none."""
        try:
            return batched(self.model.classify, self.unseen.images)
        except AttrimorphError:
            return None

    @cached_property
    def codes(self) -> Code:
        """The images' codes, given their true attributes."""
        return self.encoded(self.labels)

    def encoded(self, attributes: Tensor) -> Code:
        """Return the images' codes, given attributes [N, width]."""
        model = self.model
        assert isinstance(model, Encodes)
        pairs = zip(torch.split(self.unseen.images, BATCH), torch.split(attributes, BATCH), strict=True)
        code = Code.joined(model.encode(images, y) for images, y in pairs)
        return Code(code.z.cpu(), code.attributes.cpu())

    @cached_property
    def reconstructions(self) -> Tensor:
        """G(E(x)), or of an editor without codes its edit that asks for nothing, [N, 3, S, S]."""
        model = self.model
        if isinstance(model, Encodes):
            return self.decoded(self.codes)
        assert isinstance(model, Edits)
        return batched(lambda images, y: model.edit(images, {}, y), self.unseen.images, self.labels)

    @cached_property
    def reconstructs(self) -> bool:
        """Whether the model makes images again; some editors leave those alone of which nothing is asked."""
        if isinstance(self.model, Encodes):
            return True
        return isinstance(self.model, Edits) and not torch.equal(self.reconstructions, self.unseen.images)

    def decoded(self, code: Code) -> Tensor:
        """Return the images of codes, [B, 3, S, S]."""
        return batched(lambda z, y: self.model.decode(Code(z, y)), code.z, code.attributes)

    @cached_property
    def samples(self) -> Sample:
        """As many new images as there are unseen ones, of attributes as in the training data."""
        code = self.model.sample_codes(len(self.unseen.images), torch.Generator().manual_seed(SAMPLE_SEED))
        return Sample(self.decoded(code), code)

    @cached_property
    def generates(self) -> bool:
        """Whether the model draws codes and makes images of them."""
        try:
            self.model.sample_codes(1, torch.Generator())
        except AttrimorphError:
            return False
        return True

    @cached_property
    def features(self) -> Tensor:
        """The extractor's features of the images, [N, F]."""
        assert self.extractor is not None
        return self.extractor(self.unseen.images)

    @cached_property
    def sample_features(self) -> Tensor:
        """The extractor's features of the samples, [N, F]."""
        assert self.extractor is not None
        return self.extractor(self.samples.images)

    @cached_property
    def judged(self) -> Tensor:
        """The judge's probabilities of the images, [N, width]."""
        return self._judged(self.unseen.images, lambda: self.features)

    @cached_property
    def judged_samples(self) -> Tensor:
        """The judge's probabilities of the samples, [N, width]."""
        return self._judged(self.samples.images, lambda: self.sample_features)

    def _judged(self, images: Tensor, features: Callable[[], Tensor]) -> Tensor:
        """Judge images; where the extractor's features are the judge's own, only its last layer is left to do."""
        assert self.judge is not None
        if isinstance(self.extractor, JudgeFeatures) and self.extractor.judge is self.judge:
            return self.extractor.judged(features())
        return self.judge(images)

    @cached_property
    def judged_reconstructions(self) -> Tensor:
        """The judge's probabilities of the reconstructions, [N, width]."""
        assert self.judge is not None
        return self.judge(self.reconstructions)

    @property
    def maps(self) -> SeesMaps | None:
        """The extractor, where it sees feature maps."""
        return self.extractor if isinstance(self.extractor, SeesMaps) else None

    @cached_property
    def edited_images(self) -> EvaluationSet:
        """The first of the images: so many that flipping each binary attribute of each makes at most `edits` edits."""
        names = editable_names(self.model)
        unedited = self.reconstructions if self.reconstructs else None
        return replace(self.unseen, reconstructions=unedited).first(max(1, self.edits // max(1, len(names))))

    @cached_property
    def edit_measures(self) -> EditMeasures | None:
        """Every binary attribute of `edited_images` flipped and judged; None where there is nothing to flip."""
        model, names = self.model, editable_names(self.model)
        assert isinstance(model, Edits)
        assert self.judge is not None
        if not names:
            return None
        before = decisions(self.judged_reconstructions if self.reconstructs else self.judged, model.schema)
        measures = measure_edits(
            model,
            self.edited_images,
            self.judge,
            before[: len(self.edited_images.images)],
            names=names,
            counterfactuals=self.counterfactuals,
            identity_encoder=self.identity_encoder,
            extractor=self.maps,
            composed=True,
            progress=self.progress,
        )
        return measures if measures.edits else None

    def weights(self) -> dict[str, str]:
        """Return the digest of the weights behind each name that may stand in a protocol."""
        tools = [self.judge if isinstance(self.judge, Judge) else None, self.identity_encoder,
                 None if isinstance(self.extractor, JudgeFeatures) else self.extractor]  # fmt: skip
        return {each.name: digest(each.network) for each in tools if each is not None}


def digest(network: nn.Module) -> str:
    """Return the beginning of the sha256 of a network's weights, rounded to half precision as files keep them."""
    total = hashlib.sha256()
    for name, tensor in sorted(halves(network).items()):
        total.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


# --- the groups of figures: reconstruction, distribution, diversity, disentanglement, identity

MOST_SEEN = 2_000  # images that a perceptual distance or an identity encoder looks at
MOST_NEIGHBOURS = 5_000  # images of either kind among which neighbours are sought
CLASSES, OF_A_CLASS = 20, 8  # of the samples whose diversity is measured
NEIGHBOURS = 3
LEAST_PER_DIMENSION = 2  # images for each dimension of a code that a regression looks at
MOST_DIMENSIONS = 2_048  # of a code whose parts are looked at one by one
LEAST = 10  # rows for codes against factors, pairs, neighbours


def mean(values: dict[str, float]) -> float:
    """Return the mean, NaN of nothing."""
    return sum(values.values()) / len(values) if values else float("nan")


def measure_reconstruction(context: EvaluationContext, evaluation: Evaluation) -> None:
    """How near reconstructions are to images, what a judge finds in them, how good the model's own classifier is."""
    words, schema, unseen = context.unseen.words, context.model.schema, context.unseen
    if context.guesses is None:
        evaluation.notes.append("The model has no classifier: none was measured.")
    elif accuracy := attribute_accuracy(context.guesses, unseen.labels, schema):
        own = f"the model's own classifier; {words}"
        evaluation.put("classifier.accuracy", own, mean(accuracy))
        for name, value in accuracy.items():
            evaluation.put(f"classifier.accuracy.{name}", own, value)
    begin = time.perf_counter()
    if not context.reconstructs:
        evaluation.notes.append("The model does not encode: no reconstruction was measured.")
        return
    made = context.reconstructions
    evaluation.about["reconstructions per second"] = round(len(made) / (time.perf_counter() - begin), 1)
    pair = (unseen.images, made)
    put_mean(evaluation, "reconstruction.psnr", f"mean over images, data range 1; {words}", batched(psnr, *pair))
    if scales := ms_ssim_scales(context.size):
        put_mean(evaluation, "reconstruction.ssim", f"Gaussian window of 11 px; {words}", batched(ssim, *pair))
        put_mean(evaluation, "reconstruction.ms_ssim", f"{scales} scales; {words}", batched(ms_ssim, *pair))
    if isinstance(context.extractor, SeesMaps):
        seen = unseen.first(MOST_SEEN)
        distance = perceptual_distance(context.extractor)(seen.images, made[:MOST_SEEN])
        protocol = f"{context.extractor.name}; {seen.words}"
        put_mean(evaluation, "reconstruction.perceptual_distance", protocol, distance)
    if context.judge is not None:
        judge = context.judge.name
        for what, probabilities in (("reconstruction", context.judged_reconstructions), ("images", context.judged)):
            accuracy = attribute_accuracy(probabilities, unseen.labels, schema)
            evaluation.put(f"{what}.attribute_accuracy", f"{judge}; {words}", mean(accuracy))
    evaluation.pictures["reconstructions"] = sheet(
        [unseen.images[:9], made[:9]], labels=["input", "reconstruction"], cell=96, clear=True
    )


def put_mean(evaluation: Evaluation, key: str, protocol: str, values: Tensor) -> None:
    """Put the mean over images into an evaluation, with its interval over them."""
    interval = of_mean(values.double().tolist())
    evaluation.put(key, protocol, float(values.mean()), interval)


def measure_distribution(context: EvaluationContext, evaluation: Evaluation) -> None:
    """How near the samples are to the images as a set, and what a judge finds in them."""
    count = len(context.unseen.images)
    words = f"{count} samples, seed {SAMPLE_SEED}"
    if not context.generates:
        evaluation.notes.append("The model does not sample: the distribution of samples was not measured.")
        return
    if context.extractor is None:
        evaluation.notes.append("No judge and no extractor was given: the distribution of samples was not measured.")
    elif count <= LEAST:
        evaluation.notes.append(f"{count} images are too few: the distribution of samples was not measured.")
    else:
        _measure_distances(context, evaluation, context.extractor, words)
    if context.judge is not None:
        _measure_judged_samples(context, evaluation, context.judge, words)


def _measure_distances(context: EvaluationContext, evaluation: Evaluation, extractor: Extractor, words: str) -> None:
    real, made = context.features, context.sample_features
    inception = extractor.name == "Inception"
    protocol = f"{extractor.name}; {words}, against {context.unseen.words}"
    evaluation.put("samples.fid" if inception else "samples.frechet_distance", protocol, frechet_distance(real, made))
    fewest, width = min(len(real), len(made)), real.shape[1]
    if fewest <= width:
        evaluation.notes.append(
            f"Frechet's distance means nothing here: {fewest:,} images cannot tell the covariance of {width:,} "
            f"features; measure more than {width:,} images, or look at the kernel distance."
        )
    kernel = kernel_distance(real, made)
    subsets = f"disjoint subsets of at most {SUBSET}; {protocol}"
    evaluation.put("samples.kid" if inception else "samples.kernel_distance", subsets, kernel)
    near = precision_recall(real[:MOST_NEIGHBOURS], made[:MOST_NEIGHBOURS], neighbours=NEIGHBOURS)
    limit = f"the first {MOST_NEIGHBOURS} of each, " if len(real) > MOST_NEIGHBOURS else ""
    evaluation.put("samples.precision", f"{NEIGHBOURS} neighbours, {limit}{protocol}", near.precision)
    evaluation.put("samples.recall", f"{NEIGHBOURS} neighbours, {limit}{protocol}", near.recall)


def _measure_judged_samples(context: EvaluationContext, evaluation: Evaluation, judge: Judges, words: str) -> None:
    schema = context.model.schema
    if context.model.conditional:
        accuracy = attribute_accuracy(context.judged_samples, context.samples.code.attributes, schema)
        evaluation.put("samples.attribute_accuracy", f"{judge.name}; {words}", mean(accuracy))
        for attribute in schema.attributes:
            if attribute.kind == "categorical" and attribute.name in accuracy:
                share = accuracy[attribute.name]
                evaluation.put(
                    f"samples.top1.{attribute.name}", f"{judge.name}; {words}", share,
                    wilson(share, len(context.judged_samples)),
                )  # fmt: skip
    for what, probabilities, protocol in (
        ("samples", context.judged_samples, words),
        ("images", context.judged, context.unseen.words),
    ):
        for kind, value in scores(probabilities, schema).items():
            evaluation.put(f"{what}.score{kind}", f"{judge.name}; {protocol}", value)


def scores(probabilities: Tensor, schema: Schema) -> dict[str, float]:
    """Return Inception-style scores of a judge's answers [N, width]: "" of all binary ones, ".NAME" of others."""
    found = {}
    if binary := [schema.columns(each.name).start for each in schema.attributes if each.kind == "binary"]:
        found[""] = binary_score(probabilities[:, binary])
    for attribute in schema.attributes:
        if attribute.kind == "categorical":
            columns = schema.columns(attribute.name)
            found[f".{attribute.name}"] = inception_style_score(probabilities[:, columns])
    return found


def measure_diversity(context: EvaluationContext, evaluation: Evaluation) -> None:
    """How different samples of equal attributes are, beside drawn faces of equal attributes where those are known."""
    if not context.generates:
        evaluation.notes.append("The model does not sample: no diversity was measured.")
        return
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    classes = torch.arange(CLASSES).repeat_interleave(OF_A_CLASS)
    if context.model.conditional:
        attributes = context.model.sample_codes(CLASSES, generator).attributes[classes]
        code = context.model.sample_codes(len(classes), generator, attributes)
        words = f"{CLASSES} combinations of attributes, {OF_A_CLASS} samples of each, seed {SAMPLE_SEED}"
    else:
        code, classes = context.model.sample_codes(len(classes), generator), torch.zeros_like(classes)
        attributes = None
        words = f"unconditional: {len(classes)} samples as one class, seed {SAMPLE_SEED}"
    made = context.decoded(code)
    _measure_pairs(context, evaluation, "samples", made, classes, words)
    if attributes is not None:
        evaluation.pictures["samples of one class"] = sheet(torch.split(made, OF_A_CLASS)[:4], cell=96, clear=True)
        if context.unseen.factors is not None:
            words = words.replace("samples of each", "drawings of each")
            drawn = drawn_with(attributes, context.size, generator)
            _measure_pairs(context, evaluation, "truth", drawn, classes, words)


def _measure_pairs(
    context: EvaluationContext, evaluation: Evaluation, what: str, images: Tensor, classes: Tensor, words: str
) -> None:
    pairs = f"at most {PAIRS} pairs of each, {words}"
    if isinstance(context.extractor, SeesMaps):
        value = diversity(perceptual_embedding(context.extractor)(images), classes, squared_distance)
        evaluation.put(f"{what}.diversity", f"perceptual distance, {context.extractor.name}; {pairs}", value)
    if scales := ms_ssim_scales(context.size):
        value = diversity(images, classes, ms_ssim)
        evaluation.put(f"{what}.ms_ssim", f"{scales} scales; less is more diverse; {pairs}", value)


def drawn_with(attributes: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Draw other people with given attributes, [B, 3, S, S]: every other factor is drawn anew.

    Args:
        attributes: of the drawn faces' schema, [B, A] in {0, 1}.
        size: of the images.
        generator: of the factors.
    """
    factors = faces.sample_factors(len(attributes), generator)
    degree = torch.rand(attributes.shape, generator=generator)
    factors[:, : attributes.shape[1]] = attributes * 0.7 + degree * 0.3
    return batched(lambda part: faces.render(part, size), factors)


def measure_disentanglement(context: EvaluationContext, evaluation: Evaluation) -> None:
    """Codes against the true factors of drawn faces.

    z alone against what the attributes do not say (geometry, pose, light, background): it is z's to know. Then z and y
    together against all factors, y as the model's own classifier guesses it, so that nothing is given away.
    """
    factors = context.unseen.factors
    if factors is None or not isinstance(context.model, Encodes) or len(factors) < LEAST:
        evaluation.notes.append(
            "Disentanglement needs drawn faces, whose factors are known, and a model that encodes: not measured."
        )
        return
    z = context.codes.z.flatten(1)
    if z.shape[1] > MOST_DIMENSIONS:
        evaluation.notes.append(
            f"Codes of {z.shape[1]} dimensions, over {MOST_DIMENSIONS}, are maps: disentanglement was not measured."
        )
        return
    count = len(faces.SCHEMA.names)
    known = factors[:, :-1]  # without the identity's number
    cases = [("code", z, known[:, count:], f"{known.shape[1] - count} factors beside the attributes")]
    if context.guesses is not None and context.model.conditional:
        guessed = context.encoded((context.guesses > 0.5).float())
        both = torch.cat([guessed.z.flatten(1), context.guesses], 1)
        cases.append(("code_and_y", both, known, f"all {known.shape[1]} factors"))
    for name, codes, true, words in cases:
        protocol = f"{codes.shape[1]} dimensions against {words}; {context.unseen.words}"
        evaluation.put(f"{name}.mig", f"20 bins, mean over factors; {protocol}", float(mig(codes, true).nanmean()))
        evaluation.put(f"{name}.sap", f"R2, mean over factors; {protocol}", float(sap(codes, true).nanmean()))
        if len(codes) < LEAST_PER_DIMENSION * codes.shape[1]:
            least = LEAST_PER_DIMENSION * codes.shape[1]
            evaluation.notes.append(f"DCI of {name} needs {least} images, twice its dimensions: not measured.")
            continue
        for kind, value in zip(("disentanglement", "completeness", "informativeness"), dci(codes, true), strict=True):
            evaluation.put(f"{name}.{kind}", f"lasso 0.01, 80 % fitted; {protocol}", value)


def measure_identity(context: EvaluationContext, evaluation: Evaluation) -> None:
    """Whether an identity encoder still takes a reconstruction for the same person."""
    identity_encoder, seen = context.identity_encoder, context.unseen.first(MOST_SEEN)
    if identity_encoder is None or not isinstance(context.model, Encodes) or len(seen.images) < 2 * FOLDS:
        evaluation.notes.append(
            f"Identity needs an identity encoder, a model that encodes, and {2 * FOLDS} images: not measured."
        )
        return
    real, made = (
        identity_encoder.features(images).double() for images in (seen.images, context.reconstructions[:MOST_SEEN])
    )
    own, other = (real * made).sum(1), (real * made.roll(1, 0)).sum(1)
    protocol = f"{identity_encoder.name}; {seen.words}"
    evaluation.put("identity.cosine", f"cosine with the input, {protocol}", float(own.mean()))
    evaluation.put(
        "identity.cosine_of_strangers", f"cosine with the reconstruction of another, {protocol}", float(other.mean())
    )
    same = torch.arange(2 * len(own)) < len(own)
    found = verification(torch.cat([own, other]), same)
    pairs = f"{len(same)} pairs of an image and a reconstruction, {FOLDS} folds; {protocol}"
    evaluation.put("identity.verification", pairs, found.accuracy)
    evaluation.put("identity.area", f"under the ROC curve; {pairs}", found.area)
    for rate, accepted in found.accepted.items():
        evaluation.put(f"identity.true_accepts_at_{100 * rate:.0f}", pairs, accepted)
