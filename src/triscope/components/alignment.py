"""Semantic alignment: the images of one row guide each other while their tokens are extracted.

A second stream of states, the W-former, runs through the same layers as the Q-Former and reads, instead of one image, the
context: a mixture of the row's images. At layer l it takes up what the Q-Former has seen of its image; what it makes of
that by layer k is handed back.

    context    I'_p = sum over images j of share_jp I_jp        share_p = softmax over images of (a I_jp + b), patch by patch
    W-former   w_1 = E     w_{j+1} = F_j(w_j ; I')              into layer l goes  w_l + A q_l
    Q-Former   q_1 = E     q_{j+1} = F_j(q_j ; I)               into layer k goes  q_k + B w_{k+1}

F_j is layer j of the Q-Former, counted from 1, and E its start: queries and question. A and B start at zero, so that the
model starts as one that reads each image on its own.

Source: Wu et al., "Semantic Alignment for Multimodal Large Language Models" (SAM, arXiv 2408.12867).

Local letters: h hidden width of the Q-Former, J its positions (queries and question), R streams of the W-former.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from triscope.components.qformer import QFormer

Context = Literal["all", "others"]


class Streams(NamedTuple):
    """Which streams the W-former runs: as few as there are different contexts.

    Args:
        row_R: the row of each stream.
        stream_N: the stream of each (row, image) pair.
        reads_RN: True where a stream's context holds the image of a pair.
    """

    row_R: Tensor
    stream_N: Tensor
    reads_RN: Tensor


class SemanticAlignment(nn.Module):
    """Everything that SAM adds to a Q-Former: adaptive adjustment of the context, and the two links between the streams.

    With Q-Former and vision encoder of InstructBLIP (h = 768, V = 1408) it has 1,182,593 parameters.

    Args:
        vision_width: V.
        hidden_width: h.
        layers: of the Q-Former.
        read_layer: l, from 1: the W-former takes up the Q-Former's state before this layer (through A).
        guide_layer: k, from l to the number of layers: the Q-Former is handed the W-former's output of this layer before it
            runs the layer itself (through B). In the released code, l and k are the last layer.
        context: the images that are mixed for an image. "all": those of the row, itself among them, as in the released
            code; the mixture is the same for all of them, so that up to layer l one stream serves the row. "others": all but
            itself, as in the paper's figure. A lone image then has no context and is not guided, and two images are each
            other's whole context, so that the adjustment has nothing to learn.

    Raises:
        ValueError: not 1 <= l <= k <= layers.
    """

    def __init__(
        self,
        vision_width: int,
        hidden_width: int,
        layers: int,
        read_layer: int = 12,
        guide_layer: int = 12,
        context: Context = "all",
    ) -> None:
        super().__init__()
        if not 1 <= read_layer <= guide_layer <= layers:
            raise ValueError(
                f"alignment: found read_layer {read_layer} and guide_layer {guide_layer}; expected 1 <= read_layer <= "
                f"guide_layer <= {layers}, the Q-Former's layers. What is handed back must have been read before."
            )
        self.read_layer = read_layer
        self.guide_layer = guide_layer
        self.context = context
        self.adjustment = nn.Linear(vision_width, 1)  # its bias cancels out in the softmax; published weights have one
        self.into_context = nn.Linear(hidden_width, hidden_width)  # A
        self.from_context = nn.Linear(hidden_width, hidden_width)  # B
        for link in (self.into_context, self.from_context):
            nn.init.zeros_(link.weight)
            nn.init.zeros_(link.bias)

    def forward(
        self, qformer: "QFormer", memory_NPV: Tensor, pair_row_N: Tensor, question_ids_BS: Tensor, question_valid_BS: Tensor
    ) -> Tensor:
        """What the queries read of each image when its row's images guide it.

        Args:
            qformer: whose layers both streams run through.
            memory_NPV: the image of each (row, image) pair, N at least 1.
            pair_row_N: the row of each pair.
            question_ids_BS, question_valid_BS: of each row, as `QFormer` reads them.

        Returns:
            (N, Q, h). What belongs to a pair depends on its own row alone.
        """
        row_R, stream_N, reads_RN = self.streams(pair_row_N, rows=len(question_ids_BS))
        guided_N11 = reads_RN.any(1)[stream_N][:, None, None]
        context_RPV = self.mixtures(memory_NPV, reads_RN)
        start_BJh, readable_B11J = qformer.embed(question_ids_BS, question_valid_BS)
        seen_NJh, readable_N11J = start_BJh[pair_row_N], _at(readable_B11J, pair_row_N)
        linked_RJh, readable_R11J = start_BJh[row_R], _at(readable_B11J, row_R)
        for index in range(len(qformer.layers)):
            layer = index + 1
            if layer == self.read_layer:  # from here on every image has a stream of its own: R is N
                linked_RJh = linked_RJh[stream_N] + self.into_context(seen_NJh)
                context_RPV, readable_R11J = context_RPV[stream_N], readable_N11J
            if layer <= self.guide_layer:
                linked_RJh = qformer.step(index, linked_RJh, readable_R11J, context_RPV)
            if layer == self.guide_layer:
                seen_NJh = seen_NJh + self.from_context(linked_RJh) * guided_N11
            seen_NJh = qformer.step(index, seen_NJh, readable_N11J, memory_NPV)
        return seen_NJh[:, : len(qformer.queries_Qh)]

    def streams(self, pair_row_N: Tensor, rows: int) -> Streams:
        """One stream a row, or, where every image has a context of its own, one an image."""
        if self.context == "all":
            row_B = torch.arange(rows, device=pair_row_N.device)
            return Streams(row_B, pair_row_N, row_B[:, None] == pair_row_N)
        itself_NN = torch.eye(len(pair_row_N), dtype=torch.bool, device=pair_row_N.device)
        together_NN = pair_row_N[:, None] == pair_row_N
        return Streams(pair_row_N, torch.arange(len(pair_row_N), device=pair_row_N.device), together_NN & ~itself_NN)

    def mixtures(self, memory_NPV: Tensor, reads_RN: Tensor) -> Tensor:
        """The adaptive adjustment: the context of each stream (R, P, V), zero where it holds no image."""
        share_RNP = self.shares(memory_NPV, reads_RN)
        return torch.einsum("rnp,npv->rpv", share_RNP.to(memory_NPV.dtype), memory_NPV)

    def shares(self, memory_NPV: Tensor, reads_RN: Tensor) -> Tensor:
        """How much of each image a patch of a stream's context is made of (R, N, P); they sum to 1 over the images."""
        score_NP = self.adjustment(memory_NPV).squeeze(2)
        score_NP = score_NP.to(torch.promote_types(score_NP.dtype, torch.float32))
        reads_RN1 = reads_RN[:, :, None]
        score_RNP = torch.where(reads_RN1, score_NP, torch.finfo(score_NP.dtype).min)
        return score_RNP.softmax(1) * reads_RN1  # where nothing is read, a softmax over the absent would not be 0

    def shares_of_images(self, memory_NPV: Tensor, pair_row_N: Tensor) -> Tensor:
        """How much of each patch of the contexts that read an image comes from it (N, P): what the adjustment looks at.

        Of the images of a row they sum to 1 with the context "all". An image that no context reads has zeros.
        """
        reads_RN = self.streams(pair_row_N, rows=int(pair_row_N.max()) + 1).reads_RN
        share_RNP = self.shares(memory_NPV, reads_RN)
        return share_RNP.sum(0) / reads_RN.sum(0).clamp(min=1)[:, None]


def _at(readable_B11J: Tensor | None, row: Tensor) -> Tensor | None:
    return None if readable_B11J is None else readable_B11J[row]
