"""Other people's editors: what they are asked, and what is said of answers that are none."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.metrics.edits import FunctionEditor
from attrimorph.models.model import Edits

IMAGES = torch.zeros(2, 3, 16, 16)


def editor(function: Callable[..., Any]) -> FunctionEditor:
    return FunctionEditor(function, faces.SCHEMA, 16, "theirs")


def test_it_edits_as_the_function_does() -> None:
    theirs = editor(lambda images, changes: images + 2 * changes.get("Smiling", 0))
    assert isinstance(theirs, Edits)
    assert torch.equal(theirs.edit(IMAGES, {"Smiling": 0.25}), torch.full_like(IMAGES, 0.5))
    assert torch.equal(theirs.edit(IMAGES, {"Smiling": 1.0}), torch.ones_like(IMAGES))
    assert torch.equal(theirs.edit(IMAGES, {}), IMAGES)


@pytest.mark.parametrize(
    "answer",
    [torch.zeros(2, 3, 8, 8), torch.full((2, 3, 16, 16), float("nan")), None, torch.zeros(1, 3, 16, 16)],
)
def test_an_answer_of_another_form_is_told(answer: Any) -> None:
    with pytest.raises(AttrimorphError, match="function of theirs must return"):
        editor(lambda images, changes: answer).edit(IMAGES, {})


def test_unknown_attributes_and_sizes_are_told() -> None:
    theirs = editor(lambda images, changes: images)
    with pytest.raises(AttrimorphError, match="did you mean 'Smiling'"):
        theirs.edit(IMAGES, {"Smilling": 1.0})
    with pytest.raises(AttrimorphError, match="resize"):
        theirs.edit(torch.zeros(1, 3, 32, 32), {})
