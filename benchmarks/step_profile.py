"""Where the time of our training step goes, six questions a picture, and what the limit is.

    python -m benchmarks.step_profile                     on a CPU with one thread, at small sizes
    python -m benchmarks.step_profile --device cuda       at the size of LION-4B, in bfloat16

Two tables a stage, of one step under PyTorch's profiler: its parts, and the operators that take most of it. Below them the limit:
how long the step's matrix products would take at the speed that a large product has on this machine. What is left to gain without
doing less arithmetic is the rest.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.lion_pair import Arm, Work, our_arm
from benchmarks.measure import clock_of, in_turns, machine
from benchmarks.train_step import KINDS, add_arguments, sizes_and_rows

SHOWN_OPERATORS = 8
PRODUCT_WIDTH = {"cpu": 1024, "cuda": 8192}  # of the square matrices whose product is as fast as it gets
STEP, UPDATE = "part: step", "Optimizer.step#AdamW.step"
FORWARD = {
    "part: vision": "vision tower, forward",
    "part: bridges": "bridges, forward",
    "part: language": "language model, forward",
}


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sizes, rows = sizes_and_rows(asked)
    for stage in asked.stages:
        work = Work(stage, KINDS["six_questions"], rows, sizes, asked.device)
        arm = our_arm(work)
        arm.step()
        print(f"{profiled(arm, work)}\n{limit(arm, work, asked.rounds)}\n", flush=True)
    print(", ".join(f"{name} {value}" for name, value in machine(asked.device).items()))


def profiled(arm: Arm, work: Work) -> str:
    """The parts of a step, and the operators that take most of it, with their shares of its time."""
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if work.device == "cuda" else [])
    model: Any = arm.model
    parts = {"part: vision": [model.vision], "part: bridges": list(model.bridges.values()), "part: language": [model.language]}
    handles = [handle for name, modules in parts.items() for module in modules for handle in _named(module, name)]
    with profile(activities=kinds) as recorded, record_function(STEP):
        arm.step()
    for handle in handles:
        handle.remove()
    device = "device" if work.device == "cuda" else "cpu"
    events = {event.key: event for event in recorded.key_averages()}
    whole = {name: getattr(event, f"{device}_time_total") for name, event in events.items()}
    shares = {told: whole[name] / whole[STEP] for name, told in FORWARD.items()}
    shares["AdamW"] = whole[UPDATE] / whole[STEP]
    shares["backward, clipping and the rest"] = 1 - sum(shares.values())
    own = {name: getattr(event, f"self_{device}_time_total") for name, event in events.items() if "::" in name}
    most = sorted(own, key=lambda name: -own[name])[:SHOWN_OPERATORS]
    lines = [f"| stage {work.stage}: part | share of the step |", "|---|---|"]
    lines += [f"| {name} | {share:.1%} |" for name, share in shares.items()]
    lines += ["", f"| stage {work.stage}: operator | share of the step |", "|---|---|"]
    lines += [f"| `{name}` | {own[name] / sum(own.values()):.1%} |" for name in most]
    return "\n".join(lines) + "\n"


def limit(arm: Arm, work: Work, rounds: int) -> str:
    """A sentence about the step's matrix products at the speed of a large one."""
    with FlopCounterMode(display=False) as counter:
        arm.step()
    width = PRODUCT_WIDTH[work.device]
    dtype = torch.bfloat16 if work.device == "cuda" else torch.float32
    first, second = (torch.randn(width, width, dtype=dtype, device=work.device) for _ in range(2))
    way: dict[str, Callable[[], Any]] = {"step": arm.step, "product": lambda: first @ second}
    timings = in_turns(way, rounds, clock_of(work.device))
    speed = 2 * width**3 / timings["product"].median
    flops = counter.get_total_flops()
    share = flops / speed / timings["step"].median
    return (
        f"Stage {work.stage}: {flops / 1e12:.3g} teraFLOPs of matrix products in a step of {timings['step'].median:.3g} s. "
        f"At the speed of a product of {width} x {width} here, {speed / 1e12:.3g} teraFLOPs a second, they would take "
        f"{share:.0%} of it."
    )


def _named(module: nn.Module, name: str) -> tuple[Any, Any]:
    """Let the profiler see each forward pass of a module under a name."""
    ranges: list[record_function] = []

    def enter(module: nn.Module, inputs: tuple) -> None:
        ranges.append(record_function(name))
        ranges[-1].__enter__()

    def leave(module: nn.Module, inputs: tuple, output: Any) -> None:
        ranges.pop().__exit__(None, None, None)

    return module.register_forward_pre_hook(enter), module.register_forward_hook(leave)


if __name__ == "__main__":
    main()
