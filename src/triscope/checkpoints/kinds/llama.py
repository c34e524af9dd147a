"""A LLaMA as LLaVA's and PVIT's authors store it: marks behind its vocabulary; whole, or as a difference to a base.

The authors put marks around pictures and regions into the vocabulary, as its last rows. Here these vectors belong to the parts
whose tokens they enclose, and the language model keeps the vocabulary of its base.
"""

from pathlib import Path

from torch import Tensor

from triscope.checkpoints.key_map import LeftOut, Rule, Transform
from triscope.checkpoints.kinds.kind import BASE, Given, write_language_folder
from triscope.data.errors import ConfigurationError

TABLE = "model.embed_tokens.weight"
FREQUENCIES = LeftOut("*rotary_emb.inv_freq", "follows from the configuration")
TURN = "USER: {prompt} ASSISTANT:"
OPENING = (  # Vicuna's
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite "
    "answers to the user's questions. "
)
_HEAD, _NORM, _LAYERS = "lm_head.weight", "model.norm.weight", "model.layers.#.*"
_OURS = "language.model."
_LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
_LARGEST_DIFFERENCE = 0.5  # of the base's length: what was tuned lies nearer to where it began


def language_rules(marks: int, over_base: bool) -> tuple[Rule, ...]:
    """All of the language model.

    Args:
        marks: rows of the vocabulary behind its words.
        over_base: whether it is stored as a difference.
    """

    def words(table_WD: Tensor) -> Tensor:
        return table_WD[: len(table_WD) - marks]

    def words_over_base(difference_WD: Tensor, base_WD: Tensor) -> Tensor:
        return sum_of(words(difference_WD), base_WD)

    made: dict[str, Transform | None] = {
        **{name: words_over_base if over_base else words for name in (TABLE, _HEAD)},
        _LAYERS: sum_of if over_base else None,
        _NORM: sum_of if over_base else no_difference,
    }
    return tuple(Rule((name, BASE + name) if over_base else name, _OURS + name, transform) for name, transform in made.items())


def row(number: int) -> Transform:
    """The vector of a mark, counted from the end of the vocabulary."""

    def take(table_WD: Tensor) -> Tensor:
        return table_WD[number]

    return take


def sum_of(difference: Tensor, base: Tensor) -> Tensor:
    """What a difference was taken of, rounded once.

    Raises:
        ConfigurationError: the "difference" is as large as the base, so that it is none, or none to this base.
    """
    if difference.shape != base.shape:
        raise RuntimeError(f"a difference of shape {tuple(difference.shape)} to a base of {tuple(base.shape)}")
    if not base.is_meta and difference.float().norm() > _LARGEST_DIFFERENCE * base.float().norm():
        found = f"a difference of length {difference.float().norm():.3g} to a base of {base.float().norm():.3g}"
        remedy = "give the base that the difference was made for; a merged model needs no --base"
        raise ConfigurationError("--base", found, f"at most {_LARGEST_DIFFERENCE:g} of it", remedy)
    return (difference.float() + base.float()).to(difference.dtype)


def no_difference(norm_D: Tensor) -> Tensor:
    """The last norm's gains, which are about 1 in a whole model.

    Raises:
        ConfigurationError: they are about 0, as in a difference between two models.
    """
    if not norm_D.is_meta and norm_D.float().mean().abs() < 0.1:
        found = f"gains of the last norm of {norm_D.float().mean():.2g}: a difference to a base"
        raise ConfigurationError("PATH", found, "a merged model, or its base beside it", "name the base: --base LLAMA-7B-FOLDER")
    return norm_D


def write_llama_folder(given: Given, marks: int, out: Path) -> None:
    """The Hugging Face folder of the language model without the marks, but for its weights."""
    write_language_folder({**given.config, **_LLAMA, "vocab_size": given.config["vocab_size"] - marks}, given.path, out)
