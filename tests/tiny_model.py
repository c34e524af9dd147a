"""Tiny real models for tests: every part of LION at sizes that train in milliseconds, over weights in a folder."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import lightning.pytorch as lightning
import torch
import yaml
from lightning.pytorch.loggers import Logger
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from tests.conftest import REPOSITORY
from tests.data.tiny import ask, sample, word_tokenizer, write_shards
from triscope.components.aggregator import AggregatorBridge
from triscope.components.alignment import SemanticAlignment
from triscope.components.language import LanguageModel, TokenPredictions
from triscope.components.language_loading import Precision
from triscope.components.linear import LinearBridge
from triscope.components.lora import LoraOptions
from triscope.components.qformer import QFormerBridge
from triscope.components.region_clip import RegionClipEncoder
from triscope.components.regions import PooledRegionEncoder
from triscope.components.soft_prompt import SoftPrompt
from triscope.components.vision import VisionEncoder
from triscope.data.batch import Batch
from triscope.data.boxes import Box, BoxSpace
from triscope.data.collate import EncodedSample, collate
from triscope.data.datamodule import DataModule
from triscope.data.prompts import PromptStyle, PromptWriter
from triscope.data.sample import Conversation, Level, Sample
from triscope.model import VisualLanguageModel

Module = TypeVar("Module", bound=nn.Module)
IMAGE_SIZE = 28
TOWER = {"tower": "vit_small_patch14_dinov2", "taps": (2, 1, 0), "image_size": IMAGE_SIZE}
TOWER_OPTIONS = {"embed_dim": 32, "depth": 3, "num_heads": 2}
QFORMER = {"queries": 3, "layers": 2, "hidden_width": 16, "heads": 2, "feed_forward_width": 24, "vocabulary_size": 99}
AGGREGATOR = {"heads": 2, "feed_forward_width": 16, "projector_width": 24}
BRIDGES = {
    **dict.fromkeys(("lion", "lion_pvit"), ("aggregator", "qformer")),
    **{"pvit": ("image_projector",), "sam": ("qformer",)},
}
REGION_TOWER = {"width": 4, "layers": (1, 1, 1, 1), "embed_dim": 12}
REGION_SIDES = {"shortest_side": 40, "longest_side": 64}
STYLE = PromptStyle(turn="question {prompt} answer", tags="soft")


def prepare(folder: Path, kind: str = "llama") -> Path:
    """Write a language model ("llama" or "t5") with its tokenizer, and a vision tower: the frozen base of a model."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer(bos=kind == "llama")
    words = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 2}
    language: nn.Module
    if kind == "llama":
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        language = LlamaForCausalLM(LlamaConfig(**words, **sizes, initializer_range=0.2))
    else:
        sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
        language = T5ForConditionalGeneration(
            T5Config(**words, **sizes, feed_forward_proj="gated-gelu", decoder_start_token_id=0, initializer_factor=0.5)
        )
    language.save_pretrained(folder / kind)
    tokenizer.save_pretrained(folder / kind)
    tower = VisionEncoder(**TOWER, tower_options=TOWER_OPTIONS).tower
    save_file(tower.state_dict(), folder / "tower.safetensors")
    return folder


def tiny_model(
    folder: Path,
    kind: str = "llama",
    bridges: Sequence[str] = ("qformer", "aggregator"),
    soft_prompt: bool = True,
    dropout: float = 0.0,
    aligned: bool = False,
    dtype: Precision = "float32",
    checkpointing: bool = False,
    regions: str | None = None,
    adapter_bottleneck: int | None = 4,
    lora: LoraOptions | None = None,
) -> VisualLanguageModel:
    """A LION over the base that `prepare` wrote, new parts as they are initialised; its images may guide each other.

    Its regions are None, "pooled" off the vision tower's map, or seen by a "tower" of their own. With the bridge
    "image_projector" alone, and without adapters and soft prompt, it is a PVIT.
    """
    alignment = partial(SemanticAlignment, read_layer=1, guide_layer=2) if aligned else None
    all_bridges: dict[str, Callable] = {
        "qformer": partial(QFormerBridge, **QFORMER, dropout=dropout, alignment=alignment),
        "aggregator": partial(AggregatorBridge, **AGGREGATOR, dropout=dropout),
        "image_projector": partial(LinearBridge, markers=True),
    }
    all_regions: dict[str | None, Callable | None] = {
        None: None,
        "pooled": partial(PooledRegionEncoder, bins=1),
        "tower": partial(RegionClipEncoder, tower_options=REGION_TOWER, **REGION_SIDES),
    }
    options = {"dtype": dtype, "adapter_bottleneck": adapter_bottleneck, "lora": lora}
    language = partial(LanguageModel, **options, activation_checkpointing=checkpointing)
    return VisualLanguageModel(
        language=lambda: language(str(folder / kind), config_overrides={"dropout_rate": dropout} if kind == "t5" else None),
        vision=lambda: VisionEncoder(**TOWER, tower_options=TOWER_OPTIONS, weights=str(folder / "tower.safetensors")),
        bridges={name: all_bridges[name] for name in bridges},
        regions=all_regions[regions],
        soft_prompt=partial(SoftPrompt, init_std=0.2) if soft_prompt else None,
    )


