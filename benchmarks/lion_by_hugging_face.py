"""LION as a user of Hugging Face would write it: InstructBLIP over T5, with hooks for what it does not have.

Nothing here is slowed down: attention is PyTorch's fused one, what is frozen has no gradients, rows are padded to the longest
of their batch, and labels go through the model's own loss. The aggregator is made of BERT's decoder layers, the adapters hang
on the feed-forward layers of T5, and a row is one picture with one question, as the processor of InstructBLIP makes it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertConfig, InstructBlipConfig, InstructBlipForConditionalGeneration
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.instructblip.modeling_instructblip import BaseModelOutputWithVisionQformerOutputs

from triscope.components.pixels import normalised
from triscope.data.batch import LEVELS, Batch, Placeholder
from triscope.fusion import IGNORED_LABEL

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Additions:
    """What LION has beside InstructBLIP.

    Args:
        levels: of the adapters beside every feed-forward layer.
        bottleneck: of an adapter.
        reads_qformer, reads_aggregator: which tokens the language model is shown.
        taps: blocks of the vision model, deepest first.
        aggregator_heads, aggregator_feed_forward_width: of its two blocks.
        projector_width: of the two Linears behind it.
    """

    levels: tuple[str, ...]
    bottleneck: int
    reads_qformer: bool
    reads_aggregator: bool
    taps: tuple[int, ...]
    aggregator_heads: int
    aggregator_feed_forward_width: int
    projector_width: int


class LionByHuggingFace(InstructBlipForConditionalGeneration):
    """InstructBLIP with an aggregator, adapters and a soft prompt. Names are those of LION's published checkpoints.

    The last word of the vocabulary stands for an image token, and the last but one for the soft prompt.
    """

    def __init__(self, config: InstructBlipConfig, additions: Additions) -> None:
        super().__init__(config)
        self.additions = additions
        self.level_B: Tensor | None = None
        self.soft_prompt_id = config.image_token_index - 1
        self.soft_prompt_hint = nn.Parameter(torch.randn(config.text_config.d_model))
        nn.init.normal_(self.query_tokens, std=0.02)
        head = torch.randn_like(self.language_model.lm_head.weight) * config.text_config.d_model**-0.5
        self.language_model.lm_head.weight = nn.Parameter(head)  # of its own, as FlanT5's
        self.requires_grad_(False)
        trained: list[nn.Module] = []
        if additions.reads_qformer:
            self.query_tokens.requires_grad_(True)
            trained += [self.qformer, self.language_projection, self.vision_model.post_layernorm]
        else:
            self.qformer = self.language_projection = None
        if additions.reads_aggregator:
            trained += self._add_aggregator(config)
        trained += self._add_adapters(config)
        for module in trained:
            module.requires_grad_(True)
        self.soft_prompt_hint.requires_grad_(True)
        self.language_model.shared.register_forward_hook(self._put_soft_prompt)

    def get_image_features(self, pixel_values, **inputs):
        """The tokens that stand for an image, as `pooler_output`."""
        inputs["return_dict"] = True
        if self.additions.reads_qformer:
            features = super().get_image_features(pixel_values, **inputs)
            tokens = [features.pooler_output]
        else:
            features = BaseModelOutputWithVisionQformerOutputs(vision_outputs=self.vision_model(pixel_values, return_dict=True))
            tokens = []
        if self.additions.reads_aggregator:
            aggregated, *memories = (self._tapped[block] for block in self.additions.taps)
            for layer, memory in zip(self.fusion_adapter.blocks, memories, strict=True):
                aggregated = layer(aggregated, encoder_hidden_states=memory)
            tokens.append(self.adapter_proj(self.ln_adapter(aggregated)))
        features.pooler_output = torch.cat(tokens, dim=1)
        return features

    def _add_aggregator(self, config: InstructBlipConfig) -> list[nn.Module]:
        width, more = config.vision_config.hidden_size, self.additions
        bert = BertConfig(
            hidden_size=width,
            num_attention_heads=more.aggregator_heads,
            intermediate_size=more.aggregator_feed_forward_width,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            is_decoder=True,
            add_cross_attention=True,
            attn_implementation="sdpa",
        )
        self.fusion_adapter = nn.Module()
        self.fusion_adapter.blocks = nn.ModuleList(BertLayer(bert) for _ in more.taps[1:])
        for layer in self.fusion_adapter.blocks:
            layer.attention.self.is_causal = False  # all patches read each other
        self.ln_adapter = nn.LayerNorm(width)
        narrow, wide = config.text_config.d_model, more.projector_width
        self.adapter_proj = nn.Sequential(nn.Linear(width, wide), nn.GELU(), nn.Linear(wide, narrow))
        self._tapped: dict[int, Tensor] = {}
        for block in more.taps:

            def keep(module: nn.Module, inputs: tuple, output: Tensor, block: int = block) -> None:
                self._tapped[block] = output

            self.vision_model.encoder.layers[block].register_forward_hook(keep)
        return [self.fusion_adapter, self.ln_adapter, self.adapter_proj]

    def _add_adapters(self, config: InstructBlipConfig) -> list[nn.Module]:
        adapters: list[nn.Module] = []
        for stack in (self.language_model.encoder, self.language_model.decoder):
            for block in stack.block:
                adapter = Adapters(config.text_config.d_model, self.additions.bottleneck, len(self.additions.levels))
                block.layer[-1].adapter = adapter
                block.layer[-1].register_forward_hook(
                    lambda module, inputs, output: output + module.adapter(inputs[0], self.level_B)
                )
                adapters.append(adapter)
        return adapters

    def _put_soft_prompt(self, module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        return torch.where((inputs[0] == self.soft_prompt_id)[..., None], self.soft_prompt_hint.to(output.dtype), output)


class Adapters(nn.Module):
    """A bottleneck a level, each weighted by a routing vector of the row's level."""

    def __init__(self, width: int, bottleneck: int, levels: int) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(Bottleneck(width, bottleneck) for _ in range(levels))
        for number in range(levels if levels > 1 else 0):
            self.register_parameter(f"router_ratio{number + 1}", nn.Parameter(torch.randn(levels, width)))

    def forward(self, x_BTD: Tensor, level_B: Tensor) -> Tensor:
        if len(self.adapters) == 1:
            return self.adapters[0](x_BTD)
        routers = (self.router_ratio1, self.router_ratio2)
        return sum(router[level_B][:, None] * adapter(x_BTD) for router, adapter in zip(routers, self.adapters, strict=True))


