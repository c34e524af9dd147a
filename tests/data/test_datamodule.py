import lightning.pytorch as lightning
import pytest
import torch

from tests.data.tiny import ask, causal_tokenizers, decoded_sizes, numbered_shards, sample, write_shards
from triscope.data.batch import Batch
from triscope.data.boxes import Box
from triscope.data.datamodule import DataModule
from triscope.data.errors import BadShardError, ConfigurationError
from triscope.data.prompts import PromptStyle
from triscope.data.sample import Level
from triscope.data.transforms import Normalisation


class Reader(lightning.LightningModule):
    """A stage that learns one number and notes what it read."""

    accepted_levels = (Level.IMAGE,)

    def __init__(self, stop_after: int = 10**9) -> None:
        super().__init__()
        self.number = torch.nn.Parameter(torch.zeros(()))
        self.read: list[tuple[str, ...]] = []
        self.validated: list[str] = []
        self.stop_after = stop_after

    def tokenizers(self):
        return causal_tokenizers()

    def picture_side(self):
        return 8

    def region_sides(self):
        return None

    def training_step(self, batch: Batch) -> torch.Tensor:
        if len(self.read) == self.stop_after:
            raise KeyboardInterrupt
        self.read.append(tuple(row.key for row in batch.rows))
        return (self.number - batch.pixels_ICHW.float().mean()) ** 2

    def validation_step(self, batch: Batch, dataloader_idx: int = 0) -> None:
        self.validated += [row.key for row in batch.rows]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


class SaveEveryStep(lightning.Callback):
    def __init__(self, path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer, *_) -> None:
        trainer.save_checkpoint(self.path / f"{trainer.global_step}.ckpt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shards") / "set"
    numbered_shards(path, count=20)
    return str(path)


def data(folder: str, workers: int = 0, **options) -> DataModule:
    return DataModule(train={folder: 1.0}, samples_per_batch=3, image_size=8, workers=workers, **options)


def trainer(tmp_path, **options) -> lightning.Trainer:
    return lightning.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 3, **options},
    )


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):
    """What a run of 3 epochs of 7 batches reads, and its checkpoints after every step."""
    path = tmp_path_factory.mktemp("checkpoints")
    reader = Reader()
    trainer(path, callbacks=[SaveEveryStep(path)]).fit(reader, data(folder))
    assert len(reader.read) == 21
    return reader, path


@pytest.mark.parametrize("step", [1, 6, 7, 8, 14, 20])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_resumed_after_any_step_reads_what_an_undisturbed_one_reads(folder, undisturbed, tmp_path, step, workers):
    expected, path = undisturbed
    resumed = Reader()
    trainer(tmp_path).fit(resumed, data(folder, workers), ckpt_path=path / f"{step}.ckpt", weights_only=True)
    assert resumed.read == expected.read[step:]
    assert torch.equal(resumed.number, expected.number)


def test_a_resumed_run_of_shortened_epochs_goes_on_with_the_next_epoch(folder, tmp_path):
    expected, resumed = Reader(), Reader()
    shortened = {"limit_train_batches": 4}
    trainer(tmp_path, callbacks=[SaveEveryStep(tmp_path)], **shortened).fit(expected, data(folder))
    trainer(tmp_path, **shortened).fit(resumed, data(folder), ckpt_path=tmp_path / "4.ckpt", weights_only=True)
    assert resumed.read == expected.read[4:]
    assert len(expected.read) == 12


