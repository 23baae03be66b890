"""The subject of an evaluation: one model on one set of images. Each pass over the images is made once, when needed."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import Judges, decisions, editable_names
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.evaluators.judge import Judge
from attrimorph.evaluators.trunk import halves
from attrimorph.metrics.edits import EditMeasures, measure_edits
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.extractors import Extractor, JudgeFeatures, SeesMaps
from attrimorph.models.model import Code, Edits, Encodes, Model, Sample

BATCH = 256
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
            return batched(lambda part: self.model.classify(part).cpu(), self.unseen.images)
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
        codes = [model.encode(images, y) for images, y in pairs]
        return Code(torch.cat([code.z.cpu() for code in codes]), torch.cat([code.attributes.cpu() for code in codes]))

    @cached_property
    def reconstructions(self) -> Tensor:
        """G(E(x)), [N, 3, S, S]."""
        return self.decoded(self.codes)

    def decoded(self, code: Code) -> Tensor:
        """Return the images of codes, [B, 3, S, S]."""
        pairs = zip(torch.split(code.z, BATCH), torch.split(code.attributes, BATCH), strict=True)
        return torch.cat([self.model.decode(Code(z, y)).cpu() for z, y in pairs])

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
        unedited = self.reconstructions if isinstance(self.model, Encodes) else None
        return replace(self.unseen, reconstructions=unedited).first(max(1, self.edits // max(1, len(names))))

    @cached_property
    def edit_measures(self) -> EditMeasures | None:
        """Every binary attribute of `edited_images` flipped and judged; None where there is nothing to flip."""
        model, names = self.model, editable_names(self.model)
        assert isinstance(model, Edits)
        assert self.judge is not None
        if not names:
            return None
        before = decisions(self.judged_reconstructions if isinstance(model, Encodes) else self.judged, model.schema)
        measures = measure_edits(
            model,
            self.edited_images,
            self.judge,
            before[: len(self.edited_images.images)],
            names=names,
            counterfactuals=self.counterfactuals,
            identity_encoder=self.identity_encoder,
            extractor=self.maps,
            progress=self.progress,
        )
        return measures if measures.flips else None

    def weights(self) -> dict[str, str]:
        """Return the digest of the weights behind each name that may stand in a protocol."""
        tools = [self.judge if isinstance(self.judge, Judge) else None, self.identity_encoder,
                 None if isinstance(self.extractor, JudgeFeatures) else self.extractor]  # fmt: skip
        return {each.name: digest(each.network) for each in tools if each is not None}


def batched(call: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Call with batches of equally long tensors and join what it returns."""
    return torch.cat([call(*parts) for parts in zip(*(torch.split(each, BATCH) for each in tensors), strict=True)])


def digest(network: nn.Module) -> str:
    """Return the beginning of the sha256 of a network's weights, rounded to half precision as files keep them."""
    total = hashlib.sha256()
    for name, tensor in sorted(halves(network).items()):
        total.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]
