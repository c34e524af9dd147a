"""The benchmarks: how each is asked, answered and read, under a name and a version that stand in every result.

    Turn of a shard --wording--> prompt --generation, or ranking of the candidates--> answer --post-processing--> what is scored

What the papers say is taken from them: decoding of LION's image level from its public code and that of its parent, SAM's from
its code, PVIT's from its client. Else the choice is ours; `decided_by` tells which it is. Wordings are our own.
A change to a benchmark gives it a new version, and results of two versions are not compared.
"""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from triscope.data.asking import Asking
from triscope.data.errors import ConfigurationError
from triscope.evaluation.generation import GenerationOptions

RANKED = "candidates ranked by the sum of their log-likelihoods"


def as_written(text: str) -> str:
    """The answer itself."""
    return text


def short_answer(text: str) -> str:
    """Lower case, without a final full stop: for sets whose answers are compared letter by letter (GQA, A-OKVQA)."""
    return text.strip().rstrip(".").strip().lower()


def first_line(text: str) -> str:
    """What stands before the first line end: a model that goes on has begun something else."""
    return re.split(r"[\r\n]", text.strip(), maxsplit=1)[0].strip()


@dataclass(frozen=True)
class Benchmark:
    """How a set is asked, answered and read.

    Args:
        name: by which data files ask for it.
        asking: which conversations, in which words.
        generation: how answers are written; None where the candidates are ranked by their likelihood instead.
        decided_by: where the decoding comes from.
        post_processing: makes of what was written what is scored, and sent in.
        version: of all this.
    """

    name: str
    asking: Asking
    generation: GenerationOptions | None
    decided_by: str
    post_processing: Callable[[str], str] = as_written
    version: int = 1

    @property
    def label(self) -> str:
        """Name and version, as every prediction carries them."""
        return f"{self.name} {self.version}"

    @property
    def decoding(self) -> dict[str, Any] | str:
        """How answers come about, as JSON."""
        return RANKED if self.generation is None else asdict(self.generation)

    def described(self) -> dict[str, Any]:
        """Everything that a reader of a result has to know, as JSON."""
        return {
            "name": self.name,
            "version": self.version,
            "task": self.asking.task,
            "scored_as": self.asking.scored_as or self.asking.task,
            "wording": self.asking.wording,
            "decoding": self.decoding,
            "decided_by": self.decided_by,
            "post_processing": self.post_processing.__name__,
        }


def benchmark(name: str) -> Benchmark:
    """The benchmark of a name.

    Raises:
        ConfigurationError: there is none.
    """
    found = next((each for each in BENCHMARKS if each.name == name), None)
    if found is None:
        known = ", ".join(each.name for each in BENCHMARKS)
        raise ConfigurationError("data, benchmark of a set", repr(name), f"one of {known}", "correct the name")
    return found


# Decoding -------------------------------------------------------------------------------------------------------------

LION_CODE = "LION, public code: defaults of `generate`"
LION_TEXT = GenerationOptions(max_new_tokens=256, beams=5, repetition_penalty=1.5, length_penalty=1.0)
LION_PARENT = "LION's parent, LAVIS: defaults of `predict_answers`"
SHORT = GenerationOptions(max_new_tokens=10, beams=5, repetition_penalty=1.5, length_penalty=-1.0)
BOXES = "LION, public code, without its penalty, which punishes the repeated digits of boxes"
BOX = GenerationOptions(max_new_tokens=64, beams=5, repetition_penalty=1.0, length_penalty=1.0)
LION_RANKS = "LION's parent, LAVIS: ranked by summed log-likelihood, which LION's T5 was changed to give"
PVIT_CLIENT = "PVIT, public client: greedy, 32 tokens"
PVIT_SHORT = GenerationOptions(max_new_tokens=32)
PVIT_SERVER = "PVIT, public server: greedy, 256 tokens; the client's 32 cut answers off"
PVIT_TEXT = GenerationOptions(max_new_tokens=256)
SAM_CODE = "SAM, public code"
SAM_TEXT = GenerationOptions(max_new_tokens=256, beams=5, repetition_penalty=1.5, length_penalty=1.0)
OURS = "ours; no paper of the three says"

# Wordings -------------------------------------------------------------------------------------------------------------

CAPTION = "Describe the image in a single short sentence."
ANSWER = "{content} Answer with a word or two."
YES_NO = "{content} Answer yes or no."
CHOICE = "{content} Choose from: {choices}."
STATEMENT = 'Is this true of the image? "{content}" Answer yes or no.'
STATEMENT_OF_IMAGES = 'Is this true of the images? "{content}" Answer yes or no.'
POINT = "Give the box of {content}."


def _captions(name: str, made_by: str) -> Benchmark:
    return Benchmark(name, Asking("caption", CAPTION, made_by=made_by), LION_TEXT, LION_CODE, first_line)


def _refcoco(name: str, made_by: str) -> Benchmark:
    return Benchmark(name, Asking("pointing", POINT, made_by=made_by), BOX, BOXES)


def _of_pictures(name: str, task: str) -> Benchmark:
    files = f"--annotations sam/{name}/annotations.json --images sam/{name}"
    return Benchmark(f"sam_{name.lower()}", Asking(task, made_by=f"sam_test {files} --task {task}"), SAM_TEXT, SAM_CODE)