def test_every_epoch_reads_every_sample_once_in_another_order(undisturbed):
    reader, _ = undisturbed
    epochs = [[key for batch in reader.read[start : start + 7] for key in batch] for start in (0, 7, 14)]
    assert all(sorted(epoch) == sorted(epochs[0]) and len(set(epoch)) == 20 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_validation_is_the_same_exact_pass_each_time(folder, tmp_path):
    reader = Reader()
    options = {"validation": {"held_out": folder}, "evaluation_samples_per_batch": 8}
    trainer(tmp_path, max_epochs=2).fit(reader, data(folder, **options))
    once = [f"s{number:03d}:0" for number in range(20)]
    after_the_sanity_check = reader.validated[16:]
    assert after_the_sanity_check == once + once


def test_a_part_of_a_validation_set_is_the_same_part_each_time(folder):
    evaluated = data(folder, validation_samples=5)
    passes = [evaluated.evaluation_loader(folder, causal_tokenizers(), samples=5) for _ in range(2)]
    first, second = ([row.key for batch in one for row in batch.rows] for one in passes)
    assert first == second
    assert len(set(first)) == 5


def test_sets_are_mixed_by_weight_without_a_trainer(folder, tmp_path):
    numbered_shards(tmp_path / "other", count=8, prefix="t")
    mixed = DataModule(train={folder: 1.0, str(tmp_path / "other"): 1.0}, workers=0, image_size=8)
    read = [row.key[0] for batch in mixed.training_loader(causal_tokenizers()) for row in batch.rows]
    assert read.count("s") == read.count("t") == 14


def test_data_of_a_level_that_the_stage_does_not_train_is_refused(folder):
    with pytest.raises(ConfigurationError, match=r"set .*: found conversations of level image; expected level region"):
        data(folder).training_loader(causal_tokenizers(), [Level.REGION])


def test_levels_that_are_left_out_are_counted_once_at_the_start(tmp_path, caplog):
    both = [ask(("What?", "one")), ask(("Where?", "two"), level=Level.REGION)]
    write_shards(tmp_path / "set", [sample("a", both), sample("b", both[:1])])
    module = data(str(tmp_path / "set"))
    with caplog.at_level("INFO"):
        batches = list(module.training_loader(causal_tokenizers(), [Level.IMAGE]))
    assert {row.level for batch in batches for row in batch.rows} == {Level.IMAGE}
    assert "1 of 3 conversations are of a level that is left out" in caplog.text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"samples_per_batch": 0}, r"data\.samples_per_batch: found 0; expected 1 or more"),
        ({"validation_samples": -3}, r"data\.validation_samples: found -3; expected 1 or more"),
        ({"workers": -1}, r"data\.workers: found -1; expected 0 or more"),
        ({"box_jitter": 2.0}, r"data\.box_jitter: found 2\.0; expected a share from 0 to 1"),
    ],
    ids=str,
)
def test_counts_and_shares_that_cannot_be_are_refused(folder, options, told):
    with pytest.raises(ConfigurationError, match=told):
        DataModule(train={folder: 1.0}, **options)


def test_pictures_of_another_size_than_the_model_s_are_refused_before_they_are_read(folder, tmp_path):
    trainer = lightning.Trainer(max_steps=1, default_root_dir=tmp_path, logger=False, enable_checkpointing=False)
    other = DataModule(train={folder: 1.0}, image_size=9, workers=0)
    with pytest.raises(ConfigurationError, match=r"data\.image_size: found 9; expected 8, as the model's vision tower reads"):
        trainer.fit(Reader(), other)


def test_an_evaluation_of_nothing_is_refused_and_training_alone_is_not(folder):
    with pytest.raises(ConfigurationError, match=r"data\.validation: found no set; .*--data\.validation '\{"):
        data(folder).setup("validate")
    data(folder).setup("fit")


def test_a_folder_without_shards_is_told(tmp_path):
    with pytest.raises(BadShardError, match=r"no index\.json"):
        data(str(tmp_path)).training_loader(causal_tokenizers())


def test_the_command_line_builds_it_from_plain_types(folder, tmp_path):
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_class_arguments(DataModule, "data")
    parsed = parser.parse_object(
        {
            "data": {
                "train": {folder: 2},
                "validation": {"held_out": folder},
                "levels": ["image"],
                "prompt_style": {"turn": "{prompt}", "box_format": "percent"},
            }
        }
    )
    module = parser.instantiate_classes(parsed).data
    assert module.prompt_style.turn == "{prompt}"
    assert module.prompt_style.box_format == "percent"
    assert module.levels == [Level.IMAGE]
    assert module.names("validation") == ["held_out"]


