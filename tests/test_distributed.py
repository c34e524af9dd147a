"""Many processes are one: the same losses, weights, answers and checkpoints as a run of one process."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.tensor import DTensor

from tests.callbacks.logged import csv_rows
from tests.conftest import REPOSITORY
from tests.data.tiny import ask, sample, write_shards
from tests.ranks import on_ranks
from tests.stages.test_base import PartsWithGradients
from tests.tiny_model import (
    CAT,
    DOG,
    STYLE,
    awake,
    fit_arguments,
    prepare,
    tiny_data,
    tiny_model,
    tiny_trainer,
    write_tiny_shards,
)
from triscope.cli import main
from triscope.components.language import LanguageModel
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level
from triscope.distributed import ShardedStrategy
from triscope.evaluation.generation import GenerationOptions
from triscope.model import VisualLanguageModel
from triscope.stages import MixtureStage, ThreeScopesStage

STEPS, BATCH = 4, 4  # steps of so many samples over all processes
ALL_RUNS = pytest.mark.parametrize("run", ["ddp 2", "sharded 2", "sharded 4", "sharded t5 2"])


@dataclass
class Life:
    """What one rank saw of a run."""

    losses: list[float] = field(default_factory=list)
    logged: dict[str, float] = field(default_factory=dict)
    predictions: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    resumed: dict[str, list[float]] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    regions: list[int] = field(default_factory=list)  # of its batch, at every step
    images: list[int] = field(default_factory=list)  # of the row of its batch that has most, at every step
    computed: set[torch.dtype] = field(default_factory=set)
    kept: set[torch.dtype] = field(default_factory=set)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Frozen bases, and 13 samples: some without a picture, with one, or three; asked about a region or none."""
    folder = prepare(tmp_path_factory.mktemp("base"))
    prepare(folder, "t5")
    kinds = [
        ("plain", {"conversations": [ask(("What is this?", "the dog and the cat"))], "images": 0}),
        ("where", {"conversations": [ask(("Where is the cat?", "<region:1>"), level=Level.REGION)], "boxes": [CAT]}),
        ("three", {"conversations": [ask(("What is <image:1> and <image:3>", "two"))], "images": 3}),
        ("named", {"conversations": [ask(("What is <region:1>?", "dog"), level=Level.REGION)], "tags": ["dog"], "boxes": [DOG]}),
    ]
    write_shards(folder / "shards", [sample(f"{name}{n}", **kind) for n in range(4) for name, kind in kinds][:13])
    return folder


