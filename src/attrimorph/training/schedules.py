"""Learning-rate schedules: pure functions of the images seen."""

import math

from attrimorph.recipe import OptimiserOptions


def rate_factor(options: OptimiserOptions, images_seen: int, images: int) -> float:
    """Return what the learning rates are multiplied by, in [0, 1].

    Args:
        options: warm-up, shape and constant share.
        images_seen: the clock.
        images: length of the run.
    """
    factor = 1.0
    if images_seen < options.warmup_images:
        factor = (images_seen + 1) / options.warmup_images
    start = options.constant_share * images
    if options.schedule == "constant" or images_seen <= start:
        return factor
    done = min(1.0, (images_seen - start) / max(images - start, 1.0))
    return factor * (1 - done if options.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done)))
