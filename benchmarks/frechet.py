"""How much faster the Frechet distance is than by scipy's square root of a matrix, and that both agree.

    python benchmarks/frechet.py [--images 50000] [--features 2048] [--threads 2]

Both routes get the same float32 features of two sets, rectified mixtures of 256 Gaussians as a network's last layer
gives them. The route of the published implementations takes `numpy.cov` of either set and `scipy.linalg.sqrtm` of the
product; ours is `attrimorph.metrics.frechet`. JSON is printed: wall and processor seconds of both, parts of either, the
ratios of the whole and of the matrix root alone, and the relative difference of the distances. Needs scipy, which the
`dev` extra brings.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
import scipy.linalg
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from attrimorph.metrics.frechet import frechet_distance, moments, trace_of_root


def draw(images: int, features: int, seed: int, shift: float) -> Tensor:
    """Return features [N, F] as a rectifier leaves them."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(256, features, generator=torch.Generator().manual_seed(0)) / 16
    return torch.randn(images, 256, generator=generator).add_(shift).matmul(mixing).relu_()


def timed(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return the result and the seconds, on the wall and of all processors."""
    wall, processor = time.perf_counter(), time.process_time()
    result = call()
    return result, {
        "seconds": round(time.perf_counter() - wall, 2),
        "processor_seconds": round(time.process_time() - processor, 2),
    }


def covariances(first: Tensor, second: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return mean and covariance of either set, as the published implementations do."""
    arrays = (rows.numpy().astype(np.float64) for rows in (first, second))
    return [(rows.mean(0), np.cov(rows, rowvar=False)) for rows in arrays]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=2_048)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        sets = (draw(options.images, options.features, 1, 0.0), draw(options.images, options.features, 2, 0.1))
        ours, our_time = timed(lambda: frechet_distance(*sets))
        of_sets, moments_time = timed(lambda: [moments(rows)[1] for rows in sets])
        _, trace_time = timed(lambda: trace_of_root(*of_sets))
        found, covariance_time = timed(lambda: covariances(*sets))
        (mean_a, one), (mean_b, two) = found
        root, root_time = timed(lambda: scipy.linalg.sqrtm(one @ two))
    theirs = float(((mean_a - mean_b) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * np.trace(root).real)
    their_time = {name: round(covariance_time[name] + root_time[name], 2) for name in root_time}
    result = {
        "images": options.images,
        "features": options.features,
        "threads": options.threads,
        "ours": {"distance": ours, **our_time, "of which moments": moments_time, "of which trace": trace_time},
        "scipy": {"distance": theirs, **their_time, "of which numpy.cov": covariance_time, "of which sqrtm": root_time},
        "ratio": round(their_time["seconds"] / our_time["seconds"], 2),
        "ratio_of_processor_seconds": round(their_time["processor_seconds"] / our_time["processor_seconds"], 2),
        "ratio_of_the_root_alone": round(root_time["processor_seconds"] / trace_time["processor_seconds"], 2),
        "relative_difference": abs(ours - theirs) / theirs,
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "scipy": scipy.__version__},
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
