"""How much faster a Q-Former with alignment is when the context's stream runs once a row and not once an image.

    python benchmarks/alignment.py                        the published size, forward, rows of 1, 2, 4 and 8 images
    python benchmarks/alignment.py --size micro --train   forward and backward at the size of sam_micro

Prints CPU seconds of one thread, the least of some repetitions that take turns, so that a busy machine changes little.
"""

import argparse
import time
from functools import partial

import torch

from triscope.components.alignment import SemanticAlignment, Streams
from triscope.components.qformer import QFormerBridge

# V, D, P, and the arguments of the Q-Former; both hooks at the last layer.
SIZES: dict[str, tuple[int, int, int, dict]] = {
    "published": (1408, 4096, 257, {}),
    "micro": (384, 256, 65, {"queries": 16, "layers": 4, "hidden_width": 128, "heads": 4, "feed_forward_width": 512}),
}
QUESTION_TOKENS = 24


class OnceAnImage(SemanticAlignment):
    """What the released code does: every image has a stream of its own from the first layer on."""

    def streams(self, pair_row_N: torch.Tensor, rows: int) -> Streams:
        pairs_N = torch.arange(len(pair_row_N))
        return Streams(pair_row_N, pairs_N, pair_row_N[:, None] == pair_row_N)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="published", help="of the Q-Former")
    parser.add_argument("--images", type=int, nargs="+", default=[1, 2, 4, 8], help="of a row")
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--train", action="store_true", help="forward and backward, instead of forward alone")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bridges = {kind: bridge(options.size, kind) for kind in (OnceAnImage, SemanticAlignment)}
    print(f"{'images a row':>12} {'once an image':>14} {'once a row':>11} {'speed-up':>9}")
    for images in options.images:
        given = arguments(options.size, options.rows, images)
        check_equal(*bridges.values(), given)
        seconds = {kind: float("inf") for kind in bridges}
        for _ in range(options.repetitions):
            for kind, one in bridges.items():
                seconds[kind] = min(seconds[kind], measured(one, given, options.train))
        slow, fast = seconds.values()
        print(f"{images:12d} {slow:12.3f} s {fast:9.3f} s {slow / fast:8.2f}x")


def bridge(size: str, alignment: type[SemanticAlignment]) -> QFormerBridge:
    """A bridge with random weights, links awake, of which the alignment trains."""
    torch.manual_seed(0)
    vision_width, language_width, patches, qformer = SIZES[size]
    layers = qformer.get("layers", 12)
    hooks = {"read_layer": layers, "guide_layer": layers}
    built = QFormerBridge(vision_width, language_width, patches, alignment=partial(alignment, **hooks), **qformer).eval()
    built.requires_grad_(False)
    for parameter in built.alignment.parameters():
        torch.nn.init.normal_(parameter.requires_grad_(True), std=0.02)
    return built


def arguments(size: str, rows: int, images: int) -> tuple:
    """Random features and questions."""
    vision_width, _, patches, _ = SIZES[size]
    pairs = rows * images
    question_ids_BS = torch.randint(1, 1000, (rows, QUESTION_TOKENS))
    pair_row_N = torch.arange(rows).repeat_interleave(images)
    return [torch.randn(pairs, patches, vision_width)], pair_row_N, torch.arange(pairs), question_ids_BS, question_ids_BS > 0


def check_equal(first: QFormerBridge, second: QFormerBridge, given: tuple) -> None:
    """Both ways give the same tokens."""
    with torch.no_grad():
        torch.testing.assert_close(first(*given), second(*given), atol=1e-4, rtol=1e-4)


def measured(one: QFormerBridge, given: tuple, train: bool) -> float:
    """CPU seconds of a pass."""
    start = time.process_time()
    with torch.set_grad_enabled(train):
        tokens = one(*given)
        if train:
            tokens.square().sum().backward()
    return time.process_time() - start


if __name__ == "__main__":
    main()
