"""How much of which adapter each level uses, layer by layer."""

import io

import lightning.pytorch as lightning
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from PIL import Image

from triscope.callbacks.pictures import log_picture
from triscope.components.adapters import AdapterMixture
from triscope.distributed import whole
from triscope.stages.base import Stage


class RoutingPicture(lightning.Callback):
    """Draws, after each validation, the mean router weight of every adapter for every level and layer."""

    def on_validation_end(self, trainer: lightning.Trainer, stage: Stage) -> None:
        """Draw the picture where the model has a router."""
        if trainer.sanity_checking:
            return
        weights = router_weights(stage)  # on all ranks: together they may hold it
        if weights is not None and trainer.is_global_zero:
            log_picture(trainer, "routing", routing_picture(weights, stage.levels), "share of each adapter, by layer and level")


def router_weights(stage: Stage) -> torch.Tensor | None:
    """Mean weight over the width: (layers, levels, adapters); None for a model without a router."""
    mixtures = [module for module in stage.model.modules() if isinstance(module, AdapterMixture)]
    routed = [
        torch.stack([whole(mixture.router[level]).mean(1) for level in mixture.adapters], dim=1)
        for mixture in mixtures
        if mixture.router is not None
    ]
    return torch.stack(routed).detach().float().cpu() if routed else None


def routing_picture(weights: torch.Tensor, levels: tuple[str, ...]) -> Image.Image:
    """A heat map a level: layers across, adapters down."""
    layers, level_count, _ = weights.shape
    size = max(5.0, 0.35 * layers + 3), 1.6 * level_count
    figure, axes = plt.subplots(level_count, 1, figsize=size, sharex=True, layout="constrained")
    for number, (axis, level) in enumerate(zip(axes, levels, strict=True)):
        image = axis.imshow(weights[:, number].T, vmin=-0.2, vmax=1.2, cmap="viridis", aspect="auto")
        axis.set_yticks(range(len(levels)), [f"{name} adapter" for name in levels])
        axis.set_title(f"{level}-level rows", fontsize=9, loc="left")
    axes[-1].set_xlabel("feed-forward layer")
    figure.colorbar(image, ax=list(axes), label="mean weight")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return Image.open(file).convert("RGB")
