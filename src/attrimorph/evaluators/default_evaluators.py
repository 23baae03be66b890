"""Which of the shipped judges and identity encoders suits a model."""

from attrimorph.data.drawn import faces
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.identity_encoder import IdentityEncoder, load_identity_encoder
from attrimorph.evaluators.judge import Judge, load_judge


def judge_for(schema: Schema, image_size: int) -> Judge | None:
    """Return the shipped judge that knows these attributes at this size, or None where there is none."""
    try:
        judge = load_judge(f"drawn-faces-{image_size}")
    except AttrimorphError:
        return None
    return judge if judge.schema.names == schema.names else None


def identity_encoder_for(schema: Schema, image_size: int) -> IdentityEncoder | None:
    """Return the shipped identity encoder of drawn people at this size, or None for other images."""
    if schema.names != faces.SCHEMA.names:
        return None
    try:
        return load_identity_encoder(f"drawn-faces-{image_size}")
    except AttrimorphError:
        return None
