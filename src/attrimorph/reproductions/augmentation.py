"""Experiment f of the CVAE-GAN paper: a recogniser trained on few real images, and on generated ones besides.

Two strategies, as in the paper: more images of the people it knows, and new people, each a mixture of three class
codes. The generator learns from the same few images; nothing of the held-out images reaches either.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from attrimorph.applications.augment import more_of_each
from attrimorph.applications.identities import MIXED, new_identities
from attrimorph.data.drawn import faces
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.evaluators.evaluator import Labelled, batched, from_bytes, of_bytes, photographs
from attrimorph.evaluators.identity_encoder import IdentityEncoder, verification
from attrimorph.evaluators.training import IdentityRecipe, fit_identity_encoder, pairs
from attrimorph.loading import load
from attrimorph.models.model import Model
from attrimorph.reproductions import report
from attrimorph.reproductions.contexts import BATCH, ClassContext, class_context, labels_of, write_rows
from attrimorph.reproductions.frame import (
    BySeed,
    Claim,
    Form,
    Outcome,
    Request,
    by_seed,
    claim,
    listed,
    outcome_of,
    remembered,
    spread,
)

STRANGERS, OF_A_STRANGER = 300, 4  # drawn people nobody trained on, and images of each
STRANGERS_SEED = 991_003
WORDS = {
    "real": "few real images",
    "known": "and more images of the same people",
    "new": "and images of new people",
}
PUBLISHED = {"new": 0.010}
"""What verification accuracy on LFW gained by 5,000 new people with 100 images each."""
SHOWN = 10


def run(request: Request) -> Outcome:
    """Train recognisers with and without generated images, and measure them on held-out real ones."""
    context, form = class_context(request), request.form
    few = few_images(request, context.data)
    narrow = replace(context, data=few)
    figures: dict[str, list[dict[str, float]]] = {strategy: [] for strategy in WORDS}
    models = []
    for seed in request.seeds:
        folder = narrow.trained("cvae-gan", seed)
        model = load(folder, request.device)
        models.append(model)
        key = {"model": model.hash, "data": context.data.fingerprint, "form": repr(form), "batches": "half real"}
        for strategy in WORDS:

            def measure(model: Model = model, strategy: str = strategy, seed: int = seed) -> dict[str, float]:
                request.say(f"training a recogniser, {WORDS[strategy]}, seed {seed}")
                return measured(context, recogniser(request, few, model, strategy, seed))

            figures[strategy].append(remembered(folder, f"augmentation-{strategy}", key, measure))
    held_out, whose, drawn = len(context.data.indices("test")), whose_strangers(context), are_drawn(context.data)
    verified = (
        f"{STRANGERS} other drawn people, {OF_A_STRANGER} images each"
        if drawn
        else "held-out images of the known people"
    )
    outcome = outcome_of(
        "augmentation",
        claims(figures, len(pairs(whose, 0)[0]), held_out),
        {"by seed": figures, "published gain in verification accuracy on LFW": PUBLISHED},
        form=form, people=len(context.classes), data=context.protocol()["data"], held_out=held_out,
        valid=len(context.data.indices("valid")), mixed=MIXED, seeds=listed(request.seeds, "d"), verified=verified,
    )  # fmt: skip
    outcome.pieces += [report.heading("With and without", "Means over the seeds, and their range."), table(figures)]
    images, labels = narrow.images("train")
    rows = [torch.stack([images[labels == label][0] for label in range(min(SHOWN, len(context.classes)))])]
    one_each = replace(form, more=1, strangers=SHOWN, of_a_stranger=1)
    rows += [from_bytes(generated(models[0], few, strategy, one_each, 0)[0][:SHOWN]) for strategy in ("known", "new")]
    outcome.sheet("generated", rows, labels=["real", "same people", "new people"])
    return outcome


def few_images(request: Request, data: PreparedData) -> PreparedData:
    """Return class data with only a few images of each class in the train split; written once."""
    folder = request.out / "data" / f"{data.fingerprint}-few-{request.form.few}"
    if not (folder / "schema.json").is_file():
        train = data.indices("train")
        labels = labels_of(data, train)
        kept = [train[(labels == label).numpy()][: request.form.few] for label in torch.unique(labels)]
        rows = np.sort(np.concatenate([*kept, data.indices("valid"), data.indices("test")]))
        y, whose = (values[torch.from_numpy(rows)] for values in (data.attributes, data.identity))
        write_rows(folder, data, rows, data.schema, y, data.split[rows], whose)
    return open_prepared(folder)


def generated(model: Model, data: PreparedData, strategy: str, form: Form, seed: int) -> tuple[Tensor, Tensor]:
    """Generate images of known or of new people; as in the paper nobody confirms them.

    Args:
        model, data: of classes.
        strategy: "known" or "new".
        form: how many.
        seed: of mixtures and z.

    Returns:
        uint8 [N, 3, S, S], and whose they are: classes for known people, numbers beyond all classes for new ones.
    """
    if strategy == "known":
        made = list(more_of_each(model, form.more, confirm=None, seed=seed))
        labels = torch.cat([part.attributes.argmax(1) for part in made])
    else:
        made = list(new_identities(model, data, form.strangers, form.of_a_stranger, confirm=None, seed=seed))
        numbers = {name: number for number, name in enumerate(dict.fromkeys(part.label for part in made))}
        whose = [numbers[part.label] + data.schema.width for part in made for _ in part.images]
        labels = torch.tensor(whose)
    return torch.from_numpy(np.concatenate([part.images for part in made])).permute(0, 3, 1, 2), labels


def recogniser(request: Request, few: PreparedData, model: Model, strategy: str, seed: int) -> IdentityEncoder:
    """Train a recogniser on the few real images, and on generated ones where the strategy has any."""
    form = request.form
    rows = few.indices("train")
    images, labels = torch.from_numpy(few.images[rows]).permute(0, 3, 1, 2), labels_of(few, rows)
    names = [str(name) for name in few.schema.attributes[0].values]
    if strategy != "real":
        made, whose = generated(model, few, strategy, form, seed)
        images, labels = torch.cat([images, made]), torch.cat([labels, whose])
        names += [f"new {number}" for number in range(form.strangers)] if strategy == "new" else []
    return fit_identity_encoder(
        (
            of_bytes(images.contiguous(), labels, "train", half=len(rows)),
            held_out_images(few, "valid"),
            held_out_images(few, "test"),
        ),
        names,
        IdentityRecipe(images_seen=form.images_seen, seed=seed),
        few.image_size,
        strategy,
        augment=photographs(few.schema),
        progress=request.counting(f"training a recogniser, {strategy}"),
    )


def held_out_images(data: PreparedData, split: str) -> Labelled:
    """Return a split of class data as the recogniser's training takes it."""
    rows = data.indices(split)
    pixels = torch.from_numpy(data.images[rows]).permute(0, 3, 1, 2).contiguous()
    return of_bytes(pixels, labels_of(data, rows), split)


