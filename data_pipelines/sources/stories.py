"""Stories told by pictures, a sentence a picture: what VIST and AESOP have in common."""

from collections.abc import Sequence

from data_pipelines.sources.source import Draft, clean
from triscope.data.sample import Level, Turn


def add_story(draft: Draft, sentences: Sequence[str], record: str) -> None:
    """Ask for the whole story, and for its last sentence with the others given beside their pictures.

    Args:
        draft: of the sample, with as many pictures as there are sentences.
        sentences: in the order of the pictures.
        record: for the report.
    """
    sentences = [clean(sentence) for sentence in sentences]
    if len(sentences) != len(draft.sizes) or not all(sentences):
        draft.fault("story_incomplete", f"{record}: {len(draft.sizes)} pictures, sentences {sentences}")
        return
    draft.talk("story", Level.IMAGE, [Turn(draft.word("story_of_pictures"), (" ".join(sentences),))])
    *told, last = sentences
    story = " ".join([f"<image:{number}> {sentence}" for number, sentence in enumerate(told, start=1)])
    prompt = draft.word("end_of_story", story=f"{story} <image:{len(sentences)}>")
    draft.talk("story_end", Level.IMAGE, [Turn(prompt, (last,))])