def awake(model: Module, seed: int = 1) -> Module:
    """What trains made random, so that nothing that starts at zero hides a mistake."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    return model


DOG, CAT = Box(0.1, 0.2, 0.5, 0.8), Box(0.6, 0.0, 1.0, 0.4)
SAMPLES = [
    sample("plain", [ask(("What is this?", "the dog and the cat"))], images=0),
    sample(
        "tagged",
        [ask(("What is this?", "dog")), ask(("Where is the cat?", "<region:1>"), level=Level.REGION)],
        tags=["dog"],
        boxes=[CAT],
    ),
    sample("three", [ask(("What is <image:1> and <image:3>", "two"), ("Where the dog?", "left and right"))], images=3),
    sample("region", [ask(("What is <region:1>?", "the dog"), level=Level.REGION)], boxes=[DOG]),
]


def batch_of(model: VisualLanguageModel, samples: Sequence[Sample] = SAMPLES, style: PromptStyle = STYLE) -> Batch:
    """A batch as the data makes it; boxes are in unit space, and pictures random but of the sample's own seed."""
    writer = PromptWriter(style, model.tokenizers())
    encoded = []
    for each in samples:
        rows = writer.rows(each, [region.box for region in each.regions], range(len(each.conversations)), each.key)
        generator = torch.Generator().manual_seed(sum(map(ord, each.key)))
        shown = sorted({image for row in rows for image in (*row.images, *(region.image for region in row.regions))})

        def picture(height: int, width: int, generator: torch.Generator = generator) -> Tensor:
            return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)

        pixels = {image: picture(IMAGE_SIZE, IMAGE_SIZE) for image in shown}
        needed = shown if model.regions is not None and model.regions.picture_sides else []
        encoded.append(EncodedSample(pixels, rows, {image: picture(40, 40 + 2 * len(each.key)) for image in needed}))
    return collate(encoded, IMAGE_SIZE)


def logits_by_row(predictions: TokenPredictions, rows: int) -> list[Tensor]:
    """The logits of each row's supervised tokens."""
    return [predictions.logits_MV[predictions.row_M == row] for row in range(rows)]


LONG_AND_SHORT = ("dog", "the dog and the cat", "yes", "left and right")


def conversations(number: int) -> list[Conversation]:
    """One of each level, with answers of other lengths for other numbers."""
    answer = LONG_AND_SHORT[number % len(LONG_AND_SHORT)]
    return [ask(("What is this?", answer)), ask(("Where is the cat?", "<region:1>"), task="pointing", level=Level.REGION)]


def write_tiny_shards(folder: Path, count: int = 4, levels: Sequence[Level] = tuple(Level)) -> str:
    """Samples with a grey picture each, asked about on every one of the levels."""
    box = Box(4, 3, 20, 24, BoxSpace.PIXELS)
    samples = [
        sample(f"s{number}", [each for each in conversations(number) if each.level in levels], tags=["dog"], boxes=[box])
        for number in range(count)
    ]
    write_shards(folder, samples)
    return str(folder)


def tiny_data(shards: str, samples_per_batch: int = 2, **options: object) -> DataModule:
    """Data of `write_tiny_shards`, to train and to evaluate on."""
    split = {"train": {shards: 1.0}, "validation": {"tiny": shards}, "test": {"tiny": shards}}
    usual = {"image_size": IMAGE_SIZE, "samples_per_batch": samples_per_batch, "workers": 0, "prompt_style": STYLE}
    return DataModule(**{**split, **usual, **options})


