"""How much of which adapter each level uses, layer by layer."""

import io

import lightning.pytorch as lightning
import torch
from matplotlib.figure import Figure
from PIL import Image

from triscope.callbacks.pictures import log_picture
from triscope.components.adapters import AdapterMixture
from triscope.distributed import whole
from triscope.model import VisualLanguageModel
from triscope.stages.base import Stage


class RoutingPicture(lightning.Callback):
    """Draws, after each validation, the mean router weight of every adapter for every level and layer.

    Logged with it: `routing/LEVEL rows, NAME adapter`, the mean over the layers.
    """

    def on_validation_end(self, trainer: lightning.Trainer, stage: Stage) -> None:
        """Draw the picture where the stage trains a router."""
        if trainer.sanity_checking or "router" not in stage.trained_parts:
            return
        weights = router_weights(stage.model)  # on all ranks: together they may hold it
        if weights is not None and trainer.is_global_zero:
            log_picture(trainer, "routing", routing_picture(weights, stage.levels), routing_sentence(weights, stage.levels))
            for logger in trainer.loggers:
                logger.log_metrics(routing_means(weights, stage.levels), step=trainer.global_step - 1)  # as other metrics are


def router_weights(model: VisualLanguageModel) -> torch.Tensor | None:
    """Mean weight over the width: (layers, levels, adapters); None for a model without a router."""
    mixtures = [module for module in model.modules() if isinstance(module, AdapterMixture)]
    routed = [
        torch.stack([whole(mixture.router[level]).mean(1) for level in mixture.adapters], dim=1)
        for mixture in mixtures
        if mixture.router is not None
    ]
    return torch.stack(routed).detach().float().cpu() if routed else None


def routing_means(weights: torch.Tensor, levels: tuple[str, ...]) -> dict[str, float]:
    """The mean over the layers of `router_weights`, by the name under which it is logged."""
    means = weights.mean(0).tolist()
    return {
        f"routing/{level} rows, {name} adapter": weight
        for level, of_level in zip(levels, means, strict=True)
        for name, weight in zip(levels, of_level, strict=True)
    }


def routing_sentence(weights: torch.Tensor, levels: tuple[str, ...]) -> str:
    """What a picture of the router shows, in words.

    Args:
        weights: (layers, levels, adapters), of `router_weights`.
        levels: their names, which are those of the adapters.
    """
    told = []
    for number, level in enumerate(levels):
        of_level = weights[:, number]
        own = of_level[:, number]
        least = int(own.argmin())
        others = [
            f"the {name} adapter {of_level[:, other].mean():.2f} (at most {of_level[:, other].max():.2f}, in layer "
            f"{int(of_level[:, other].argmax())})"
            for other, name in enumerate(levels)
            if other != number
        ]
        led = int((own >= of_level.max(1).values).sum())
        told.append(
            f"For {level}-level rows the {level} adapter weighs {own.mean():.2f} on average (least {own[least]:.2f}, in layer "
            f"{least}), {', '.join(others)}; their own adapter leads in {led} of {len(own)} layers."
        )
    return " ".join(told)


def routing_picture(weights: torch.Tensor, levels: tuple[str, ...]) -> Image.Image:
    """A heat map a level: layers across, adapters down."""
    layers, level_count, _ = weights.shape
    size = max(5.0, 0.35 * layers + 3), 1.6 * level_count
    figure = Figure(figsize=size, layout="constrained")  # without pyplot, whose state belongs to whoever draws beside this
    axes = figure.subplots(level_count, 1, sharex=True)
    for number, (axis, level) in enumerate(zip(axes, levels, strict=True)):
        image = axis.imshow(weights[:, number].T, vmin=-0.2, vmax=1.2, cmap="viridis", aspect="auto")
        axis.set_yticks(range(len(levels)), [f"{name} adapter" for name in levels])
        axis.set_title(f"{level}-level rows", fontsize=9, loc="left")
    axes[-1].set_xlabel("feed-forward layer")
    figure.colorbar(image, ax=list(axes), label="mean weight")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")
