"""Adapters in a language model's feed-forward layers: one a level of visual knowledge, mixed by a router (LION).

    feed-forward(x) + sum over k of  G_k[level of the row] * H_k(x)      H_k(x) = s_k (Up_k relu(Down_k x))

The router G is no network: a learned vector of width D for each (adapter k, level of the task), picked per row by the
level that the data states. Parameters stay in float32 beside a bfloat16 language model; matrix products are taken in
the precision of x, and what is added to the feed-forward's output has it too.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn


class Adapter(nn.Module):
    """A bottleneck beside a feed-forward layer, zero at the start: scale * (Up relu(Down x)).

    Source: Chen et al., "LION" (arXiv 2311.11860), and its public code. The scale is a vector of one number, as FSDP2
    shards no scalars.

    Args:
        width: D, of the language model.
        bottleneck: inner width.
    """

    def __init__(self, width: int, bottleneck: int = 64) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.scale = nn.Parameter(torch.ones(1))
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """What is to be added to the feed-forward's output: (B, T, D) in the precision of x."""
        dtype = x_BTD.dtype
        hidden = nn.functional.linear(x_BTD, self.down.weight.to(dtype), self.down.bias.to(dtype)).relu()
        up, bias = self.scale * self.up.weight, self.scale * self.up.bias
        return nn.functional.linear(hidden, up.to(dtype), bias.to(dtype)).to(dtype)


