"""What a run of `NamingStage` has learned, as a tagger's folder: `triscope export RUN --to tagger`.

FOLDER/tagger.yaml          a `NamingTagger`; paths that begin with ./ lie in the folder
       tagger.safetensors   the aggregator, and the words it says
       tokenizer/           the language model's
       names.txt            of the things in the pictures that the run trained on
       thresholds.txt       not yet: `python -m data_pipelines calibrate` writes it
"""

from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from triscope.checkpoints.relative_paths import HERE
from triscope.checkpoints.run import Run
from triscope.checkpoints.tensor_files import write_safetensors
from triscope.data.errors import ConfigurationError
from triscope.data.shards import ShardSet
from triscope.model import VisualLanguageModel
from triscope.stages import NamingStage
from triscope.tagging.naming import BRIDGE, WORDS, NamingTagger
from triscope.tagging.tagger import TAGGER_FILE

WEIGHTS_FILE = "tagger.safetensors"
NAMES_FILE = "names.txt"
THRESHOLDS_FILE = "thresholds.txt"
_TOKENIZER = "tokenizer"
_AGGREGATOR = "aggregator"  # the bridge whose tokens tell what is in a picture, whatever is asked


def write_naming_tagger(run: Run, model: VisualLanguageModel, folder: Path, dtype: torch.dtype) -> int:
    """Write the tagger.

    Args:
        run: of `NamingStage`.
        model: the run's.
        folder: written to.
        dtype: of the bridge; words stay as they are.

    Returns:
        How many names it may give.

    Raises:
        ConfigurationError: the run is of another stage, or has no aggregator.
        BadShardError: what it trained on is gone.
    """
    stage, trained = run.stage.rpartition(".")[2], sorted({VisualLanguageModel.part_of(name) for name in run.trained})
    if stage != NamingStage.__name__ or _AGGREGATOR not in trained:
        expected = f"{NamingStage.__name__}, which trained an {_AGGREGATOR}"
        remedy = "train one, as docs/data.md shows under Tags"
        raise ConfigurationError(f"run {run.folder}", f"{stage}, which trained {trained}", expected, remedy)
    bridge = model.bridges[_AGGREGATOR].state_dict()
    state = {BRIDGE + key: tensor.to(dtype).contiguous() for key, tensor in bridge.items()}
    words_VD = model.language.model.get_output_embeddings().weight.detach().contiguous()
    tensors = state | {WORDS: words_VD}
    write_safetensors(folder / WEIGHTS_FILE, tensors, tensors.items())
    model.language.tokenizer.save_pretrained(folder / _TOKENIZER)
    names = names_trained_on(run)
    (folder / NAMES_FILE).write_text("".join(f"{each}\n" for each in names))
    parts = run.model_configuration()["init_args"]
    parts["vision"]["init_args"]["cache_folder"] = None  # pictures are new
    files = {"weights": WEIGHTS_FILE, "tokenizer": _TOKENIZER, "names": NAMES_FILE, "thresholds": THRESHOLDS_FILE}
    arguments = {"vision": parts["vision"], "bridge": parts["bridges"][_AGGREGATOR]}
    arguments |= {argument: HERE + file for argument, file in files.items()}
    written = {"class_path": f"{NamingTagger.__module__}.{NamingTagger.__qualname__}", "init_args": arguments}
    (folder / TAGGER_FILE).write_text(yaml.safe_dump(written, sort_keys=False))
    return len(names)


def read_naming_tagger(run: Run, folder: Path) -> dict[str, Tensor]:
    """The tensors of the tagger's bridge, by their names in the run's model."""
    prefix = f"bridges.{_AGGREGATOR}."
    tensors = load_file(folder / WEIGHTS_FILE)
    return {prefix + key.removeprefix(BRIDGE): tensor for key, tensor in tensors.items() if key.startswith(BRIDGE)}


def names_trained_on(run: Run) -> list[str]:
    """Names of all things in the pictures that a run trained on, in alphabetical order."""
    names = set[str]()
    for folder in run.config["data"]["train"]:
        shards = ShardSet.open(folder)
        for number in range(len(shards.shards)):
            for raw in shards.read(number):
                sample, _ = raw.parse()
                names |= {thing["name"] for thing in (sample.extra or {}).get("objects", ())}
    return sorted(names)
