"""Which perceptual network a run compares images in: VGG-19 where its weights are at hand, else the data's own."""

from pathlib import Path

from attrimorph.errors import AttrimorphError
from attrimorph.metrics.extractors import VggFeatures, cached, load_extractor
from attrimorph.networks.perceptual import VggMaps


def perceptual_network(word: str) -> VggMaps | None:
    """Return VGG-19's maps, or None for a network trained on the data's own attributes.

    Args:
        word: "auto" (VGG-19 from the cache of torch's hub where it lies there), "vgg19", "attributes", or the path of
            VGG-19's weights. Nothing is fetched.

    Raises:
        AttrimorphError: VGG-19 was asked for and is not there, or the file holds something else.
    """
    if word == "attributes" or (word == "auto" and not _is_cached()):
        return None
    found = load_extractor("vgg19" if word == "auto" else word if word == "vgg19" else Path(word))
    if not isinstance(found, VggFeatures):
        raise AttrimorphError(f"losses.perceptual_network must be VGG-19; {word} holds {found.name}; name another file")
    return VggMaps(found.network)


def _is_cached() -> bool:
    try:
        cached("vgg19")
    except AttrimorphError:
        return False
    return True
