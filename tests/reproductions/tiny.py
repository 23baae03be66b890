"""Experiments in tiny form: seconds for all of them together, everything about them real but their size."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from attrimorph.reproductions.frame import Form, Request

FIELDS = {
    "data.image_size": 16,
    "networks.latent": 4,
    "networks.encoder_width": 4,
    "networks.generator_width": 4,
    "networks.discriminator_width": 4,
    "networks.classifier_width": 4,
    "training.images": 32,
    "training.batch_size": 16,
    "training.log_images": 16,
    "training.checkpoint_images": 1_000,
    "training.sample_images": 1_000,
    "training.precision": "float32",
    "training.memory_format": "contiguous",
}
TINY = Form(
    "tiny",
    people=3,
    images=40,
    images_seen=64,
    changes=FIELDS,
    per_class=4,
    iterations=60,
    few=5,
    more=4,
    strangers=3,
    of_a_stranger=4,
)

SHORT = replace(TINY, changes={}, faces=40, unseen=16, codes=300, search=(2, 3), close=4, many=8)
"""For any paper's experiments, where the recipes themselves are tiny."""


def request(out: Path, **changes: Any) -> Request:
    return Request(**{"out": out, "form": TINY, "seeds": (0,), **changes})
