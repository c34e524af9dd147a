"""DataModule: shard folders to batches, for Lightning or by hand."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch import LightningDataModule

from triscope.data.asking import Asking, BenchmarkSet
from triscope.data.batch import Batch
from triscope.data.collate import EncodedSample, collate
from triscope.data.errors import ConfigurationError
from triscope.data.loader import BatchSource, Loader, Selection, encode_sample
from triscope.data.prompts import PromptStyle, PromptWriter, Tokenizers
from triscope.data.remote import ShardCache, is_remote
from triscope.data.sample import Level, Sample
from triscope.data.shard_index import INDEX_FILE
from triscope.data.shards import ShardSet
from triscope.data.stream import SampleStream, Steps
from triscope.data.transforms import Normalisation, PictureTransform

Split = Literal["train", "validation", "test", "predict"]
logger = logging.getLogger(__name__)


class DataModule(LightningDataModule):
    """Streams batches from folders of shards.

    Tokenizers, accepted levels, the size of a region encoder's pictures, how pictures are normalised, and how a benchmark asks
    come from the stage (`tokenizers()`, `accepted_levels`, `picture_side()`, `region_sides()`, `normalisation()`, `asking()`):
    data is configured without a model.

    Args:
        train: folders of shards (or their addresses: `https://`, `s3://`, `gs://`, `hf://`), with the share of the samples
            that each gives.
        validation, test, predict: folders of shards by the name under which scores are reported; one exact pass each. With a
            benchmark beside the folder (`BenchmarkSet`), that one words the questions.
        skip_missing: leave out the sets of a benchmark whose shards are not there, and say which; else they are an error.
        controls: ask the questions of a test again under controls (`data.controls`). Each costs a pass over the set; without
            them, results do not say whether a score was learned.
        image_size: side of the square that pictures are squashed to, in pixels.
        samples_per_batch: samples of one rank's batch, with all their conversations.
        evaluation_samples_per_batch: the same in validation, test and predict; as in training if None.
        evaluation_rows: a batch of more conversations is read and answered in parts of so many there; all at once if None.
        conversations_per_image: at most so many conversations of a sample in training, drawn anew in every epoch.
        levels: train and evaluate on conversations of these levels only; those that the stage accepts if None.
        tasks: train and evaluate on these tasks only; all if None.
        prompt_style: how conversations become text.
        samples_per_epoch: length of a training epoch over all ranks; the sum of the sets' sizes if None.
        validation_samples: evaluate during training on so many samples of each set, the same each time; all if None.
        flip_probability: how often a training sample without regions, left and right is mirrored.
        box_jitter: in training, each corner of a box is moved by up to this share of the box's width or height. PVIT: 0.02.
        draft: read pictures faster, with slightly other pixels than PIL's; see `PictureTransform`.
        shared_pictures: decode, send and encode a picture once for all rows of its sample that show it; without, once for each
            of them, and then `share_prefix` of the model has nothing to share.
        pixels_as_bytes: in training, send pictures as bytes, which the model normalises on its device; without, the workers
            normalise them, and floating point numbers are sent.
        max_pixels: larger pictures are refused.
        window_shards: samples are shuffled among so many shards.
        bad_samples_allowed: unusable samples of a rank in one pass before the run stops.
        workers: processes that make batches, for each rank.
        cache_folder: where remote shards are kept.
        cache_gib: how much room they may take; what was longest not read goes first.
        seed: of the order, the mixture and the draws.

    Raises:
        ConfigurationError: a count or a share that cannot be.
    """

    def __init__(
        self,
        train: dict[str, float] | None = None,
        validation: dict[str, str | BenchmarkSet] | None = None,
        test: dict[str, str | BenchmarkSet] | None = None,
        predict: dict[str, str | BenchmarkSet] | None = None,
        skip_missing: bool = False,
        controls: bool = True,
        image_size: int = 224,
        samples_per_batch: int = 8,
        evaluation_samples_per_batch: int | None = None,
        evaluation_rows: int | None = None,
        conversations_per_image: int | None = None,
        levels: list[Literal["image", "region"]] | None = None,
        tasks: list[str] | None = None,
        prompt_style: PromptStyle = PromptStyle(),  # noqa: B008  (frozen)
        samples_per_epoch: int | None = None,
        validation_samples: int | None = None,
        flip_probability: float = 0.0,
        box_jitter: float = 0.0,
        draft: bool = True,
        shared_pictures: bool = True,
        pixels_as_bytes: bool = True,
        max_pixels: int = 64_000_000,
        window_shards: int = 16,
        bad_samples_allowed: int = 100,
        workers: int = 2,
        cache_folder: str = "~/.cache/triscope/shards",
        cache_gib: float = 100.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check_counts(
            1,
            image_size=image_size,
            samples_per_batch=samples_per_batch,
            evaluation_samples_per_batch=evaluation_samples_per_batch,
            evaluation_rows=evaluation_rows,
            conversations_per_image=conversations_per_image,
            samples_per_epoch=samples_per_epoch,
            validation_samples=validation_samples,
            max_pixels=max_pixels,
            window_shards=window_shards,
        )
        _check_counts(0, bad_samples_allowed=bad_samples_allowed, workers=workers)
        for name, share in (("flip_probability", flip_probability), ("box_jitter", box_jitter)):
            if not 0 <= share <= 1:
                raise ConfigurationError(f"data.{name}", str(share), "a share from 0 to 1", "correct it in the recipe")
        self.train = train or {}
        self.evaluated: dict[Split, dict[str, BenchmarkSet]] = {
            "validation": _as_sets(validation),
            "test": _as_sets(test),
            "predict": _as_sets(predict),
        }
        self.skip_missing = skip_missing
        self.controls = controls
        self.image_size = image_size
        self.samples_per_batch = samples_per_batch
        self.evaluation_samples_per_batch = evaluation_samples_per_batch or samples_per_batch
        self.evaluation_rows = evaluation_rows
        self.conversations_per_image = conversations_per_image
        self.levels = levels
        self.tasks = tasks
        self.prompt_style = prompt_style
        self.samples_per_epoch = samples_per_epoch
        self.validation_samples = validation_samples
        self.flip_probability = flip_probability
        self.box_jitter = box_jitter
        self.draft = draft
        self.shared_pictures = shared_pictures
        self.pixels_as_bytes = pixels_as_bytes
        self.max_pixels = max_pixels
        self.window_shards = window_shards
        self.bad_samples_allowed = bad_samples_allowed
        self.workers = workers
        self.cache = ShardCache(cache_folder, max_bytes=int(cache_gib * 2**30))
        self.seed = seed
        self._loaders: list[Loader] = []
        self._opened: dict[str, ShardSet] = {}
        self._train_loader: Loader | None = None
        self._train_state: dict[str, int] | None = None

    def names(self, split: Split) -> list[str]:
        """Names of the sets of a split, in the order of Lightning's `dataloader_idx`."""
        return list(self.train if split == "train" else self.evaluated[split])

    def shards(self, folder: str) -> ShardSet:
        """A set of shards, opened when it is first asked for."""
        if folder not in self._opened:
            self._opened[folder] = ShardSet.open(folder, self.cache)
        return self._opened[folder]

    def training_loader(
        self,
        tokenizers: Tokenizers,
        accepted_levels: Sequence[Level] | None = None,
        rank: int = 0,
        world_size: int = 1,
        region_sides: tuple[int, int] | None = None,
        normalisation: Normalisation | None = None,
    ) -> Loader:
        """Endless mixed batches of the training sets, resumable.

        Args:
            tokenizers: of the model.
            accepted_levels: of the stage; all if None.
            rank, world_size: this process, and how many read different samples.
            region_sides: shortest and longest side of the pictures that the model's region encoder reads; None for none.
            normalisation: of the model; needed without `pixels_as_bytes`, and not read with it.

        Raises:
            ConfigurationError: no training set, or one without a conversation of an accepted level; or no normalisation where
                one is needed.
        """
        if self.pixels_as_bytes:
            normalisation = Normalisation()
        elif normalisation is None:
            remedy = "give training_loader that of the model, or send bytes"
            raise ConfigurationError("data.pixels_as_bytes", "false, without a normalisation", "one", remedy)
        stream = SampleStream(
            {folder: self.shards(folder) for folder in self.train},
            self.train,
            self.seed,
            samples_per_epoch=self.samples_per_epoch,
            window_shards=self.window_shards,
        )
        source = BatchSource(
            stream,
            self._transform(region_sides, self.flip_probability, self.box_jitter, normalisation),
            PromptWriter(self.prompt_style, tokenizers),
            self._selection(list(self.train), accepted_levels, self.conversations_per_image),
            shared_pictures=self.shared_pictures,
        )
        steps = Steps(len(stream), self.samples_per_batch, rank, world_size)
        return Loader(source, steps, self.workers, self.bad_samples_allowed, repeats=True)

    def evaluation_loader(
        self,
        folder: str,
        tokenizers: Tokenizers,
        accepted_levels: Sequence[Level] | None = None,
        rank: int = 0,
        world_size: int = 1,
        region_sides: tuple[int, int] | None = None,
        samples: int | None = None,
        asking: Asking | None = None,
        with_others: bool = False,
    ) -> Loader:
        """One exact pass over a set, in order; or over the same `samples` of it each time.

        Args:
            folder: of the shards.
            tokenizers, accepted_levels, rank, world_size, region_sides: as in `training_loader`.
            samples: so many, drawn once; all if None.
            asking: of a benchmark; questions as they were converted if None.
            with_others: give every picture one of another sample beside it, for the shuffled control.

        Raises:
            ConfigurationError: the set has no conversation of an accepted level, or none of the benchmark's task.
        """
        shards = self.shards(folder)
        if asking is not None and asking.task not in shards.counts.tasks:
            found, expected = f"tasks {', '.join(sorted(shards.counts.tasks))}", f"{asking.task}, which the benchmark asks"
            raise ConfigurationError(f"data, set {folder}", found, expected, "name other shards, or another benchmark")
        subset = samples is not None and samples < len(shards)
        stream = SampleStream({folder: shards}, seed=self.seed, shuffle=subset, samples_per_epoch=samples if subset else None)
        source = BatchSource(
            stream,
            self._transform(region_sides),
            PromptWriter(self.prompt_style, tokenizers),
            self._selection([folder], accepted_levels, conversations_per_image=None, asking=asking),
            with_others,
            self.shared_pictures,
        )
        steps = Steps(len(stream), self.evaluation_samples_per_batch, rank, world_size)
        return Loader(source, steps, self.workers, self.bad_samples_allowed)

    def batch_of(
        self,
        samples: Sequence[tuple[Sample, Sequence[bytes]]],
        tokenizers: Tokenizers,
        region_sides: tuple[int, int] | None = None,
    ) -> Batch:
        """The batch of samples that lie in no shards, with all their conversations.

        Args:
            samples: each with its encoded pictures.
            tokenizers: of the model.
            region_sides: as in `training_loader`.

        Raises:
            BadSampleError: a sample is unusable.
        """
        transform, writer = self._transform(region_sides), PromptWriter(self.prompt_style, tokenizers)
        draws = np.random.default_rng(self.seed)
        encoded = list[EncodedSample]()
        for sample, contents in samples:
            numbers = range(len(sample.conversations))
            encoded += encode_sample(sample, contents, numbers, transform, writer, draws, sample.key, self.shared_pictures)
        return collate(encoded, self.image_size)

    def setup(self, stage: str) -> None:
        """For Lightning, before it builds a model: look for the shards of the benchmarks.

        Raises:
            ConfigurationError: there is no set to evaluate on, or some are not there; the command that makes each is named.
        """
        split: Split = _SPLIT_OF.get(stage, "validation")
        sets = self.evaluated[split]
        if not sets and stage != "fit":
            remedy = f'name one, such as --data.{split} \'{{"mine": "data/mine"}}\''
            raise ConfigurationError(f"data.{split}", "no set", "sets of shards by name", remedy)
        askings = {name: asking for name, each in sets.items() if (asking := self._asking(each)) is not None}
        missing = {name: asking.command(sets[name]) for name, asking in askings.items() if not _is_there(sets[name].shards)}
        if not missing:
            return
        if not self.skip_missing or len(missing) == len(sets):
            raise ConfigurationError(
                f"data.{split}",
                f"no shards for {', '.join(missing)}",
                f"an {INDEX_FILE} in the folder of each",
                "make them, with the paths of your files:\n  " + "\n  ".join(dict.fromkeys(missing.values())) + "\n"
                "or leave those out with --data.skip_missing true, which needs one set that is there",
            )
        self.evaluated[split] = {name: each for name, each in sets.items() if name not in missing}
        if self.trainer is None or self.trainer.is_global_zero:
            print(f"Left out, as their shards are not there: {', '.join(missing)}")

    def train_dataloader(self) -> Loader:
        """For Lightning."""
        told = self._of_the_trainer()
        stage: Any = self.trainer.lightning_module  # type: ignore[union-attr]  # there is a trainer
        normalisation = None if self.pixels_as_bytes else stage.normalisation()
        self._train_loader = self.training_loader(**told, normalisation=normalisation)
        if self._train_state is not None:
            self._train_loader.load_state_dict(self._train_state)
        self._loaders.append(self._train_loader)
        return self._train_loader

    def val_dataloader(self) -> list[Loader]:
        """For Lightning."""
        return self._evaluation_loaders("validation", self.validation_samples)

    def test_dataloader(self) -> list[Loader]:
        """For Lightning."""
        return self._evaluation_loaders("test")

    def predict_dataloader(self) -> list[Loader]:
        """For Lightning."""
        return self._evaluation_loaders("predict")

    def teardown(self, stage: str) -> None:
        """For Lightning: stop the workers."""
        while self._loaders:
            self._loaders.pop().close()

    def state_dict(self) -> dict[str, Any]:
        """For Lightning: how far training has come."""
        return {} if self._train_loader is None else {"train": self._train_loader.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """For Lightning, which needs the length of a resumed epoch before it restores the loader itself."""
        self._train_state = state_dict.get("train")

    def _evaluation_loaders(self, split: Split, samples: int | None = None) -> list[Loader]:
        told, with_others = self._of_the_trainer(), split == "test" and self.controls
        loaders = [
            self.evaluation_loader(each.shards, **told, samples=samples, asking=self._asking(each), with_others=with_others)
            for each in self.evaluated[split].values()
        ]
        self._loaders += loaders
        return loaders

    def _asking(self, asked: BenchmarkSet) -> Asking | None:
        """How a set's benchmark asks, which the stage knows; None without a benchmark."""
        if asked.benchmark is None:
            return None
        assert self.trainer is not None, "benchmarks are run by a trainer"
        stage: Any = self.trainer.lightning_module
        return stage.asking(asked.benchmark)

    def _of_the_trainer(self) -> dict[str, Any]:
        """What the stage and the strategy say. Ranks that hold parts of one model count as one reader."""
        assert self.trainer is not None, "use training_loader() or evaluation_loader() without a trainer"
        stage: Any = self.trainer.lightning_module
        if stage.picture_side() not in (None, self.image_size):
            expected = f"{stage.picture_side()}, as the model's vision tower reads"
            raise ConfigurationError("data.image_size", str(self.image_size), expected, "give both the same size")
        readers = self.trainer.distributed_sampler_kwargs or {"rank": 0, "num_replicas": 1}
        return {
            "tokenizers": stage.tokenizers(),
            "accepted_levels": stage.accepted_levels,
            "rank": readers["rank"],
            "world_size": readers["num_replicas"],
            "region_sides": stage.region_sides(),
        }

    def _transform(
        self,
        region_sides: tuple[int, int] | None,
        flip_probability: float = 0.0,
        box_jitter: float = 0.0,
        normalisation: Normalisation = Normalisation(),  # noqa: B008  (a tuple)
    ) -> PictureTransform:
        if self.prompt_style.regions == "text":
            region_sides = None  # nothing is read off them
        return PictureTransform(
            self.image_size, self.draft, flip_probability, self.max_pixels, box_jitter, region_sides, normalisation
        )

    def _selection(
        self,
        folders: list[str],
        accepted_levels: Sequence[Level] | None,
        conversations_per_image: int | None,
        asking: Asking | None = None,
    ) -> Selection:
        """Which conversations are asked; refuses sets that have none of them and tells what is left out."""
        accepted = tuple(Level) if accepted_levels is None else tuple(accepted_levels)
        levels = tuple(level for level in accepted if self.levels is None or level in self.levels)
        for folder in folders:
            found = self.shards(folder).counts.levels
            used, total = sum(found[level] for level in levels), sum(found.values())
            if used == 0:
                raise ConfigurationError(
                    f"data, set {folder}",
                    f"conversations of level {', '.join(sorted(found))}",
                    f"level {', '.join(levels) or 'none: data.levels and the stage have none in common'}",
                    "give the stage data of a level that it trains, or use another stage",
                )
            if used < total:
                logger.info("%s: %d of %d conversations are of a level that is left out", folder, total - used, total)
        tasks = self.tasks if asking is None else [asking.task]
        return Selection(levels, None if tasks is None else tuple(tasks), conversations_per_image, asking)


_SPLIT_OF: dict[str, Split] = {"fit": "validation", "validate": "validation", "test": "test", "predict": "predict"}


def _check_counts(least: int, **counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < least:
            raise ConfigurationError(f"data.{name}", str(count), f"{least} or more", "correct it in the recipe")


def _as_sets(folders: dict[str, str | BenchmarkSet] | None) -> dict[str, BenchmarkSet]:
    """Sets by name; a bare folder has no benchmark."""
    return {name: BenchmarkSet(each) if isinstance(each, str) else each for name, each in (folders or {}).items()}


def _is_there(folder: str) -> bool:
    """Whether a folder has shards; a remote one is asked when it is opened."""
    return is_remote(folder) or (Path(folder) / INDEX_FILE).is_file()