class Bottleneck(nn.Module):
    """scale * Up relu(Down x)."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down_proj = nn.Linear(width, bottleneck)
        self.up_proj = nn.Linear(bottleneck, width)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.scale * self.up_proj(self.down_proj(x_BTD).relu())


def inputs_of(batch: Batch, image_token: int, image_tokens: int, padding: int) -> dict[str, Tensor]:
    """What InstructBLIP reads for the rows of a batch: each row with its picture, padded to the longest.

    Args:
        batch: rows of a seq2seq model with one picture each.
        image_token: its id.
        image_tokens: how many of them stand for a picture.
        padding: the language model's id of it.
    """
    soft_prompt = image_token - 1
    prompts, answers = [], []
    for ids, valid, supervised in zip(batch.ids_BT, batch.valid_BT, batch.supervised_BT, strict=True):
        prompt = []
        for token in ids[valid & ~supervised].tolist():
            if token == Placeholder.IMAGE:
                prompt += [image_token] * image_tokens
            else:
                prompt.append(soft_prompt if token == Placeholder.SOFT_PROMPT else token)
        prompts.append(torch.tensor(prompt))
        answers.append(ids[valid & supervised])
    pad = nn.utils.rnn.pad_sequence
    return {
        "pixel_values": normalised(batch.pixels_ICHW, CLIP_MEAN, CLIP_STD, torch.float32)[batch.pair_image_N],
        "qformer_input_ids": batch.question_ids_BS,
        "qformer_attention_mask": batch.question_valid_BS.long(),
        "input_ids": pad(prompts, batch_first=True, padding_value=padding),
        "attention_mask": pad([torch.ones_like(prompt) for prompt in prompts], batch_first=True),
        "labels": pad(answers, batch_first=True, padding_value=IGNORED_LABEL),
    }


def levels_of(batch: Batch, levels: tuple[str, ...]) -> Tensor:
    """The number of each row's level among those of the model."""
    numbers = [levels.index(name) if name in levels else 0 for name in LEVELS]
    return torch.tensor(numbers, device=batch.level_B.device)[batch.level_B]
