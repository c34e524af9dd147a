"""The seven kinds of dialogues: which pictures suit each, what the model is told, and what it has to keep to.

Six are PVIT's strategy b (small objects, relations, text, attributes, several of a kind, several turns), the last its strategy c
(general). The wordings are our own.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from data_pipelines.generate.facts import Facts, Thing

SMALL_AREA = 0.01  # share of the picture; COCO calls 32 x 32 pixels small, a third of that of its usual 640 x 480

RULES = """\
You write training dialogues for an assistant that looks at a picture while a person points at regions of it. You do not see
the picture: you are given facts about it, which people wrote down and which are true. Write as if both of you were looking at
the picture.

Rules for questions:
- Point at a region with its mark, such as <region:2>, copied exactly. Use only marks that are given.
- Where you point, do not also say what is there, unless the question needs it: "What is the animal in <region:2> doing?" is
  good, "What is the brown dog <region:2> doing?" gives the answer away.
- Ask only what the facts settle, or what follows from them and common knowledge without doubt.
- Vary how questions begin; do not start every one with "What".

Rules for answers:
- Whole sentences, in the words of someone who sees the picture. Be exact, and say why where a reason was asked for.
- No marks, no coordinates, no numbers of regions: say "the dog on the left" instead.
- Never mention the facts, captions, lists, boxes or regions, and never say that something is not known: ask another question.

Reply with one JSON object and nothing else: {"turns": [{"question": "...", "answer": "..."}]}"""


@dataclass(frozen=True)
class Kind:
    """A kind of dialogues.

    Args:
        name: also the task under which losses and scores are reported.
        told: what the model is told beyond the rules.
        focus: the things that at least one question has to point at, by index; none if the picture does not suit.
        turns: at least and at most.
        every_question_points: otherwise only the first has to, and later ones may refer back.
    """

    name: str
    told: str
    focus: Callable[[Facts], tuple[int, ...]]
    turns: tuple[int, int] = (1, 1)
    every_question_points: bool = True


def _small(facts: Facts) -> tuple[int, ...]:
    small = _where(facts, lambda thing: bool(thing.names) and thing.box.area <= SMALL_AREA)
    return small if facts.captions or len(facts.things) > 2 else ()


def _related(facts: Facts) -> tuple[int, ...]:
    ends = {end for relation in facts.relations for end in (relation.first, relation.second)}
    return tuple(sorted(ends)) if all(facts.things[end].names for end in ends) else ()


def _written(facts: Facts) -> tuple[int, ...]:
    return _where(facts, lambda thing: bool(thing.text))


def _with_attributes(facts: Facts) -> tuple[int, ...]:
    return _where(facts, lambda thing: bool(thing.names and thing.attributes))


def _most_frequent(facts: Facts) -> tuple[int, ...]:
    names = Counter(thing.names[0] for thing in facts.things if thing.names)
    name, count = names.most_common(1)[0] if names else ("", 0)
    return _where(facts, lambda thing: thing.names[:1] == (name,)) if count > 1 else ()


def _all_if_rich(facts: Facts) -> tuple[int, ...]:
    described = _where(facts, lambda thing: bool(thing.attributes or thing.phrases))
    rich = len(facts.captions) + len(facts.relations) + len(described) >= 3 and len(facts.things) >= 3
    return tuple(range(len(facts.things))) if rich else ()


def _all_with_captions(facts: Facts) -> tuple[int, ...]:
    return tuple(range(len(facts.things))) if facts.captions else ()


def _where(facts: Facts, suits: Callable[[Thing], bool]) -> tuple[int, ...]:
    return tuple(index for index, thing in enumerate(facts.things) if suits(thing))


SMALL_OBJECTS = Kind(
    "small_objects",
    "Write one question and its answer about something small: point at one of the smallest regions. The answer should need a "
    "close look at that region and at what surrounds it: what it is, what it is for here, who uses it, why it is there.",
    _small,
)
OBJECT_RELATIONS = Kind(
    "object_relations",
    "Write one question and its answer about how things are related: in space, in use, in contact, in what one does to another. "
    "Point at one region and ask what it has to do with another thing, or point at two and ask how they are related. Relations "
    "that are listed are certain; positions follow from the numbers.",
    _related,
)
TEXT_IN_PICTURE = Kind(
    "text_in_picture",
    "Write one question and its answer about writing: point at a region in which something is written. Ask what it says, or "
    "better what follows from it in this place: what is sold, who is meant, where this is, what one has to do. Quote the writing "
    "in the answer exactly as it is given.",
    _written,
)
ATTRIBUTES = Kind(
    "attributes",
    "Write one question and its answer about what something is like: colour, material, shape, pattern, state, size, age, mood. "
    "Point at a region whose properties are given, and ask for one of them, for a comparison, or for what follows from them.",
    _with_attributes,
)
SEVERAL_OF_A_KIND = Kind(
    "several_of_a_kind",
    "There are several things of one kind in the picture. Write one question and its answer that tells them apart: point at one "
    "of them, or at two to compare them, and ask what holds for that one and not for the others: where it stands among them, "
    "what it is next to, how large it looks. A person who looked at another of them would have to answer otherwise.",
    _most_frequent,
)
MULTI_TURN = Kind(
    "multi_turn",
    "Write a conversation of three or four questions, each with its answer. The first points at a region, asks for a fact and is "
    "answered in at most twenty words. Later ones build on what was said, may point at further regions or refer back with 'it' "
    "or 'she', and go from facts to reasons, purposes and consequences, with answers of up to a hundred words. One of them asks "
    "two things at once.",
    _all_if_rich,
    turns=(3, 4),
    every_question_points=False,
)
GENERAL = Kind(
    "general",
    "Write three questions, each with its answer, that could be asked independently of each other. Each points at one or more "
    "regions, and each asks for something else: what is there, where it is, what it looks like, what it does, what part it "
    "plays in the scene, how it relates to another region, why it may be there.",
    _all_with_captions,
    turns=(3, 3),
)

KINDS = {
    kind.name: kind
    for kind in (SMALL_OBJECTS, OBJECT_RELATIONS, TEXT_IN_PICTURE, ATTRIBUTES, SEVERAL_OF_A_KIND, MULTI_TURN, GENERAL)
}
