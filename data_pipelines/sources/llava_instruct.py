"""LLaVA-Instruct (Liu et al., 2023; https://github.com/haotian-liu/LLaVA/blob/main/docs/Data.md). Annotations CC BY-NC 4.0."""

from dataclasses import dataclass

from data_pipelines.sources.chat import ChatSource


@dataclass(frozen=True)
class LlavaInstruct(ChatSource):
    """Converse about a picture (`llava_instruct_150k.json`, `conversation_58k.json`, `detail_23k.json`, ...).

    Conversations with boxes written as text are left out: theirs are shares of a padded picture.

    Its arguments are those of `ChatSource`.
    """

    name = "llava_instruct"
    task = "instruction"