def tiny_trainer(folder: Path, **options: object) -> lightning.Trainer:
    """A trainer on the CPU that says and keeps nothing unless told to."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    usual = {"accelerator": "cpu", "devices": 1, "num_sanity_val_steps": 0, "limit_val_batches": 0, "max_steps": 2}
    return lightning.Trainer(default_root_dir=folder, **{**quiet, **usual, **options})


def write_model_file(folder: Path, system: str = "lion", dropout: float = 0.1) -> str:
    """The configuration of a `tiny_model` over the base in `folder`; it states every key that a recipe's own model states.

    Args:
        folder: of `prepare`.
        system: "lion", "pvit", "lion_pvit" with the parts of both, or "sam".
        dropout: of the bridges.
    """
    is_lion, has_regions = system.startswith("lion"), system.endswith("pvit")

    def part(module: str, name: str, **arguments: object) -> dict:
        return {"class_path": f"triscope.{module}.{name}", "init_args": arguments}

    alignment = part("components.alignment", "SemanticAlignment", read_layer=1, guide_layer=2, context="all")
    qformer = {"alignment": alignment if system == "sam" else None, "dropout": dropout, **QFORMER}
    bridges = {
        "aggregator": part("components.aggregator", "AggregatorBridge", dropout=dropout, **AGGREGATOR),
        "qformer": part("components.qformer", "QFormerBridge", **qformer),
        "image_projector": part("components.linear", "LinearBridge", markers=True),
    }
    tower = {"tower": TOWER["tower"], "image_size": IMAGE_SIZE, "taps": list(TOWER["taps"]), "tower_options": TOWER_OPTIONS}
    kept = {"dtype": "float32", "cache_folder": None, "compiled": False}
    vision = {**tower, "weights": str(folder / "tower.safetensors"), "pool": 1, **kept}
    model = part(
        "model",
        "VisualLanguageModel",
        language=part(
            "components.language",
            "LanguageModel",
            path=str(folder / "llama"),
            dtype="float32",
            adapter_bottleneck=4 if is_lion else None,
            config_overrides=None,
            activation_checkpointing=False,
            lora=None,
        ),
        vision=part("components.vision", "VisionEncoder", **vision),
        bridges={name: bridges[name] for name in BRIDGES[system]},
        regions=part("components.regions", "PooledRegionEncoder", bins=1) if has_regions else None,
        soft_prompt=part("components.soft_prompt", "SoftPrompt", init_std=0.2) if is_lion else None,
        question_tokenizer=None,
        share_prefix=False,
    )
    file = folder / f"{system}.yaml"
    file.write_text(yaml.safe_dump(model))
    return str(file)


def fit_arguments(base: Path, shards: str, run: Path, *more: str, recipe: str = "lion_joint", system: str = "lion") -> list[str]:
    """The command line of a short fit of a recipe, LION's stage 3 if none is named, with the tiny model of a system."""
    recipes = REPOSITORY / "conf" / "recipe"
    return [
        *("fit", "-c", str(recipes / f"{recipe}.yaml"), "-c", str(recipes / "on_scenes.yaml")),
        *("--model.init_args.model", write_model_file(base, system), "--run.folder", str(run)),
        *("--trainer.precision", "32-true", "--trainer.plugins", "null", "--trainer.max_steps", "4"),
        *("--trainer.val_check_interval", "2", "--trainer.log_every_n_steps", "1"),
        *("--data.image_size", str(IMAGE_SIZE), "--data.samples_per_batch", "2"),
        *("--data.train", json.dumps({shards: 1.0}), "--data.validation", json.dumps({"tiny": shards})),
        *("--data.test", json.dumps({"tiny": shards}), "--data.workers", "0"),
        *("--data.prompt_style.turn", STYLE.turn, "--model.init_args.generation.max_new_tokens", "4"),
        *more,
    ]


class Logged(Logger):
    """A logger that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.by_step: dict[int, dict[str, float]] = {}

    name, version = "logged", 0

    def log_hyperparams(self, *_: object, **__: object) -> None: ...

    def log_metrics(self, metrics, step=None) -> None:
        self.by_step.setdefault(step, {}).update(metrics)
