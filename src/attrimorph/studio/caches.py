"""What the studio keeps, in memory only: opened photographs and taught axes, under names that nobody can guess."""

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from attrimorph.studio.faults import Refused

Value = TypeVar("Value")


class Gone(Refused):
    """What was asked for is not kept, or no longer: the client sends it again."""

    def __init__(self) -> None:
        super().__init__(410, "this photograph or taught slider is no longer kept; open or teach it again")


class ContentStore(Generic[Value]):
    """The newest things, by a name that follows from their content and a secret of this process.

    So that the same photograph is kept once, and knowing a name means having had the photograph.

    Args:
        most: how many are kept.
        most_bytes: how large they are together.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.most, self.most_bytes, self.bytes = most, most_bytes, 0
        self._secret, self._lock = secrets.token_bytes(32), threading.Lock()
        self._kept: OrderedDict[str, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def keep(self, content: bytes, value: Value) -> str:
        """Keep a value under the name of its content; forget the longest unused where there are too many."""
        name = hmac.new(self._secret, content, hashlib.sha256).hexdigest()[:40]
        with self._lock:
            if name not in self._kept:
                self._kept[name] = (value, len(content))
                self.bytes += len(content)
            self._kept.move_to_end(name)
            while len(self._kept) > self.most or (self.bytes > self.most_bytes and len(self._kept) > 1):
                _, (_, size) = self._kept.popitem(last=False)
                self.bytes -= size
        return name

    def get(self, name: str) -> Value:
        """Return what is kept under a name.

        Raises:
            Gone: nothing is.
        """
        with self._lock:
            if name not in self._kept:
                raise Gone
            self._kept.move_to_end(name)
            return self._kept[name][0]


class LRUCache(Generic[Value]):
    """Results that are looked for again and again; the longest unused are forgotten."""

    def __init__(self, most: int) -> None:
        self.most, self._lock = most, threading.Lock()
        self._found: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, find: Callable[[], Value]) -> Value:
        """Return the value of a key, found by `find` the first time."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        value = find()
        with self._lock:
            self._found[key] = value
            while len(self._found) > self.most:
                self._found.popitem(last=False)
        return value
