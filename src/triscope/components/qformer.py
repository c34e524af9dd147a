"""The Q-Former: a few learned queries read the image, guided by the question.

The layers are those of Hugging Face's InstructBLIP; the loop over them is our own, so that states can be read and
changed between two layers. Sources: Li et al., "BLIP-2" (arXiv 2301.12597); Dai et al., "InstructBLIP"
(arXiv 2305.06500).

Local letters: h hidden width of the Q-Former, J = Q + S positions of queries and question together.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, InstructBlipQFormerConfig
from transformers.models.instructblip.modeling_instructblip import InstructBlipQFormerLayer

from triscope.components.alignment import SemanticAlignment
from triscope.components.attention import attention, initialise_as_bert
from triscope.components.bridge import Bridge


def _attend(module, query, key, value, attention_mask, dropout=0.0, **_) -> tuple[Tensor, None]:
    """`attention` as transformers calls it; its scale is ours, 1/sqrt(d)."""
    return attention(query, key, value, attention_mask, dropout).transpose(1, 2), None


AttentionInterface.register("triscope_qformer", _attend)


class QFormer(nn.Module):
    """Queries and question attend to each other in every layer; the queries alone attend to the image in some.

    Positions belong to the question only, one LayerNorm runs over queries and question, and the queries have their own
    feed-forward layers. Without a question the layers that only a question uses do not exist.

    Args:
        memory_width: of the vectors that the queries read (V).
        queries: Q.
        layers: number of layers.
        hidden_width: h.
        heads: of every attention.
        feed_forward_width: inner width of the feed-forward layers.
        vocabulary_size: of the question's tokens; 30523 is bert-base-uncased and one special token.
        positions: longest question, in tokens.
        cross_attention_every: the queries read the image in layers 0, this, twice this, ...
        question_aware: whether the question takes part.
        dropout: on embeddings, attention weights and the outputs of residual branches.
    """

    def __init__(
        self,
        memory_width: int,
        queries: int = 32,
        layers: int = 12,
        hidden_width: int = 768,
        heads: int = 12,
        feed_forward_width: int = 3072,
        vocabulary_size: int = 30523,
        positions: int = 512,
        cross_attention_every: int = 2,
        question_aware: bool = True,
        dropout: float = 0.1,
    ):
        super().__init__()
        config = InstructBlipQFormerConfig(
            encoder_hidden_size=memory_width,
            hidden_size=hidden_width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=feed_forward_width,
            cross_attention_frequency=cross_attention_every,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        config._attn_implementation = "triscope_qformer"
        self.question_aware = question_aware
        self.queries_Qh = nn.Parameter(torch.empty(queries, hidden_width))
        self.norm = nn.LayerNorm(hidden_width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(InstructBlipQFormerLayer(config, index) for index in range(layers))
        if question_aware:
            self.word_embeddings = nn.Embedding(vocabulary_size, hidden_width)
            self.position_embeddings = nn.Embedding(positions, hidden_width)
        else:
            for layer in self.layers:
                del layer.intermediate, layer.output
        initialise_as_bert(self)
        nn.init.normal_(self.queries_Qh, std=0.02)

    def forward(self, memory_NPV: Tensor, question_ids_NS: Tensor, question_valid_NS: Tensor) -> Tensor:
        """What the queries read.

        Args:
            memory_NPV: vectors of an image a row, N at least 1.
            question_ids_NS: not looked at unless `question_aware`.
            question_valid_NS: True where the question has a token. A row may have none.

        Returns:
            (N, Q, h).

        Raises:
            ValueError: a question longer than `positions`.
        """
        states_NJh, readable_N11J = self.embed(question_ids_NS, question_valid_NS)
        for index in range(len(self.layers)):
            states_NJh = self.step(index, states_NJh, readable_N11J, memory_NPV)
        return states_NJh[:, : len(self.queries_Qh)]

    def embed(self, question_ids_NS: Tensor, question_valid_NS: Tensor) -> tuple[Tensor, Tensor | None]:
        """The states that enter the first layer, (N, J, h), and which of them may be read, (N, 1, 1, J); None: all."""
        queries_NQh = self.queries_Qh.expand(len(question_ids_NS), -1, -1)
        if not self.question_aware:
            return self.dropout(self.norm(queries_NQh)), None
        if question_ids_NS.shape[1] == 0:  # one masked token: every weight stays in the graph of every batch
            question_ids_NS = question_ids_NS.new_zeros(len(question_ids_NS), 1)
            question_valid_NS = question_valid_NS.new_zeros(question_ids_NS.shape)
        length, positions = question_ids_NS.shape[1], self.position_embeddings.num_embeddings
        if length > positions:
            raise ValueError(
                f"the Q-Former reads questions of at most {positions} tokens, found {length}: "
                "cut questions shorter in the data, or raise the bridge's `positions`"
            )
        text_NSh = self.word_embeddings(question_ids_NS) + self.position_embeddings.weight[:length]
        states_NJh = torch.cat([queries_NQh, text_NSh], dim=1)
        readable_NQ = question_valid_NS.new_ones(queries_NQh.shape[:2], dtype=torch.bool)
        readable_NJ = torch.cat([readable_NQ, question_valid_NS.bool()], dim=1)
        return self.dropout(self.norm(states_NJh)), readable_NJ[:, None, None]

    def step(self, index: int, states_NJh: Tensor, readable_N11J: Tensor | None, memory_NPV: Tensor) -> Tensor:
        """Layer `index`, counted from 0: from the states that enter it to those that leave it, (N, J, h)."""
        return self.layers[index](states_NJh, readable_N11J, memory_NPV, query_length=len(self.queries_Qh))


class QFormerBridge(Bridge):
    """LayerNorm, Q-Former, and one Linear to LLM width: one token a query.

    Computed once a pair, because the question guides it; without questions and alignment once an image.
    With the default sizes, V = 1408 and D = 2048 it has 187.26 M parameters.

    Args:
        vision_width: V.
        language_width: D.
        patches: P; any number does.
        alignment: builds the way in which the images of a row guide each other; called with V, h and the number of layers.
            None: every image is read on its own.
        qformer: the arguments of `QFormer` from `queries` on.
    """

    def __init__(
        self,
        vision_width: int,
        language_width: int,
        patches: int,
        alignment: Callable[[int, int, int], SemanticAlignment] | None = None,
        **qformer,
    ):
        super().__init__()
        self.norm = nn.LayerNorm(vision_width)
        self.qformer = QFormer(vision_width, **qformer)
        self.tokens, hidden_width = self.qformer.queries_Qh.shape
        self.question_aware = self.qformer.question_aware
        layers = len(self.qformer.layers)
        self.alignment = alignment(vision_width, hidden_width, layers) if alignment is not None else None
        self.projection = nn.Linear(hidden_width, language_width)

    def forward(
        self,
        features_LIPV: Sequence[Tensor],
        pair_row_N: Tensor,
        pair_image_N: Tensor,
        question_ids_BS: Tensor,
        question_valid_BS: Tensor,
    ) -> Tensor:
        if len(pair_image_N) == 0:  # the layers take no empty batch: they get a blank image that nobody sees
            blank_1PV = features_LIPV[0].new_zeros(1, *features_LIPV[0].shape[1:])
            first_1, nothing_10 = pair_image_N.new_zeros(1), question_ids_BS.new_zeros(1, 0)
            return self([blank_1PV], first_1, first_1, nothing_10, nothing_10.bool())[:0]
        memory_IPV = self.norm(features_LIPV[0])
        if self.alignment is not None:
            question = question_ids_BS, question_valid_BS
            return self.projection(self.alignment(self.qformer, memory_IPV[pair_image_N], pair_row_N, *question))
        if not self.qformer.question_aware or question_ids_BS.shape[1] == 0:
            nothing_I0 = question_ids_BS.new_zeros(len(memory_IPV), 0)
            tokens_IQD = self.projection(self.qformer(memory_IPV, nothing_I0, nothing_I0.bool()))
            return tokens_IQD[pair_image_N]
        question = question_ids_BS[pair_row_N], question_valid_BS[pair_row_N]
        return self.projection(self.qformer(memory_IPV[pair_image_N], *question))

    def context_shares(self, features_LIPV: Sequence[Tensor], pair_row_N: Tensor, pair_image_N: Tensor) -> Tensor:
        """How much of each patch of its row's context comes from an image, as the alignment mixes it (N, P).

        Raises:
            ValueError: the bridge reads every image on its own.
        """
        if self.alignment is None:
            raise ValueError(
                "context_shares: found a Q-Former without alignment; expected one whose images guide each other. "
                "Use a model of SAM, such as conf/model/sam_micro.yaml."
            )
        return self.alignment.shares_of_images(self.norm(features_LIPV[0])[pair_image_N], pair_row_N)
