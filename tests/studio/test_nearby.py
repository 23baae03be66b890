"""Locks during a drag: taken from nearby, found again beyond, and never for what is saved."""

import pytest

from attrimorph.applications.subject import Wish, moved_code, rendered, sampled_subjects
from attrimorph.metrics.attributes import Judges
from attrimorph.metrics.judge import load_judge
from attrimorph.models import Code, Model, load
from attrimorph.studio.desk import Desk, Frame, Live
from attrimorph.studio.limits import Limits
from attrimorph.studio.nearby import NEAR, Nearby
from attrimorph.studio.shelf import Origin, Shelf

LOCKS = ("Wavy_Hair", "Gray_Hair", "Male", "Bald", "Eyeglasses", "Young", "Smiling", "Heavy_Makeup", "Blond_Hair")


@pytest.fixture(scope="module")
def model() -> Model:
    return load("drawn-faces-64")


@pytest.fixture(scope="module")
def judge() -> Judges:
    return load_judge("drawn-faces-64")


def test_moves_are_taken_again_until_the_slider_has_gone_too_far(model: Model, judge: Judges) -> None:
    (subject,) = sampled_subjects(model, 1, 3)
    nearby, asked = Nearby(2), []

    def drag(strength: float, name: str = "Young", locks: tuple[str, ...] = LOCKS) -> None:
        wish = Wish({name: strength}, locks)

        def find() -> Code:
            asked.append((name, strength, locks))
            return moved_code(model, subject, wish, judge)

        nearby.code(model, subject, wish, find)

    for step in range(11):
        drag(-0.5 - step * NEAR / 4)
    assert len(asked) == 3  # at 0, 5 and 10 steps: more than NEAR away from the last that was found
    for other in ("Narrow_Eyes", "Big_Nose"):
        drag(-0.5, other)
    drag(-0.5)  # forgotten: two others came since
    assert len(asked) == 6
    drag(0.01)  # the other side of 0 holds otherwise
    drag(0.01, locks=())  # nothing is locked
    assert len(asked) == 8


def test_a_dragged_lock_looks_nearly_as_the_exact_one(model: Model, judge: Judges) -> None:
    """Half the tolerance away, a quick picture is far nearer to the exact one than a picture without the lock is."""
    subject = sampled_subjects(model, 16, 5)[6]  # one that make-up drags along
    column = model.schema.columns("Heavy_Makeup").start
    sign = 1.0 if float(subject.attributes[0, column]) < 0.5 else -1.0
    near, here = ({"Heavy_Makeup": sign * strength} for strength in (0.8, 0.8 - NEAR / 2))
    nearby = Nearby(1)
    nearby.code(model, subject, Wish(near, LOCKS), lambda: moved_code(model, subject, Wish(near, LOCKS), judge))
    quick = nearby.code(model, subject, Wish(here, LOCKS), lambda: pytest.fail("it was near"))
    codes = [quick, moved_code(model, subject, Wish(here, LOCKS), judge), moved_code(model, subject, Wish(here))]
    dragged, exact, free = (rendered(model, [subject], [code], [Wish(here)]) for code in codes)
    off = float((free - exact).abs().mean())
    assert off > 0
    assert float((dragged - exact).abs().mean()) < 0.5 * off


def test_what_is_saved_is_never_taken_from_nearby() -> None:
    shelf = Shelf(("drawn-faces-64",), "cpu", Limits())
    desk = Desk(shelf)
    try:
        served = shelf.served("drawn-faces-64")

        def frame(strength: float, format: str) -> Frame:
            wish = Wish({"Young": strength}, LOCKS)
            (found,) = desk.frames([Live(served, Origin(seed=6), wish, format)])  # type: ignore[arg-type]
            assert isinstance(found, Frame)
            return found

        alone = frame(-0.95, "png")
        frame(-1.0, "rgba")
        frame(-0.95, "rgba")
        assert frame(-0.95, "png") == alone
    finally:
        desk.close()
