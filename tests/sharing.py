"""Started by test_batches.py with torchrun: each process writes what it came to of work that all of them share."""

import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from attrimorph import training
from attrimorph.applications.axes.fitting import judged_by
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators import evaluator
from attrimorph.evaluators.judge import load_judge
from attrimorph.loading import load
from attrimorph.metrics import edits, responses
from attrimorph.metrics.evaluate import evaluate
from attrimorph.models.batches import sharing
from attrimorph.models.model import CodedModel


def come_to(model: Path) -> dict[str, Any]:
    """Return figures of an evaluation, what a judge said of drawn pictures, and how many pictures were decoded."""
    count, decode = 0, CodedModel.decode

    def counted(self: CodedModel, code: Any) -> Tensor:
        nonlocal count
        count += len(code.z)
        return decode(self, code)

    judge, loaded = load_judge("drawn-faces-32"), load(model)
    # Few pictures, in many parts.
    with (
        patch.object(CodedModel, "decode", counted),
        patch.object(edits, "BATCH", 2),
        patch.object(responses, "AT_ONCE", 2),
        patch.object(evaluator.batched, "__kwdefaults__", {"size": 3}),
    ):
        groups = ["reconstruction", "edits", "distribution"]
        figures = evaluate(loaded, judge=judge, count=7, metrics=groups, edits=75, counterfactuals=1).figures
        said = judged_by(loaded, judge, count=130)
    with pytest.raises(AttrimorphError) as refused:
        evaluator.batched(refuse, torch.zeros(1))
    return {
        "figures": figures, "said": said.probabilities, "codes": said.coordinates, "decoded": count,
        "refused": str(refused.value),
    }  # fmt: skip


def refuse(part: Tensor) -> Tensor:
    """Refuse the only part, which one process has."""
    raise AttrimorphError(f"{len(part)} is refused")


def main(out: Path) -> None:
    torch.set_num_threads(1)
    with training.processes(), sharing():
        rank = training.rank()
        torch.save(come_to(out / "model.safetensors"), out / f"rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
