"""LION twice, of the same sizes and the same random weights: as this project builds it, and as a user of Hugging Face would."""

import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import InstructBlipConfig, LlamaConfig

from benchmarks.lion_by_hugging_face import Additions, LionByHuggingFace, inputs_of, levels_of
from benchmarks.lion_rows import rows_of
from triscope.checkpoints.kinds.blip import INSTRUCTBLIP
from triscope.checkpoints.kinds.lion import CHECKPOINT
from triscope.components.aggregator import AggregatorBridge
from triscope.components.language import LanguageModel
from triscope.components.qformer import QFormerBridge
from triscope.components.soft_prompt import SoftPrompt
from triscope.components.vision import VisionEncoder
from triscope.data.batch import Batch
from triscope.model import VisualLanguageModel
from triscope.stages import ImageLevelStage, MixtureStage, RegionLevelStage
from triscope.stages.base import Stage
from triscope.stages.losses import token_losses

STAGES: dict[int, type[Stage]] = {1: ImageLevelStage, 2: RegionLevelStage, 3: MixtureStage}
BRIDGES = {1: ("qformer",), 2: ("aggregator",), 3: ("qformer", "aggregator")}
LEVELS: dict[int, tuple[str, ...]] = {1: ("image",), 2: ("region",), 3: ("region", "image")}
CLIPPED_NORM = 1.0