BENCHMARKS: tuple[Benchmark, ...] = (
    # Captions
    _captions("flickr30k", "flickr30k_captions --annotations dataset_flickr30k.json --images flickr30k-images --split {split}"),
    _captions("coco", "coco_karpathy --annotations dataset_coco.json --images coco --split {split}"),
    _captions("nocaps", "nocaps --annotations nocaps_{split}_4500_captions.json --images nocaps"),
    _captions("textcaps", "textcaps --annotations TextCaps_0.1_{split}.json --images train_images"),
    # Questions
    Benchmark(
        "vqa_v2",
        Asking(
            "question",
            ANSWER,
            made_by="vqa_v2 --questions v2_OpenEnded_mscoco_{split}2014_questions.json "
            "--annotations v2_mscoco_{split}2014_annotations.json --images {split}2014",
        ),
        SHORT,
        LION_PARENT,
    ),
    Benchmark(
        "ok_vqa",
        Asking(
            "question",
            ANSWER,
            made_by="ok_vqa --questions OpenEnded_mscoco_{split}2014_questions.json "
            "--annotations mscoco_{split}2014_annotations.json --images {split}2014",
        ),
        SHORT,
        LION_PARENT,
    ),
    Benchmark(
        "a_okvqa_direct",
        Asking("direct_answer", ANSWER, made_by="a_okvqa --annotations aokvqa_v1p0_{split}.json --images {split}2017"),
        SHORT,
        LION_PARENT,
        short_answer,
    ),
    Benchmark(
        "a_okvqa_choice",
        Asking("choice", CHOICE, made_by="a_okvqa --annotations aokvqa_v1p0_{split}.json --images {split}2017"),
        None,
        LION_RANKS,
    ),
    Benchmark(
        "gqa",
        Asking("exact_question", ANSWER, made_by="gqa_questions --questions {split}_balanced_questions.json --images gqa"),
        SHORT,
        LION_PARENT,
        short_answer,
    ),
    Benchmark(
        "vsr",
        Asking("statement", STATEMENT, made_by="vsr --annotations zeroshot/{split}.jsonl --images coco2017"),
        None,
        LION_RANKS,
    ),
    Benchmark("icon_qa", Asking("choice", CHOICE, made_by="icon_qa --questions iconqa/{split}/choose_txt"), None, LION_RANKS),
    Benchmark(
        "visdial",
        Asking(
            "dialogue",
            made_by="visdial --annotations visdial_1.0_{split}.json --images VisualDialog_{split}2018 "
            "--relevance visdial_1.0_{split}_dense_annotations.json",
        ),
        None,
        LION_RANKS,
    ),
    Benchmark(
        "science_qa",
        Asking("choice", CHOICE, made_by="science_qa --annotations problems.json --images images --split {split}"),
        None,
        OURS,
    ),
    # Hallucination and general
    Benchmark(
        "pope",
        Asking("presence", YES_NO, made_by="pope --annotations coco_pope_{split}.json --images val2014"),
        SHORT,
        LION_PARENT,
    ),
    Benchmark(
        "mmbench", Asking("circular_choice", CHOICE, made_by="mmbench --annotations mmbench_{split}.tsv"), None, LION_RANKS
    ),
    Benchmark("mme", Asking("yes_no_pair", made_by="mme --folder MME_Benchmark"), SHORT, OURS),
    # Pointing and describing
    _refcoco("refcoco", "refcoco --refs 'refs(unc).p' --instances instances.json --images train2014 --split {split}"),
    _refcoco("refcoco_plus", "refcoco_plus --refs 'refs(unc).p' --instances instances.json --images train2014 --split {split}"),
    _refcoco("refcocog", "refcocog --refs 'refs(umd).p' --instances instances.json --images train2014 --split {split}"),
    Benchmark(
        "refcocog_description",
        Asking(
            "reference",
            "Give a phrase that fits only what is at {content}.",
            scored_as="description",
            made_by="refcocog --refs 'refs(umd).p' --instances instances.json --images train2014 --split {split}",
        ),
        LION_TEXT,
        LION_CODE,
        first_line,
    ),
    Benchmark(
        "visual_genome_description",
        Asking(
            "description",
            "Write a phrase for {content}.",
            made_by="visual_genome_regions --annotations region_descriptions_{split}.json --images VG_100K VG_100K_2",
        ),
        LION_TEXT,
        LION_CODE,
        first_line,
    ),
    # Regions
    Benchmark(
        "coco_recognition",
        Asking(
            "object_name",
            "What is the object in {content}?",
            made_by="coco_recognition --annotations instances_{split}2017.json --images {split}2017",
        ),
        PVIT_SHORT,
        PVIT_CLIENT,
    ),
    Benchmark(
        "gqa_regions",
        Asking(
            "region_question",
            made_by="gqa --questions {split}_balanced_questions.json --scene_graphs {split}_sceneGraphs.json "
            "--images gqa --turns 1",
        ),
        PVIT_SHORT,
        PVIT_CLIENT,
        short_answer,
    ),
    Benchmark(
        "fine_eval",
        Asking("fine_eval", made_by="fine_eval --annotations instructions.jsonl --images images"),
        PVIT_TEXT,
        PVIT_SERVER,
    ),
    # Several images
    _of_pictures("AESOP", "story_end"),
    _of_pictures("VIST", "story_end"),
    _of_pictures("DM800K", "story_end"),
    _of_pictures("Conceptual", "group_caption"),
    _of_pictures("Animal", "group_caption"),
    _of_pictures("Vehicle", "group_caption"),
    Benchmark(
        "nlvr", Asking("statement", STATEMENT_OF_IMAGES, made_by="nlvr --annotations {split}.json --images images"), None, OURS
    ),
    Benchmark(
        "nlvr2", Asking("statement", STATEMENT_OF_IMAGES, made_by="nlvr2 --annotations {split}.json --images {split}"), None, OURS
    ),
)
