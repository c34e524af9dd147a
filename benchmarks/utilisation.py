"""How much of a GPU's peak the language model part of our training step uses: its model FLOPs utilisation (MFU).

Counted are the matrix products and the attention that the rows need, forward and backward, by PyTorch's counter (on a CPU it
leaves attention out): rows stand without padding and nothing is recomputed, so nothing is counted that need not be done. Frozen
weights have no gradient, which makes a backward pass about as costly as a forward pass, not twice. The time is that of the
language model alone: its embeddings go in, and their gradient comes out.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.lion_pair import Arm, Work
from benchmarks.measure import clock_of, in_turns
from triscope.stages.losses import token_losses

# Dense bfloat16, from the makers' data sheets; the longest name that a device's begins with counts.
PEAK_FLOPS = {
    "NVIDIA A100": 312e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H200": 989e12,
    "NVIDIA H200 NVL": 835e12,
}
WHY_NOT = "no MFU: on a CPU the arithmetic is float32, and no data sheet tells the peak of the cores that a process is given"


def language_model_alone(arm: Arm, work: Work, rounds: int) -> dict[str, Any]:
    """Time and arithmetic of the language model part of our step.

    Args:
        arm: of ours.
        work: what it does.
        rounds: that are timed.

    Returns:
        Seconds, teraFLOPs of a step, and `mfu`, None where the peak of the device is not known.
    """
    model: Any = arm.model
    batch = work.batch().to(work.device)
    with torch.no_grad(), work.precision():
        fused = model.fused(batch, kept_BT=batch.valid_BT)
    embeddings_BTD = fused.embeddings_BTD.detach().requires_grad_()

    def step() -> None:
        with work.precision():
            predictions = model.language(embeddings_BTD, fused.valid_BT, fused.labels_BT, batch.level_B)
            loss = token_losses(predictions).mean()
        loss.backward()
        embeddings_BTD.grad = None
        model.zero_grad()

    with FlopCounterMode(display=False) as counter:
        step()
    seconds = in_turns({"language": step}, rounds, clock_of(work.device))["language"].median
    flops = counter.get_total_flops()
    peak = peak_of(torch.cuda.get_device_name()) if work.device == "cuda" else None
    return {"seconds": seconds, "teraflops": flops / 1e12, "mfu": flops / seconds / peak if peak else None}


def peak_of(device: str) -> float | None:
    """FLOPs a second of a GPU by its name; None for one that is not in the table."""
    known = [name for name in PEAK_FLOPS if device.startswith(name)]
    return PEAK_FLOPS[max(known, key=len)] if known else None


def told(figures: Sequence[dict[str, Any]]) -> str:
    """A sentence about the utilisation of every figure, or why there is none."""
    if not torch.cuda.is_available():
        return WHY_NOT
    shares = [figure["language_model"]["mfu"] for figure in figures]
    if None in shares:
        return f"no MFU: the peak of {torch.cuda.get_device_name()} is not in `benchmarks.utilisation.PEAK_FLOPS`"
    by_figure = ", ".join(
        f"stage {figure['stage']} {figure['kind']} {share:.1%}" for figure, share in zip(figures, shares, strict=True)
    )
    return f"MFU of the language model part: {by_figure}"
