"""How a model writes its answers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GenerationOptions:
    """How answers are written in validation, test and prediction.

    Args:
        max_new_tokens: at most this many tokens an answer.
        beams: beam search width; 1 is greedy. LION: 5.
        repetition_penalty: LION: 1.5 for captions; it punishes the repeated digits of boxes too.
        length_penalty: exponent of the length in beam search.
    """

    max_new_tokens: int = 32
    beams: int = 1
    repetition_penalty: float = 1.0
    length_penalty: float = 1.0