class Watching(lightning.Callback):
    """The loss that is logged at every step, what was shown, what is cut, and a checkpoint after the second."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def on_train_batch_end(self, trainer, stage, outputs, batch, batch_idx) -> None:
        self.life.losses.append(float(trainer.callback_metrics["train/loss"]))
        self.life.regions.append(len(batch.region_row_G))
        self.life.images.append(int(batch.pair_row_N.bincount(minlength=1).max()))
        if trainer.global_step == 2:
            self.life.cut = {name for name, each in stage.named_parameters() if isinstance(each, DTensor)}
            trainer.save_checkpoint(Path(trainer.default_root_dir) / "second.ckpt")


def trainer_of(folder: Path, strategy: str, world_size: int, life: Life) -> lightning.Trainer:
    strategies = {
        "one": "auto",
        "ddp": "ddp",
        "sharded": ShardedStrategy(process_group_backend="gloo"),
        "bfloat16": ShardedStrategy(compute_dtype="bfloat16", process_group_backend="gloo"),
    }
    return tiny_trainer(
        folder,
        max_steps=STEPS,
        devices=world_size,
        strategy=strategies[strategy],
        callbacks=[Watching(life)],
        log_every_n_steps=1,
        logger=lightning.loggers.CSVLogger(folder, name="", version=""),
        limit_val_batches=1.0,
        val_check_interval=STEPS,
        check_val_every_n_epoch=None,
        gradient_clip_val=1.0,
    )


def live(base: Path, folder: Path, strategy: str, world_size: int = 1, kind: str = "llama") -> Life:
    """Fit with validation, test and predict; then resume from the second step's checkpoint."""

    def model() -> VisualLanguageModel:
        """Whether its rows share a prefix is another matter for each batch, and so for each rank."""
        built = awake(tiny_model(base, kind, bridges=("aggregator", "qformer"), checkpointing=True))
        built.share_prefix = True
        return built

    def stage() -> MixtureStage:
        torch.manual_seed(3)
        return MixtureStage(
            model,
            learning_rate=0.01,
            warmup_steps=0,
            generation=GenerationOptions(max_new_tokens=5, beams=2),
        )

    def data():
        shards = str(base / "shards")
        return tiny_data(shards, BATCH // world_size, predict={"tiny": shards})

    life = Life()
    fitted, trainer = stage(), trainer_of(folder, strategy, world_size, life)
    trainer.fit(fitted, data())
    life.logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    trainer.save_checkpoint(folder / "last.ckpt")
    life.weights = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    for step in ("validate", "test", "predict"):
        getattr(trainer, step)(fitted, datamodule=data(), ckpt_path=folder / "last.ckpt", weights_only=True)
        for control, answers in fitted.predictions["tiny"].items():
            life.predictions[f"{step} {control}"] = [(each.row.key, each.text) for each in answers]
    for origin in [folder] + ([folder.parent / "one"] if strategy != "one" else []):
        rest = Life()
        again = trainer_of(folder / "again", strategy, world_size, rest)
        again.fit(stage(), data(), ckpt_path=origin / "second.ckpt", weights_only=True)
        life.resumed[origin.name] = rest.losses
    return life


@pytest.fixture(scope="module")
def lives(base, tmp_path_factory):
    """Runs by name, each lived once."""
    folder, lived = tmp_path_factory.mktemp("runs"), {}

    def get(name: str) -> list[Life]:
        if name not in lived:
            strategy, *kind, count = name.split()
            place = folder / "-".join(kind or ["llama"])
            if strategy == "one":
                lived[name] = [live(base, place / "one", "one", 1, *kind)]
            else:
                get(" ".join(["one", *kind, "1"]))
                work = lambda rank: live(base, place / name.replace(" ", "-"), strategy, int(count), *kind)  # noqa: E731
                lived[name] = on_ranks(int(count), place / f"results-{name}", work)
        return lived[name]

    return get


def one_of(lives, run: str) -> Life:
    """The run of one process that a run is compared with."""
    return lives("one t5 1" if "t5" in run else "one 1")[0]


@ALL_RUNS
def test_losses_and_validation_are_those_of_one_process(lives, run):
    one, first = one_of(lives, run), lives(run)[0]
    scores = {name: value for name, value in one.logged.items() if name.startswith("validation/")}
    assert {"validation/loss", "validation/image/vqa_acc", "validation/region/vqa_acc"} < scores.keys()
    assert {name: first.logged[name] for name in scores} == pytest.approx(scores, rel=1e-4)  # the first process scores for all
    for rank in lives(run):
        assert len(rank.losses) == STEPS
        assert rank.losses == pytest.approx(one.losses, rel=2e-6)
        assert rank.logged["learning/gradient_norm"] == pytest.approx(one.logged["learning/gradient_norm"], rel=1e-4)


@ALL_RUNS
def test_every_question_is_answered_once_as_by_one_process(lives, run):
    one = one_of(lives, run)
    first, *others = lives(run)
    assert set(one.predictions) >= {"validate ", "test ", "test blind", "predict "}
    assert len(one.predictions["predict "]) == 13
    assert first.predictions == one.predictions
    assert all(other.predictions == first.predictions for other in others)


@ALL_RUNS
def test_a_checkpoint_holds_what_that_of_one_process_holds(lives, run):
    one = one_of(lives, run)
    for rank in lives(run):
        assert rank.weights.keys() == one.weights.keys()
        # AdamW makes a step of a gradient that is zero but for rounding, as that of a key's bias always is: some may differ.
        apart = {name: (rank.weights[name] - one.weights[name]).abs() > 1e-5 for name in one.weights}
        assert [name for name, each in apart.items() if each.float().mean() > 0.2 and not name.endswith("key.bias")] == []


@ALL_RUNS
def test_a_run_goes_on_where_it_was_and_where_one_process_was(lives, run):
    for rank in lives(run):
        own, foreign = rank.resumed.values()
        assert own == rank.losses[2:]
        assert foreign == pytest.approx(one_of(lives, run).losses[2:], rel=2e-6)


@pytest.mark.parametrize("run", ["sharded 2", "sharded 4", "sharded t5 2"])
def test_every_parameter_of_a_sharded_model_is_cut(lives, run):
    for rank in lives(run):
        assert {*one_of(lives, run).weights} < rank.cut
        assert {name.split(".")[1] for name in rank.cut} == {"language", "vision", "bridges", "soft_prompt"}


def test_a_run_of_the_command_line_writes_its_folder_once(base, tmp_path):
    """As conf/trainer/node_fsdp.yaml says, with callbacks of which some look at sharded parameters and some write files."""
    trainer = (
        *("--trainer", str(REPOSITORY / "conf" / "trainer" / "node_fsdp.yaml")),
        *("--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.max_steps", "4"),
        *("--trainer.val_check_interval", "2", "--trainer.log_every_n_steps", "1"),
    )
    arguments = fit_arguments(base, write_tiny_shards(tmp_path / "shards", count=5), tmp_path / "run", *trainer)
    on_ranks(2, tmp_path / "results", lambda rank: main([*arguments, "--run.wandb", "disabled"]))
    run = tmp_path / "run"
    assert len([row for row in csv_rows(run) if "train/loss" in row]) == 4
    assert {"config.yaml", "parts.txt", "checkpoints", "pictures"} <= {file.name for file in run.iterdir()}
    assert {file.stem.partition("_")[0] for file in (run / "pictures").iterdir()} >= {"board", "routing"}


# Parts that a batch may not need --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strategy", "regions"), [("ddp", "tower"), ("sharded", "tower"), ("sharded", "pooled")])
def test_ranks_without_a_region_or_with_one_image_keep_up_with_those_that_have_more(base, tmp_path, strategy, regions):
    """PVIT's region encoder and SAM's alignment: if one rank ran them and another did not, both would wait for ever."""

    def fit(folder: Path, strategy: str, world_size: int) -> Life:
        def model() -> VisualLanguageModel:
            torch.manual_seed(3)  # of the region encoder's tower, which is frozen and has no file
            return awake(tiny_model(base, bridges=("aggregator", "qformer"), regions=regions, aligned=True))

        options = {"learning_rate": 0.01, "warmup_steps": 0, "generation": GenerationOptions(max_new_tokens=3)}
        stage = ThreeScopesStage(model, **options)
        life = Life()
        trainer = trainer_of(folder, strategy, world_size, life)
        style = replace(STYLE, regions="token")
        trainer.fit(stage, tiny_data(str(base / "shards"), BATCH // world_size, prompt_style=style, seed=3))
        life.logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        return life

    one = fit(tmp_path / "one", "one", 1)
    ranks = on_ranks(2, tmp_path / "results", lambda rank: fit(tmp_path / "two", strategy, 2))
    # The seed of the data is one of those whose order has such steps.
    assert any(min(regions) == 0 < max(regions) for regions in zip(*(rank.regions for rank in ranks), strict=True))
    assert any(min(images) == 1 < max(images) for images in zip(*(rank.images for rank in ranks), strict=True))
    for rank in ranks:
        assert rank.losses == pytest.approx(one.losses, rel=2e-6)
    assert ranks[0].logged["validation/loss"] == pytest.approx(one.logged["validation/loss"], rel=1e-4)


@pytest.mark.parametrize("strategy", ["ddp", "sharded"])
def test_gradients_of_frozen_parts_are_computed_and_thrown_away_on_every_rank(base, tmp_path, strategy):
    def fit(folder: Path, strategy: str, world_size: int, asked: list[str] | None) -> Life:
        stage = MixtureStage(
            lambda: awake(tiny_model(base, checkpointing=True)), learning_rate=0.01, warmup_steps=0, frozen_gradients=asked
        )
        life, watching = Life(), PartsWithGradients()
        trainer = trainer_of(folder, strategy, world_size, life)
        trainer.callbacks.append(watching)
        trainer.fit(stage, tiny_data(str(base / "shards"), BATCH // world_size, validation={}))
        trainer.save_checkpoint(folder / "last.ckpt")
        life.weights = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
        assert watching.computed == watching.left | set(asked or []) and not watching.left & {"vision", "language"}
        return life

    one = fit(tmp_path / "one", "one", 1, None)
    for rank in on_ranks(2, tmp_path / "results", lambda rank: fit(tmp_path / "two", strategy, 2, ["vision", "language"])):
        assert rank.losses == pytest.approx(one.losses, rel=2e-6)
        assert rank.weights.keys() == one.weights.keys()


# bfloat16 -------------------------------------------------------------------------------------------------------------


class Precisions(lightning.Callback):
    """The types that matrix products of the language model are computed in, and those of what trains and of its gradients."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def on_train_start(self, trainer, stage) -> None:
        for module in stage.model.language.modules():
            if isinstance(module, torch.nn.Linear):
                module.register_forward_hook(lambda module, inputs, output: self.life.computed.add(output.dtype))

    def on_before_optimizer_step(self, trainer, stage, optimizer) -> None:
        for _, parameter in stage.trained_parameters():
            self.life.kept |= {parameter.dtype, parameter.grad.dtype}


def test_bfloat16_is_computed_in_and_nothing_is_kept_in_it(base, tmp_path):
    def fit(folder: Path, strategy: str, world_size: int) -> Life:
        options = {"learning_rate": 0.01, "warmup_steps": 0, "generation": GenerationOptions(max_new_tokens=3)}
        stage, life = MixtureStage(lambda: awake(tiny_model(base)), **options), Life()
        trainer = trainer_of(folder, strategy, world_size, life)
        trainer.callbacks.append(Precisions(life))
        trainer.fit(stage, tiny_data(str(base / "shards"), BATCH // world_size))
        life.logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        trainer.save_checkpoint(folder / "last.ckpt")  # after a validation, which leaves layers gathered
        life.weights = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
        return life

    one = fit(tmp_path / "one", "one", 1)
    assert one.computed == {torch.float32}
    ranks = on_ranks(2, tmp_path / "results", lambda rank: fit(tmp_path / "two", "bfloat16", 2))
    for rank in ranks:
        assert (rank.computed, rank.kept) == ({torch.bfloat16}, {torch.float32})
        assert {name: weight.dtype for name, weight in rank.weights.items()} == dict.fromkeys(one.weights, torch.float32)
        assert rank.losses == pytest.approx(one.losses, rel=0.02)
    assert ranks[0].logged["validation/loss"] == pytest.approx(one.logged["validation/loss"], rel=0.02)


# What is refused ------------------------------------------------------------------------------------------------------


def test_lightnings_own_sharding_and_others_are_refused(base, tmp_path):
    stage = MixtureStage(lambda: tiny_model(base))
    told = on_ranks(1, tmp_path / "results", lambda rank: refusal(stage, base, tmp_path, ModelParallelStrategy(1, 1)))
    assert "trainer.strategy: found ModelParallelStrategy; expected one device, ddp, or triscope.distributed" in told[0]


def test_a_trained_parameter_outside_the_sharded_model_is_refused(base, tmp_path):
    class Careless(MixtureStage):
        def __init__(self, *told: object) -> None:
            super().__init__(*told)
            self.beside = torch.nn.Parameter(torch.zeros(3))

    told = on_ranks(
        1, tmp_path / "results", lambda rank: refusal(Careless(lambda: tiny_model(base)), base, tmp_path, ShardedStrategy())
    )
    assert "found 1 that are not sharded (first: beside)" in told[0]


def refusal(stage: MixtureStage, base: Path, folder: Path, strategy: ModelParallelStrategy) -> str:
    with pytest.raises(ConfigurationError) as refused:
        tiny_trainer(folder, strategy=strategy).fit(stage, tiny_data(str(base / "shards")))
    return str(refused.value)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_language_model_on_the_meta_device_has_the_form_of_the_read_one(base, kind):
    """Precision and tied weights too; else pieces would be sent into other places."""
    for dtype in ("float32", "bfloat16"):
        read = LanguageModel(str(base / kind), dtype=dtype)
        with torch.device("meta"):
            bare = LanguageModel(str(base / kind), dtype=dtype)
        form = {name: (value.shape, value.dtype) for name, value in read.state_dict().items()}
        assert {name: (value.shape, value.dtype) for name, value in bare.state_dict().items()} == form
        assert [name for name, _ in bare.named_parameters()] == [name for name, _ in read.named_parameters()]


# 4 bits ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["ddp", "sharded"])
def test_packed_weights_stay_whole_and_all_else_trains_as_in_one_process(base, tmp_path, strategy):
    def fit(folder: Path, strategy: str, world_size: int) -> tuple[list[float], set[str], set[str]]:
        stage = MixtureStage(lambda: awake(tiny_model(base, dtype="nf4")), learning_rate=0.01, warmup_steps=0)
        life = Life()
        trainer = trainer_of(folder, strategy, world_size, life)
        trainer.limit_val_batches = 0
        trainer.fit(stage, tiny_data(str(base / "shards"), BATCH // world_size))
        packed = {name for name, each in stage.named_parameters() if not each.is_floating_point()}
        return life.losses, packed, life.cut

    one, packed, _ = fit(tmp_path / "one", "one", 1)
    for losses, replicated, cut in on_ranks(2, tmp_path / "results", lambda rank: fit(tmp_path / "two", strategy, 2)):
        assert losses == pytest.approx(one, rel=2e-3)  # bfloat16 sums
        assert replicated == packed and not packed & cut
        assert bool(cut) == (strategy == "sharded")