def test_samples_that_lie_in_no_shards_make_the_same_batch_as_those_that_do(tmp_path):
    samples = [sample("a", [ask(("What is this?", "dog"))], tags=["leash"]), sample("b", [ask(("Where?", "left"))], images=2)]
    shards = write_shards(tmp_path / "set", samples)
    data = DataModule(image_size=28, samples_per_batch=2, workers=0)
    (delivered,) = data.evaluation_loader(str(tmp_path / "set"), causal_tokenizers())
    made = data.batch_of([raw.parse() for raw in shards], causal_tokenizers())
    assert made.rows == delivered.rows
    for name in ("pixels_ICHW", "ids_BT", "supervised_BT", "pair_image_N"):
        assert torch.equal(getattr(made, name), getattr(delivered, name)), name


@pytest.mark.parametrize(("draft", "decoded"), [(False, (40, 30)), (True, (20, 15))])
def test_pictures_are_decoded_small_where_a_draft_does(folder, monkeypatch, draft, decoded):
    sizes = decoded_sizes(monkeypatch)
    next(iter(data(folder, draft=draft).training_loader(causal_tokenizers())))
    next(iter(data(folder, draft=draft).evaluation_loader(folder, causal_tokenizers())))
    assert set(sizes) == {decoded}


def test_without_bytes_what_is_trained_on_leaves_the_workers_normalised_and_what_is_evaluated_on_does_not(folder):
    usual, floats = data(folder), data(folder, pixels_as_bytes=False)
    halved = Normalisation(half)
    for workers in (0, 1):
        floats.workers = workers
        loader = floats.training_loader(causal_tokenizers(), normalisation=halved)
        for sent, plain in zip(loader, usual.training_loader(causal_tokenizers(), normalisation=halved), strict=True):
            assert plain.pixels_ICHW.dtype == torch.uint8
            assert torch.equal(sent.pixels_ICHW, plain.pixels_ICHW / 2)
        loader.close()
    evaluated = next(iter(floats.evaluation_loader(folder, causal_tokenizers())))
    assert evaluated.pixels_ICHW.dtype == torch.uint8
    with pytest.raises(ConfigurationError, match=r"data\.pixels_as_bytes: found false, without a normalisation"):
        floats.training_loader(causal_tokenizers())


def half(pixels_CHW: torch.Tensor) -> torch.Tensor:
    return pixels_CHW / 2


@pytest.mark.parametrize("shared", [True, False])
def test_pictures_are_shared_in_training_evaluation_and_what_lies_in_no_shards_or_nowhere(tmp_path, shared):
    shards = write_shards(tmp_path / "set", [sample("a", [ask(("What is this?", "dog")), ask(("Where?", "left"))])])
    folder, tokenizers = str(tmp_path / "set"), causal_tokenizers()
    module = data(folder, shared_pictures=shared)
    (trained,), (evaluated,) = module.training_loader(tokenizers), module.evaluation_loader(folder, tokenizers)
    made = module.batch_of([raw.parse() for raw in shards], tokenizers)
    assert {len(batch.pixels_ICHW) for batch in (trained, evaluated, made)} == {1 if shared else 2}


def test_boxes_are_jittered_in_training_alone_their_tokens_and_their_text_alike(tmp_path):
    box = Box(0.2, 0.3, 0.6, 0.9)
    write_shards(tmp_path / "set", [sample("a", [ask(("What is <region:1>?", "dog"), level=Level.REGION)], boxes=[box])])
    style = PromptStyle(regions="both", max_prompt_tokens=64)
    folder, tokenizers = str(tmp_path / "set"), causal_tokenizers()
    jittered = DataModule(train={folder: 1.0}, image_size=8, workers=0, box_jitter=0.1, prompt_style=style)
    trained = next(iter(jittered.training_loader(tokenizers)))
    evaluated = next(iter(jittered.evaluation_loader(folder, tokenizers)))

    for batch in (trained, evaluated):
        read = tokenizers.language.decode(batch.ids_BT[0].clamp(min=0).tolist()).replace(" ", "")
        assert f"[{','.join(f'{corner:.3f}' for corner in batch.boxes_G4[0].tolist())}]" in read
    torch.testing.assert_close(evaluated.boxes_G4, torch.tensor([box.corners]))
    moved = (trained.boxes_G4 - evaluated.boxes_G4).abs()
    assert moved.max() > 1e-3 and moved.max() <= 0.1 * 0.6