def measured(context: ClassContext, found: IdentityEncoder) -> dict[str, float]:
    """Measure a recogniser on held-out real images, and verification on people that it never saw."""
    images, labels = context.images()
    # New people are no answer to who a known one is.
    guesses = found.cosines(images)[:, : len(context.classes)].argmax(1)
    whose = whose_strangers(context)
    one, other, same = pairs(whose, 0)
    features = found.features(strangers(context.data.image_size, whose) if are_drawn(context.data) else images)
    checked = verification((features[one] * features[other]).sum(1), same)
    return {
        "top-1": float((guesses == labels).double().mean()),
        "verification accuracy": checked.accuracy,
        "verification area": checked.area,
    }


def are_drawn(data: PreparedData) -> bool:
    """Return whether other people can be drawn as these were."""
    return data.preprocessing.get("drawn") == "faces"


def whose_strangers(context: ClassContext) -> Tensor:
    """Return whom the images to verify show, int64 [N]: other drawn people; of other data the held-out images."""
    if not are_drawn(context.data):
        return labels_of(context.data, context.data.indices("test"))
    # People are numbered from 0: these come after all of them.
    return (len(context.classes) + torch.arange(STRANGERS)).repeat_interleave(OF_A_STRANGER)


def strangers(size: int, whose: Tensor) -> Tensor:
    """Draw people, [N, 3, size, size]."""
    factors = faces.sample_factors(len(whose), torch.Generator().manual_seed(STRANGERS_SEED), identities=whose)
    return batched(lambda part: faces.render(part, size), factors, size=BATCH)


def claims(figures: BySeed, verified_pairs: int, held_out: int) -> list[Claim]:
    """Return what the paper says, held against the figures, which count so many pairs and images."""
    words = {"known": "More images of the same people", "new": "Images of new people"}
    return [
        claim("augmentation", key, by_seed(figures, name)[strategy], by_seed(figures, name)["real"], counted=counted,
              strategy=words[strategy])
        for key, name, counted in (
            ("verification", "verification accuracy", verified_pairs), ("recognition", "top-1", held_out),
        )
        for strategy in words
    ]  # fmt: skip


def table(figures: BySeed) -> str:
    """Return the figures of all strategies, the published ones beside."""
    accuracy, area, top_1 = (by_seed(figures, f) for f in ("verification accuracy", "verification area", "top-1"))
    rows: dict[str, dict[str, str | None]] = {}
    for strategy, verified in accuracy.items():
        gains = [mine - base for mine, base in zip(verified, accuracy["real"], strict=True)]
        rows[WORDS[strategy]] = {
            "top-1": spread(top_1[strategy], ".2%"),
            "verification accuracy": spread(verified, ".2%"),
            "gain": None if strategy == "real" else spread(gains, "+.2%"),
            "published gain, LFW": f"{PUBLISHED[strategy]:+.1%}" if strategy in PUBLISHED else None,
            "area under the curve": spread(area[strategy], ".4f"),
        }
    return report.figures(rows, corner="trained on")
