"""A published instruction and its answer, about any number of pictures, made into a conversation of one turn."""

from collections.abc import Iterable

from data_pipelines.sources.source import Draft
from triscope.data.errors import BadSampleError
from triscope.data.image_markers import number_images
from triscope.data.sample import Level, Turn


def add_instruction(draft: Draft, task: str, prompt: str, answer: str, record: str, candidates: Iterable[str] = ()) -> None:
    """Add an instruction to a draft, or count why it cannot be used.

    Args:
        draft: of the sample.
        task: of the conversation.
        prompt, answer: as published, with public marks of the images or without.
        record: for the report.
        candidates: the closed list of answers, if there is one.
    """
    if not prompt.strip() or not answer.strip():
        draft.fault("turn_empty", record)
        return
    try:
        prompt, answer = number_images([prompt, answer], len(draft.sizes), f"{draft.key}, {record}")
    except BadSampleError as error:
        draft.fault("image_marks_unequal", str(error))
        return
    draft.talk(task, Level.IMAGE, [Turn(prompt.strip(), (answer.strip(),), tuple(candidates))])
