"""Locks while a slider is dragged: what held them a moment ago is taken again, until the slider has gone too far.

To hold a lock exactly takes three decodings and three looks of the judge more than a picture without it.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace

from torch import Tensor

from attrimorph.applications.subject import Subject, Wish, moved_code
from attrimorph.models import Code, Model

NEAR = 0.1
"""A change of strength up to which the moves of a lock are taken again."""


class Nearby:
    """The moves that locks made lately, by subject, locks, and what is edited in which direction.

    Args:
        most: how many are remembered; the longest unused are forgotten.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._moves: OrderedDict[Hashable, tuple[dict[str, float], Tensor]] = OrderedDict()

    def code(self, model: Model, subject: Subject, wish: Wish, find: Callable[[], Code]) -> Code:
        """Return a subject's code as a wish moves it, its locks held as `find` held them nearby.

        Args:
            model: of the subject, which has a code.
            subject: one row.
            wish: what shall become of it.
            find: returns the exact code; asked where nothing is near, and where nothing is locked.
        """
        taught = {axis.name for axis in wish.axes}
        changes = {name: strength for name, strength in wish.changes.items() if strength}
        if not changes or taught.issuperset(wish.locks):
            return find()
        free = moved_code(model, subject, replace(wish, locks=tuple(name for name in wish.locks if name in taught)))
        y = model.known(free.attributes)
        ways = tuple(sorted((name, strength > 0) for name, strength in changes.items()))
        key = (subject, wish.locks, tuple(axis.direction for axis in wish.axes), ways)
        if key in self._moves:
            self._moves.move_to_end(key)
            found, moves = self._moves[key]
            if max(abs(found[name] - strength) for name, strength in changes.items()) <= NEAR:
                return Code(free.z, y + moves)
        code = find()
        self._moves[key] = (changes, model.known(code.attributes) - y)
        while len(self._moves) > self.most:
            self._moves.popitem(last=False)
        return code
