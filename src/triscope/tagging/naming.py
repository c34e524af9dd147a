"""Tags from a model's own naming: what its image tokens say that the picture shows.

pixels_ICHW --vision, bridge--> tokens_IQD --output embeddings of the language model--> the likeliest cell for each name
"""

from collections.abc import Callable

import torch
from torch import Tensor

from triscope.checkpoints.tensor_files import TensorSource
from triscope.components.bridge import Bridge
from triscope.components.language import LanguageModel
from triscope.components.naming import said_words
from triscope.components.vision import VisionEncoder
from triscope.data.errors import ConfigurationError
from triscope.tagging.tagger import Tagger
from triscope.tagging.vocabulary import Vocabulary

WORDS, BRIDGE = "words_VD", "bridge."  # names in the file of weights


class NamingTagger(Tagger):
    """Reads tags off a bridge that `NamingStage` has taught to name what stands where (`triscope export RUN --to tagger`).

    A score is the likelihood of a name's words, their geometric mean, in the cell of the picture where it is highest. Most of
    what a cell says is size, colour and place, so scores are low, and thresholds are found on tagged pictures
    (`python -m data_pipelines calibrate`). This tagger is ours; no paper has it.

    Args:
        vision: builds the vision encoder.
        bridge: builds the bridge, called with the width of the vision encoder, that of the language model, and the patches an
            image. Its tokens must not depend on a question.
        weights: the bridge's, and the language model's output embeddings.
        tokenizer: the language model's, a folder.
        names: file of names, one a line, any that the language model can spell.
        thresholds: file with the threshold of each name on the same line; None before calibration.

    Raises:
        ConfigurationError: the weights are cut off or of another bridge, the bridge reads a question, or lists that do not fit.
    """

    words_VD: Tensor

    def __init__(
        self,
        vision: Callable[[], VisionEncoder],
        bridge: Callable[[int, int, int], Bridge],
        weights: str,
        tokenizer: str,
        names: str,
        thresholds: str | None = None,
    ) -> None:
        encoder, source = vision(), TensorSource.open(weights)
        super().__init__(Vocabulary.read(names, thresholds), encoder.image_size, encoder.mean, encoder.std)
        if WORDS not in source.layout:
            found = f"{len(source.layout)} tensors, without {WORDS}"
            raise ConfigurationError(f"weights {weights}", found, "a bridge and the words it says", "export a run to a tagger")
        self.register_buffer(WORDS, source.read(WORDS).float())
        self.vision = encoder
        self.bridge = bridge(encoder.width, self.words_VD.shape[1], encoder.patches)
        if self.bridge.question_aware:
            found = type(self.bridge).__name__
            raise ConfigurationError("tagger, bridge", found, "one that reads no question", "export the aggregator's naming")
        state = {name.removeprefix(BRIDGE): source.read(name) for name in source.layout if name.startswith(BRIDGE)}
        try:
            self.bridge.load_state_dict(state)
        except RuntimeError as error:
            problem = f"{len(state)} tensors that do not fit ({' '.join(str(error).split())[:300]})"
            remedy = "name the bridge of these weights"
            raise ConfigurationError(f"weights {weights}", problem, f"a {type(self.bridge).__name__}", remedy) from None
        encode = LanguageModel.load_tokenizer(tokenizer).encode
        self._words = [encode(f" {name}", add_special_tokens=False) for name in self.vocabulary.names]

    def probabilities(self, pixels_ICHW: Tensor) -> Tensor:
        """The likelihood of each name in its best cell."""
        features_LIPV = [features_IPV.float() for features_IPV in self.vision(pixels_ICHW)]
        image_I = torch.arange(len(pixels_ICHW), device=pixels_ICHW.device)
        nothing_IS = image_I.new_zeros(len(image_I), 0)
        tokens_IQD = self.bridge(features_LIPV, image_I, image_I, nothing_IS, nothing_IS.bool())
        return torch.stack([self._names_in(tokens_QD) for tokens_QD in tokens_IQD])

    def _names_in(self, tokens_QD: Tensor) -> Tensor:
        """Of one picture (K,): a word for each cell and word of the vocabulary is much to hold for many at once."""
        likelihoods_QV = said_words(tokens_QD[None], self.words_VD)[0].log_softmax(-1)
        return torch.stack([likelihoods_QV[:, ids].mean(-1).max() for ids in self._words]).exp()
