"""The subject of an evaluation: one model on one set of images. Each pass over the images is made once, when needed."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import Judges, decisions, editable_names
from attrimorph.evaluators.identity_encoder import IdentityEncoder
from attrimorph.evaluators.judge import Judge
from attrimorph.evaluators.trunk import halves
from attrimorph.metrics.counterfactuals import Instruments
from attrimorph.metrics.edits import EditMeasures, measure_edits
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.metrics.extractors import Extractor, JudgeFeatures, SeesMaps
from attrimorph.models.codes import Code, Edits, Encodes, Sample
from attrimorph.models.model import Model

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
        """What the judge says of the images, [N, width]."""
        assert self.judge is not None
        own = self._judge_features
        return self.judge(self.unseen.images) if own is None else own.judged(self.features)

    @cached_property
    def judged_samples(self) -> Tensor:
        """What the judge says of the samples, [N, width]."""
        assert self.judge is not None
        own = self._judge_features
        return self.judge(self.samples.images) if own is None else own.judged(self.sample_features)

    @property
    def _judge_features(self) -> JudgeFeatures | None:
        """The extractor, if its features are the judge's: then the judge's last layer is all that is left to do."""
        extractor = self.extractor
        return extractor if isinstance(extractor, JudgeFeatures) and extractor.judge is self.judge else None

    @cached_property
    def judged_reconstructions(self) -> Tensor:
        """What the judge says of the reconstructions, [N, width]."""
        assert self.judge is not None
        return self.judge(self.reconstructions)

    @cached_property
    def before(self) -> Tensor:
        """The judge's decisions before an edit: on the reconstructions where there are any, else on the images."""
        said = self.judged_reconstructions if isinstance(self.model, Encodes) else self.judged
        return decisions(said, self.model.schema)

    def instruments(self, judge: Judges) -> Instruments:
        """Return what edits are looked at with."""
        return Instruments(
            judge, self.identity_encoder, self.extractor if isinstance(self.extractor, SeesMaps) else None
        )

    @cached_property
    def edited_images(self) -> EvaluationSet:
        """The first of the images: so many that flipping each binary attribute of each makes at most `edits` edits."""
        names = editable_names(self.model)
        return self.unseen.first(max(1, self.edits // max(1, len(names))))

    @cached_property
    def edit_measures(self) -> EditMeasures | None:
        """Every binary attribute of `edited_images` flipped and judged; None where there is nothing to flip."""
        model, judge, unseen = self.model, self.judge, self.edited_images
        assert isinstance(model, Edits)
        assert judge is not None
        if not editable_names(model):
            return None
        tools = self.instruments(judge)
        measures = measure_edits(
            model,
            unseen,
            judge,
            self.before[: len(unseen.images)],
            names=editable_names(model),
            counterfactuals=self.counterfactuals,
            identity_encoder=tools.identity_encoder,
            extractor=tools.extractor,
            reconstructions=self.reconstructions if isinstance(model, Encodes) else None,
            progress=self.progress,
        )
        return measures if measures.flips else None

    def weights(self) -> dict[str, str]:
        """Return the digest of the weights behind each name that may stand in a protocol."""
        found = {}
        if isinstance(self.judge, Judge):
            found[self.judge.name] = digest(self.judge.network)
        if self.identity_encoder is not None:
            found[self.identity_encoder.name] = digest(self.identity_encoder.network)
        if self.extractor is not None and not isinstance(self.extractor, JudgeFeatures):
            found[self.extractor.name] = digest(self.extractor.network)
        return found


def batched(call: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Call with batches of equally long tensors and join what it returns."""
    return torch.cat([call(*parts) for parts in zip(*(torch.split(each, BATCH) for each in tensors), strict=True)])


def digest(network: nn.Module) -> str:
    """Return the beginning of the sha256 of a network's weights, rounded to half precision as files keep them."""
    total = hashlib.sha256()
    for name, tensor in sorted(halves(network).items()):
        total.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]