@dataclass(frozen=True)
class Sizes:
    """Widths, depths and counts of a LION. Dropout is 0 everywhere, in both models, so that their losses can be compared."""

    vision_width: int
    vision_blocks: int
    vision_heads: int
    vision_feed_forward_width: int
    taps: tuple[int, int, int]
    qformer_layers: int
    qformer_width: int
    qformer_heads: int
    question_vocabulary: int
    aggregator_feed_forward_width: int
    language_width: int
    language_head_width: int
    language_heads: int
    language_feed_forward_width: int
    language_layers: int
    vocabulary: int
    image_size: int = 224
    queries: int = 32
    adapter_bottleneck: int = 64

    def image_tokens(self, stage: int) -> int:
        """Tokens of a picture in the language model."""
        patches = (self.image_size // 14) ** 2 + 1
        return {1: self.queries, 2: patches, 3: self.queries + patches}[stage]

    def t5(self) -> dict[str, Any]:
        """The language model's configuration."""
        return {
            "model_type": "t5",
            "architectures": ["T5ForConditionalGeneration"],
            "vocab_size": self.vocabulary,
            "d_model": self.language_width,
            "d_kv": self.language_head_width,
            "d_ff": self.language_feed_forward_width,
            "num_layers": self.language_layers,
            "num_heads": self.language_heads,
            "feed_forward_proj": "gated-gelu",
            "dense_act_fn": "gelu",
            "dropout_rate": 0.0,
            "tie_word_embeddings": False,
            "decoder_start_token_id": 0,
            "pad_token_id": 0,
            "eos_token_id": 1,
        }

    def llama(self) -> dict[str, Any]:
        """The configuration of a causal language model in its place, of the same widths and half its layers."""
        return {
            "vocab_size": self.vocabulary,
            "hidden_size": self.language_width,
            "head_dim": self.language_head_width,
            "intermediate_size": self.language_feed_forward_width,
            "num_hidden_layers": self.language_layers,
            "num_attention_heads": self.language_heads,
            "num_key_value_heads": self.language_heads,
            "max_position_embeddings": 4096,
            "pad_token_id": 0,
            "bos_token_id": None,
            "eos_token_id": 1,
        }


LION_4B = Sizes(
    vision_width=1408,
    vision_blocks=39,
    vision_heads=16,
    vision_feed_forward_width=6144,
    taps=(38, 28, 18),
    qformer_layers=12,
    qformer_width=768,
    qformer_heads=12,
    question_vocabulary=30523,
    aggregator_feed_forward_width=3072,
    language_width=2048,
    language_head_width=64,
    language_heads=32,
    language_feed_forward_width=5120,
    language_layers=24,
    vocabulary=32128,
)
# LION-4B with widths divided by 8 and fewer layers. Sequences are as long as there, and the parts' shares of the arithmetic
# are about the same: the vision model's forward pass is a third of the language model's forward and backward pass.
SMALL = Sizes(
    vision_width=192,
    vision_blocks=6,
    vision_heads=4,
    vision_feed_forward_width=840,
    taps=(5, 4, 2),
    qformer_layers=2,
    qformer_width=96,
    qformer_heads=4,
    question_vocabulary=1000,
    aggregator_feed_forward_width=384,
    language_width=256,
    language_head_width=32,
    language_heads=8,
    language_feed_forward_width=640,
    language_layers=4,
    vocabulary=1000,
)
TINY = replace(
    SMALL,
    vision_width=32,
    vision_blocks=3,
    vision_feed_forward_width=64,
    taps=(2, 1, 0),
    qformer_width=32,
    qformer_heads=2,
    language_width=32,
    language_head_width=8,
    language_heads=4,
    language_feed_forward_width=48,
    language_layers=2,
    image_size=28,
    queries=4,
)


@dataclass(frozen=True)
class Work:
    """What one measurement does.

    Args:
        stage: of LION, 1 to 3.
        questions: rows of each picture.
        rows: of the batch.
        sizes: of the models.
        device: "cpu", in float32, or "cuda", in bfloat16 with trained parts in float32.
        language: more arguments of our language model, such as `activation_checkpointing`.
        causal: a Llama in the place of our T5, and the aggregator's tokens before those of the Q-Former.
        share_prefix: as in `VisualLanguageModel`.
        cache_folder, compiled: as in `VisionEncoder`.
        frozen_gradients: as in `Stage`.
        shared_pictures, pixels_as_bytes: as in `DataModule`.
        sent_each_step: whether rows and pictures come to the device of ours in each step, or once before all.
    """

    stage: int
    questions: int
    rows: int
    sizes: Sizes
    device: str = "cpu"
    language: tuple[tuple[str, Any], ...] = ()
    causal: bool = False
    share_prefix: bool = False
    cache_folder: str | None = None
    compiled: bool = False
    frozen_gradients: tuple[str, ...] = ()
    shared_pictures: bool = True
    pixels_as_bytes: bool = True
    sent_each_step: bool = False

    def batch(self) -> Batch:
        """The rows, on the CPU."""
        sizes, images = self.sizes, self.rows // self.questions
        words = sizes.vocabulary, sizes.question_vocabulary
        return rows_of(self.stage, images, self.questions, sizes.image_size, *words, self.shared_pictures)

    def precision(self) -> AbstractContextManager:
        """How matrices are multiplied."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")


class Arm:
    """A model and its optimizer.

    Args:
        model: in training mode.
        trained: what the optimizer changes.
        loss: of the rows, the mean over their supervised tokens.
        precision: makes the context of a forward pass.
    """

    def __init__(
        self,
        model: nn.Module,
        trained: Iterable[nn.Parameter],
        loss: Callable[[], Tensor],
        precision: Callable[[], AbstractContextManager],
    ) -> None:
        self.model = model
        self.trained = list(trained)
        self._loss = loss
        self._precision = precision
        self._optimizer = torch.optim.AdamW(self.trained, lr=1e-5, weight_decay=0.05)

    def loss(self) -> Tensor:
        """Of the rows."""
        with self._precision():
            return self._loss()

    def step(self) -> float:
        """A step of training: forward, backward, clipped gradients, AdamW."""
        loss = self.loss()
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, CLIPPED_NORM)
        self._optimizer.step()
        self.model.zero_grad()
        return float(loss.detach())


def hugging_face_arm(work: Work) -> Arm:
    """Hugging Face's."""
    return _arm_of_theirs(work, hugging_face_model(work))


def our_arm(work: Work) -> Arm:
    """This project's, with random weights of its own: for measurements that need no comparison of losses."""
    return arm_of_ours(work, our_model(work))


def both_arms(work: Work) -> tuple[Arm, Arm]:
    """Ours and Hugging Face's, with the same weights."""
    theirs, ours = hugging_face_model(work), our_model(work)
    copy_weights(theirs, ours)
    return arm_of_ours(work, ours), _arm_of_theirs(work, theirs)


def hugging_face_model(work: Work) -> LionByHuggingFace:
    """Random weights, adapters and aggregator awake."""
    torch.manual_seed(0)
    sizes = work.sizes
    config = InstructBlipConfig(
        vision_config={
            "hidden_size": sizes.vision_width,
            "intermediate_size": sizes.vision_feed_forward_width,
            "num_hidden_layers": sizes.vision_blocks,
            "num_attention_heads": sizes.vision_heads,
            "image_size": sizes.image_size,
            "patch_size": 14,
        },
        qformer_config={
            "hidden_size": sizes.qformer_width,
            "num_hidden_layers": sizes.qformer_layers,
            "num_attention_heads": sizes.qformer_heads,
            "intermediate_size": 4 * sizes.qformer_width,
            "encoder_hidden_size": sizes.vision_width,
            "vocab_size": sizes.question_vocabulary,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        text_config=sizes.t5(),
        num_query_tokens=sizes.queries,
        image_token_index=sizes.vocabulary - 1,
    )
    additions = Additions(
        levels=LEVELS[work.stage],
        bottleneck=sizes.adapter_bottleneck,
        reads_qformer="qformer" in BRIDGES[work.stage],
        reads_aggregator="aggregator" in BRIDGES[work.stage],
        taps=sizes.taps,
        aggregator_heads=sizes.vision_heads,
        aggregator_feed_forward_width=sizes.aggregator_feed_forward_width,
        projector_width=4 * sizes.vision_width,
    )
    with torch.device(work.device):
        model = LionByHuggingFace(config, additions)
    if work.device == "cuda":
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.bfloat16()
    return model.train()


def our_model(work: Work) -> VisualLanguageModel:
    """The stage's model, as `triscope fit` builds it."""
    sizes = work.sizes
    precision = {"dtype": "bfloat16" if work.device == "cuda" else "float32"}
    tower_options = {
        "embed_dim": sizes.vision_width,
        "depth": sizes.vision_blocks,
        "num_heads": sizes.vision_heads,
        "mlp_ratio": (sizes.vision_feed_forward_width + 0.5) / sizes.vision_width,  # the tower rounds the product down
    }
    qformer = {
        "queries": sizes.queries,
        "layers": sizes.qformer_layers,
        "hidden_width": sizes.qformer_width,
        "heads": sizes.qformer_heads,
        "feed_forward_width": 4 * sizes.qformer_width,
        "vocabulary_size": sizes.question_vocabulary,
    }
    aggregator = {"heads": sizes.vision_heads, "feed_forward_width": sizes.aggregator_feed_forward_width}
    tower = {"tower": "EVA01-g-14", "taps": sizes.taps, "image_size": sizes.image_size, "tower_options": tower_options}
    bridges = {
        "qformer": partial(QFormerBridge, **qformer, dropout=0.0),
        "aggregator": partial(AggregatorBridge, **aggregator, dropout=0.0),
    }
    with tempfile.TemporaryDirectory() as folder, torch.device(work.device):
        config = LlamaConfig(**sizes.llama()) if work.causal else InstructBlipConfig(text_config=sizes.t5()).text_config
        config.save_pretrained(folder)
        language = {**precision, "adapter_bottleneck": sizes.adapter_bottleneck, **dict(work.language)}
        stage = STAGES[work.stage](
            partial(
                VisualLanguageModel,
                language=partial(LanguageModel, folder, **language),
                vision=partial(VisionEncoder, **tower, **precision, cache_folder=work.cache_folder, compiled=work.compiled),
                bridges=dict(reversed(bridges.items())) if work.causal else bridges,
                soft_prompt=SoftPrompt,
                share_prefix=work.share_prefix,
            ),
            frozen_gradients=list(work.frozen_gradients),
        )
        stage.configure_model()
    return stage.model.train()


def copy_weights(theirs: LionByHuggingFace, ours: VisualLanguageModel) -> None:
    """Fill our model with their weights, by the maps with which published checkpoints are imported.

    Raises:
        ValueError: a parameter of ours that stays empty.
    """
    named = dict(theirs.named_parameters())
    only_image = theirs.additions.levels == ("image",)  # row 1 of LION's two levels, and here the only one
    lion = {name.replace("language_model.", "t5_model."): tensor for name, tensor in named.items()}
    if only_image:
        lion = {name.replace("adapter.adapters.0.", "adapter.adapters.1."): tensor for name, tensor in lion.items()}
    renamed = INSTRUCTBLIP.map.renamed(named) | CHECKPOINT.renamed(lion)
    imported = {name: name.replace(".original.", ".") for name, _ in ours.named_parameters()}  # beside adapters; as on disk
    empty = [name for name in imported if imported[name] not in renamed]
    if empty:
        raise ValueError(f"found no weights for {empty[:3]} and {len(empty)} in all; expected Hugging Face's model to have them")
    ours.load_state_dict({name: renamed[imported[name]] for name in imported}, strict=False)


def _arm_of_theirs(work: Work, model: LionByHuggingFace) -> Arm:
    batch, sizes = work.batch(), work.sizes
    inputs = inputs_of(batch, sizes.vocabulary - 1, sizes.image_tokens(work.stage), padding=0)
    inputs = {name: tensor.to(work.device) for name, tensor in inputs.items()}
    level_B = levels_of(batch, model.additions.levels).to(work.device)

    def loss() -> Tensor:
        model.level_B = level_B
        return model(**inputs).loss

    trained = (parameter for parameter in model.parameters() if parameter.requires_grad)
    return Arm(model, trained, loss, work.precision)


def arm_of_ours(work: Work, model: VisualLanguageModel) -> Arm:
    """Our model, trained on the rows."""
    batch = work.batch()
    if not work.pixels_as_bytes:
        normalise: Any = model.normalisation().pixels
        batch = replace(batch, pixels_ICHW=normalise(batch.pixels_ICHW))
    if not work.sent_each_step:
        batch = batch.to(work.device)
    elif work.device == "cuda":
        batch = batch.pin_memory()  # as the loader does
    trained = (parameter for _, parameter in model.trained_parameters())
    return Arm(model, trained, lambda: token_losses(model(batch.to(work.device, non_blocking=True))).mean(), work.precision)
