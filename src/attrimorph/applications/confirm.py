"""Confirming generated images: a label is written only where everybody at hand who can tell sees it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from attrimorph.data import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import Judges
from attrimorph.evaluators.identity_encoder import IdentityEncoder, identity_encoder_for, load_identity_encoder
from attrimorph.evaluators.judge import OwnClassifier, judge_for, load_judge
from attrimorph.models.model import Model, decided

LEAST_SHARE = 0.5
"""Of the images tried: where fewer are confirmed, nothing is written."""
NEAR = 1.0  # standard deviations by which a real attribute may be off


@dataclass
class Confirmation:
    """Who looks at generated images before they are written, and what came of it.

    Attributes:
        schema: of the labels.
        witnesses: they tell attributes.
        identity_encoder: tells whether a new person is one; None where that is not asked.
        tried, confirmed: images of each class.
        lacking: images of each class that were wanted and not confirmed in so many tries.
        emptied: single labels of confirmed images that not all witnesses see, and so are missing.
        people: the sums of the features of each new person so far, [F].
    """

    schema: Schema
    witnesses: Sequence[Judges]
    identity_encoder: IdentityEncoder | None = None
    tried: Counter[str] = field(default_factory=Counter)
    confirmed: Counter[str] = field(default_factory=Counter)
    lacking: Counter[str] = field(default_factory=Counter)
    emptied: int = 0
    people: dict[str, Tensor] = field(default_factory=dict)

    @property
    def names(self) -> str:
        """Who looks."""
        return ", ".join(each.name for each in (*self.witnesses, self.identity_encoder) if each is not None)

    @property
    def share(self) -> float:
        """Confirmed images among those tried."""
        return self.confirmed.total() / max(1, self.tried.total())

    def __call__(self, label: str, images: Tensor, y: Tensor, claimed: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Look at images of one class.

        Args:
            label: the class.
            images: [B, 3, S, S] in [-1, 1], as they would be written.
            y: [B, W], their labels; where several values have a share (a mixture of classes), any of them will do.
            claimed: attributes that make the class.

        Returns:
            Which images are confirmed, bool [B], and the labels [B, W], NaN where not all witnesses see them.
        """
        agree = self._agree(images, y)
        kept = agree[:, [self.schema.names.index(name) for name in claimed]].all(1)
        if self.identity_encoder is not None:
            kept = kept & self._same_person(label, self.identity_encoder.features(images))
        y = y.clone()
        for place, name in enumerate(self.schema.names):
            part = y[:, self.schema.columns(name)]
            self.emptied += int((kept & ~agree[:, place] & ~part.isnan().any(1)).sum())
            part[~agree[:, place]] = torch.nan
        self.tried[label] += len(images)
        self.confirmed[label] += int(kept.sum())
        return kept, y

    def _agree(self, images: Tensor, y: Tensor) -> Tensor:
        """Return which attributes every witness that knows them sees as labelled, bool [B, attributes]."""
        agree = torch.ones(len(images), len(self.schema.names), dtype=torch.bool)
        told = torch.zeros(len(self.schema.names), dtype=torch.bool)
        for witness in self.witnesses:
            said = decided(witness(images).float().cpu(), witness.schema)
            for place, attribute in enumerate(self.schema.attributes):
                if attribute in witness.schema.attributes:
                    seen, label = (
                        said[:, witness.schema.columns(attribute.name)],
                        y[:, self.schema.columns(attribute.name)],
                    )
                    match attribute.kind:
                        case "categorical":
                            same = (seen * label).sum(1) > 0
                        case "binary":
                            same = (seen == label).all(1)
                        case "real":
                            same = ((seen - label).abs() <= NEAR).all(1)
                    agree[:, place] &= same
                    told[place] = True
        return agree & told

    def _same_person(self, label: str, features: Tensor) -> Tensor:
        """Return which images are more like the other images of their person than like any earlier new person."""
        before = self.people.get(label, torch.zeros(features.shape[1]))
        own = before + features.sum(0) - features
        own = torch.where(own.any(1, keepdim=True), own, features)  # a person's only image is like itself
        others = [total for name, total in self.people.items() if name != label]
        nearest = features @ normalize(torch.stack(others), dim=1).T if others else torch.full((len(features), 1), -2.0)
        kept = (features * normalize(own, dim=1)).sum(1) > nearest.amax(1)
        self.people[label] = before + features[kept].sum(0)
        return kept

    def refuse_doubtful(self) -> None:
        """Refuse images of which too few are confirmed.

        Raises:
            AttrimorphError: they are fewer than `LEAST_SHARE`.
        """
        if self.share < LEAST_SHARE:
            worst = min(self.tried, key=lambda label: self.confirmed[label] / self.tried[label])
            raise AttrimorphError(
                f"at least half of the generated images must be confirmed by {self.names}; "
                f"{self.confirmed.total():,} of {self.tried.total():,} were ({self.share:.0%}; {worst}: "
                f"{self.confirmed[worst]:,} of {self.tried[worst]:,}), so their labels would be noise; nothing was "
                "written; train the model longer, or use a better one"
            )

    def line(self) -> str:
        """Say what came of it."""
        left = self.tried.total() - self.confirmed.total()
        missing = f"; {self.lacking.total():,} fewer than asked for" if self.lacking.total() else ""
        return (
            f"{self.confirmed.total():,} of {self.tried.total():,} images confirmed ({self.names}); "
            f"{left:,} left out{missing}; {self.emptied:,} other labels left empty"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        classes = {
            label: {"tried": tried, "confirmed": self.confirmed[label], "fewer than asked for": self.lacking[label]}
            for label, tried in self.tried.items()
        }
        return {
            "by": [each.name for each in (*self.witnesses, self.identity_encoder) if each is not None],
            "tried": self.tried.total(),
            "confirmed": self.confirmed.total(),
            "labels left empty": self.emptied,
            "classes": classes,
        }


def confirmation(
    model: Model, schema: Schema, claimed: Sequence[str], judge: str | None, *, people: bool = False
) -> Confirmation:
    """Return who confirms a model's images: its own classifier, and a judge where one suits.

    Args:
        model: that makes them.
        schema: of their labels.
        claimed: attributes that make the classes.
        judge: a file or a shipped judge; None = the shipped one that suits, if any. With `people` an identity encoder.
        people: whether images must be told to show one person each.

    Raises:
        AttrimorphError: nobody at hand can tell, or the judge does not know the attributes or the size.
    """
    witnesses: list[Judges] = [OwnClassifier(model)] if "classifier" in model.networks else []
    named = None if judge is None or people else load_judge(judge, model.device)
    if (suits := named or judge_for(schema, model.image_size, model.device)) is not None:
        witnesses.append(suits)
    identity_encoder = None
    if people:
        identity_encoder = (
            identity_encoder_for(schema, model.image_size, model.device)
            if judge is None
            else load_identity_encoder(judge, model.device)
        )
        if identity_encoder is None:
            raise AttrimorphError(
                "somebody must tell whether a new person is one; no identity encoder ships for these images; train one "
                "with attrimorph judge DATA --kind identity --out FILE, and add --judge FILE"
            )
    for looks in (named, identity_encoder):
        if looks is not None and looks.image_size != model.image_size:
            raise AttrimorphError(
                f"--judge must look at {model.image_size} px, the model's size; {looks.name} takes "
                f"{looks.image_size} px; train one with attrimorph judge"
            )
    for name in claimed:
        attribute = schema.attribute(name)
        if named is not None and attribute not in named.schema.attributes:
            raise AttrimorphError(
                f"--judge must know {name}, with the values of the data; {named.name} does not; name another"
            )
        if not any(attribute in each.schema.attributes for each in witnesses):
            raise AttrimorphError(
                f"somebody must confirm {name} in what is generated; {model.recipe.name!r} has no classifier and no "
                "judge that ships knows it; train one with attrimorph judge DATA --out FILE, and add --judge FILE"
            )
    return Confirmation(schema, witnesses, identity_encoder)