class AdapterMixture(nn.Module):
    """One adapter a level, weighted per row by routing vectors of the row's level.

    At the start level t has weight 1 on its own adapter and 0 on the others, so that adapters trained apart can be put
    together without a change. With one level only there is no router and its adapter serves every row.
    Source: Chen et al., "LION" (arXiv 2311.11860). The public code routes whole batches; here each row has its level.

    Args:
        width: D, of the language model.
        levels: names of the adapters; the position of a name is its number in `level_B`.
        bottleneck: inner width of each adapter.
    """

    def __init__(self, width: int, levels: Sequence[str] = ("region", "image"), bottleneck: int = 64) -> None:
        super().__init__()
        self.adapters = nn.ModuleDict({level: Adapter(width, bottleneck) for level in levels})
        self.router = None
        if len(levels) > 1:  # (levels, D) each; row = level of the task
            one_hot = torch.eye(len(levels))
            rows = {level: one_hot[:, [k]].repeat(1, width) for k, level in enumerate(levels)}
            self.router = nn.ParameterDict({level: nn.Parameter(row) for level, row in rows.items()})

    def forward(self, x_BTD: Tensor, level_B: Tensor, spans: Sequence["Span"] | None = None) -> Tensor:
        """Mix the adapters for each row.

        Args:
            x_BTD: input of the adapters. May hold several rows a level, one after the other (beams of a row).
            level_B: level of each row.
            spans: for x of a single row that holds tokens of several levels: where they stand.

        Returns:
            What is to be added to the feed-forward's output: (B, T, D) in the precision of x.

        Raises:
            ValueError: the rows are no multiple of the levels.
        """
        adapters = cast(list[Adapter], list(self.adapters.values()))
        if self.router is None:
            return adapters[0](x_BTD)
        if spans is None and x_BTD.shape[0] % level_B.shape[0]:
            raise ValueError(
                f"adapters: found {x_BTD.shape[0]} rows and {level_B.shape[0]} levels; expected one level a row, or "
                "the same number of beams for every row. Give level_B one entry for each row of the batch."
            )
        if spans is None and x_BTD.shape[1] == 1:  # of an answer that is being written: matrices a level would cost more
            level_B = level_B.repeat_interleave(x_BTD.shape[0] // level_B.shape[0])
            gains = [self.router[level][level_B, None] for level in self.adapters]
            return torch.stack([gain * a(x_BTD) for gain, a in zip(gains, adapters, strict=True)]).sum(0).to(x_BTD.dtype)
        # One wide bottleneck for all adapters. Scale, routing and Up are linear, so they fold into one (R, D) matrix a
        # level: routing then costs nothing per token and stores no adapter's output for the backward pass.
        dtype = x_BTD.dtype
        down_RD = torch.cat([adapter.down.weight for adapter in adapters])
        down_R = torch.cat([adapter.down.bias for adapter in adapters])
        gains_LD = [self.router[level] * a.scale for level, a in zip(self.adapters, adapters, strict=True)]
        up_LRD = torch.cat([gain[:, None] * a.up.weight.T for gain, a in zip(gains_LD, adapters, strict=True)], dim=1)
        up_LD = torch.stack([gain * a.up.bias for gain, a in zip(gains_LD, adapters, strict=True)]).sum(0)

        hidden_BTR = nn.functional.linear(x_BTD, down_RD.to(dtype), down_R.to(dtype)).relu()
        if spans is not None:
            of_each = hidden_BTR[0].split([span.tokens for span in spans])
            up_LD, up_LRD = up_LD.to(dtype), up_LRD.to(dtype)
            parts = [torch.addmm(up_LD[level], hidden, up_LRD[level]) for (level, _), hidden in zip(spans, of_each, strict=True)]
            return torch.cat(parts)[None].to(dtype)
        hidden_BTR = hidden_BTR.reshape(level_B.shape[0], -1, down_R.shape[0])  # beams of a row share its matrix
        routed = torch.baddbmm(up_LD.to(dtype)[level_B, None], hidden_BTR, up_LRD.to(dtype)[level_B])
        return routed.view_as(x_BTD).to(dtype)

    def keep_levels(self, levels: Sequence[str]) -> None:
        """Remove the adapters of all other levels, and the router where one adapter remains.

        Args:
            levels: names to keep; numbers in `level_B` keep their meaning.

        Raises:
            ValueError: a level without an adapter, or no level.
        """
        if not levels or not set(levels) <= set(self.adapters):
            raise ValueError(
                f"levels to keep: found {list(levels)}; expected some of {list(self.adapters)}. Give the language "
                "model an adapter for each level that the stage trains, or change the stage's levels."
            )
        for level in [level for level in self.adapters if level not in levels]:
            del self.adapters[level]
            if self.router is not None:
                del self.router[level]
        if len(self.adapters) == 1:
            self.router = None


class Span(NamedTuple):
    """Tokens of one level that follow each other."""

    level: int
    tokens: int


class Route:
    """Levels of the rows that are in the model now, shared by all its mixtures.

    Set by each forward pass and kept until the next, so that activation checkpointing recomputes with the same levels.

    Attributes:
        level_B: of each row.
        spans: of each token, where rows stand one behind the other in a single one; None where each has its own.
    """

    level_B: Tensor | None = None
    spans: Sequence[Span] | None = None

    def set(self, level_B: Tensor, lengths: Sequence[int] | None = None) -> None:
        """The rows that come next.

        Args:
            level_B: level of each.
            lengths: tokens of each, where they stand one behind the other; rows of a level are best side by side.
        """
        self.level_B, self.spans = level_B, None
        if lengths is not None:
            by_level = groupby(zip(level_B.tolist(), lengths, strict=True), key=itemgetter(0))
            self.spans = [Span(level, sum(length for _, length in rows)) for level, rows in by_level]


class AdaptedFeedForward(nn.Module):
    """A feed-forward layer and the adapters beside it, both fed the same input.

    Args:
        original: the layer. T5's holds its own norm and residual sum, so that the adapters read the residual stream
            without norm, as in LION; Llama's is fed the normalised stream, and so are the adapters (LION has no such).
        mixture: the adapters.
        route: where the levels of the rows stand.
    """

    def __init__(self, original: nn.Module, mixture: AdapterMixture, route: Route) -> None:
        super().__init__()
        self.original = original
        self.mixture = mixture
        self.route = route

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.original(x_BTD) + self.mixture(x_BTD, self.route.level_B, self.route.spans)
