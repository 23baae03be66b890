"""A small client of a studio for programs; nothing but Python's own library.

studio = Studio("http://127.0.0.1:8710/?token=...")
picture, besides = studio.edit(Path("photo.jpg").read_bytes(), {"Smiling": 1})
"""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from attrimorph.errors import AttrimorphError

Picture = bytes | int
"""A picture file's bytes, or the seed of a sample."""


@dataclass(frozen=True)
class Studio:
    """A studio that runs somewhere.

    Attributes:
        address: as the studio printed it, with its token or without.
        token: of the studio, where the address has none; None = that of the environment variable ATTRIMORPH_TOKEN.
        model: that is used unless a call names another; None = the studio's first.
        seconds: that an answer may take.
    """

    address: str = "http://127.0.0.1:8710"
    token: str | None = None
    model: str | None = None
    seconds: float = 120.0

    def models(self) -> list[dict[str, Any]]:
        """Return what the studio tells of its models."""
        found: list[dict[str, Any]] = self._ask("models")
        return found

    def edit(
        self, picture: Picture, changes: Mapping[str, float], *, locks: Sequence[str] = (), model: str | None = None
    ) -> tuple[bytes, dict[str, float]]:
        """Change attributes.

        Args:
            picture: a file's bytes, or a sample's seed.
            changes: attribute -> strength: 0 unchanged, 1 set, -1 taken away.
            locks: attributes that stay as the judge sees them.
            model: by its name in the studio.

        Returns:
            The photograph in its own format, or a PNG, with its receipt; and what changed besides: attribute -> change
            of its probability.
        """
        answer = self._ask("edit", model, source=_source(picture), changes=dict(changes), locks=list(locks))
        return base64.b64decode(answer["picture"]), answer["besides"]

    def reconstruct(self, picture: Picture, *, model: str | None = None) -> tuple[bytes, dict[str, float]]:
        """Return the picture as the model sees it, a PNG, and the attributes that it is taken to have."""
        answer = self._ask("reconstruct", model, source=_source(picture))
        return base64.b64decode(answer["picture"]), answer["attributes"]

    def sample(
        self, count: int = 16, *, seed: int = 0, changes: Mapping[str, float] | None = None, model: str | None = None
    ) -> list[bytes]:
        """Return new pictures, PNGs; the one at place i is the sample of seed + i."""
        answer = self._ask("sample", model, count=count, seed=seed, changes=dict(changes or {}))
        return [base64.b64decode(text) for text in answer["pictures"]]

    def morph(self, first: Picture, second: Picture, *, steps: int = 24, model: str | None = None) -> list[bytes]:
        """Return the way from one picture to another, PNGs."""
        answer = self._ask("morph", model, first=_source(first), second=_source(second), steps=steps)
        return [base64.b64decode(text) for text in answer["pictures"]]

    def transfer(
        self, picture: Picture, other: Picture, *, only: Sequence[str] | None = None, model: str | None = None
    ) -> bytes:
        """Return a picture with the attributes of another, a PNG."""
        names = None if only is None else list(only)
        answer = self._ask("transfer", model, source=_source(picture), attributes_of=_source(other), only=names)
        return base64.b64decode(answer["picture"])

    def inpaint(self, picture: Picture, mask: bytes, *, model: str | None = None) -> bytes:
        """Return a picture whose hole is filled, a PNG; the mask is a square picture, white where the hole is."""
        hole = base64.b64encode(mask).decode()
        return base64.b64decode(self._ask("inpaint", model, source=_source(picture), mask=hole)["picture"])

    def _ask(self, path: str, model: str | None = None, **words: Any) -> Any:
        if words:
            words["model"] = model or self.model or str(self.models()[0]["name"])
        address, _, shown = self.address.partition("?token=")
        token = shown or self.token or os.environ.get("ATTRIMORPH_TOKEN", "")
        headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        content = json.dumps(words).encode() if words else None
        request = Request(f"{address.rstrip('/')}/api/{path}", data=content, headers=headers)
        try:
            with urlopen(request, timeout=self.seconds) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise AttrimorphError(_sentence(error)) from error
        except (URLError, OSError, ValueError) as error:
            raise AttrimorphError(
                f"no studio answers at {address} ({getattr(error, 'reason', error)}); start one with "
                "`attrimorph studio` and give its address"
            ) from error


def _source(picture: Picture) -> dict[str, Any]:
    return {"seed": picture} if isinstance(picture, int) else {"image": base64.b64encode(picture).decode()}


def _sentence(error: HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the studio answered {error.code} ({error.reason}); see its log"
