"""Prompts: the conversations of a sample as rows of token ids. Tokenizers are handed in; nothing is loaded here.

    causal    [bos] images, According to <soft prompt> ... tags: [a, b]. Question: ... Answer: {yes eos} ... {no eos}
    seq2seq   images, According to <soft prompt> ... tags: [a, b]. Question: ... Answer: eos {yes eos}  a row a turn

Supervised are the answers with their end-of-text tokens, in braces above. Negative ids are `Placeholder`s.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, Protocol, get_args

from triscope.data.batch import Placeholder, Row
from triscope.data.box_text import BoxFormat, format_box
from triscope.data.boxes import Box
from triscope.data.errors import BadSampleError, ConfigurationError
from triscope.data.sample import MARKER, Conversation, Level, Region, Sample, Turn

# The sentence of LION (section 3.3 of the paper). Between its parts stands the soft prompt, or a word in the hard prompt.
TAG_SENTENCE = ("According to", ", you are allowed to use or partially use the following tags: [{tags}].")
HARD_PROMPT = "tags"

# Whether that sentence stands in a prompt, and what it begins with.
Tags = Literal["none", "hard", "soft"]

# Where images stand. "inline": at their markers; images that no marker names stand in front, behind the begin-of-text token.
# "prefix": all in front of everything, that token too (InstructBLIP, SAM); a marker becomes the name of an image.
Placement = Literal["inline", "prefix"]
IMAGE_NAME = "{{image#{number}}}"  # as SAM and DEMON write it: {image#1}
# How a prompt shows a region: by its coordinates, by the token of a region encoder, or by both. Answers have coordinates.
RegionForm = Literal["text", "token", "both"]


class TextTokenizer(Protocol):
    """What is needed of a tokenizer; every Hugging Face tokenizer has it."""

    bos_token_id: int | None
    eos_token_id: int | None
    cls_token_id: int | None
    sep_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of a text."""
        ...

    def decode(self, token_ids: list[int]) -> str:
        """Text of token ids."""
        ...


@dataclass(frozen=True)
class Tokenizers:
    """The tokenizers of a model.

    Args:
        language: of the language model; must have an end-of-text token.
        question: of the text that a Q-Former reads.
        seq2seq: whether the language model has an encoder for the prompt (T5) or reads prompt and answer as one text.
    """

    language: TextTokenizer
    question: TextTokenizer
    seq2seq: bool


@dataclass(frozen=True)
class PromptStyle:
    """How a conversation becomes text.

    Args:
        turn: a question with its surroundings; `{prompt}` is the question. The answer follows it.
        opening: text before the first question, such as the sentence that a language model was tuned with; it shares the
            budget of that question, and leaves with it where earlier turns are left out.
        regions: how prompts show regions; what a Q-Former reads and what is answered has coordinates in any case.
        box_format: how boxes are written and read.
        tags: whether LION's sentence with the tags of the row's images stands before the first question: `soft` with the
            learned vector, as in the paper; `hard` with a word in its place; `none` for no sentence.
        placement: where images stand; with "prefix", those that the row names in the order of the sample, and their names
            count them from 1 as they stand there.
        max_prompt_tokens: text tokens of a question with its template and tags; for seq2seq models, with the earlier
            turns. Earlier turns are left out from the first, tags from the last, the sentence and the question never.
        max_answer_tokens: an answer is cut off after so many tokens, its end-of-text token included.
        max_question_tokens: the text that a Q-Former reads loses its beginning beyond so many tokens.

    Raises:
        ConfigurationError: `turn` does not hold `{prompt}` once, or `tags` is none of the three.
    """

    turn: str = "Question: {prompt} Answer:"
    opening: str = ""
    regions: RegionForm = "text"
    box_format: BoxFormat = "decimal"
    tags: Tags = "none"
    placement: Placement = "inline"
    max_prompt_tokens: int = 128
    max_answer_tokens: int = 128
    max_question_tokens: int = 128

    def __post_init__(self) -> None:
        if self.turn.count("{prompt}") != 1:
            raise ConfigurationError("prompt_style.turn", repr(self.turn), "one {prompt}", "put {prompt} where the question goes")
        if self.tags not in get_args(Tags):
            remedy = "true was soft, and false none"
            raise ConfigurationError("prompt_style.tags", repr(self.tags), " or ".join(get_args(Tags)), remedy)


@dataclass(frozen=True)
class EncodedRow:
    """A row before it is put into a batch.

    Args:
        ids: token ids and placeholders.
        supervised: of each id, whether it belongs to an answer.
        question_ids: what a Q-Former reads.
        images: indices into the sample's images, one for each image placeholder, in reading order.
        regions: one for each region placeholder, in reading order, with boxes as the model will see them, in unit space.
        row: for evaluation and messages.
    """

    ids: list[int]
    supervised: list[bool]
    question_ids: list[int]
    images: list[int]
    regions: list[Region]
    row: Row


def row_text(ids: Sequence[int], supervised: Sequence[bool], tokenizer: TextTokenizer) -> str:
    """A row as people read it: placeholders by their names, what is supervised in braces.

    Args:
        ids, supervised: of an `EncodedRow`, or of a row of a batch without its padding.
        tokenizer: of the language model.
    """
    pieces = []
    for (kind, is_answer), group in groupby(zip(ids, supervised, strict=True), key=lambda each: (min(each[0], 0), each[1])):
        tokens = [token for token, _ in group]
        text = f"<{Placeholder(kind).name.lower()}>" * len(tokens) if kind < 0 else tokenizer.decode(tokens)
        pieces.append(f"{{{text}}}" if is_answer else text)
    return "".join(pieces)


@dataclass
class _EncodedTurn:
    prompt_ids: list[int]
    answer_ids: list[int]
    images: list[int]
    regions: list[int]

    @property
    def text_tokens(self) -> int:
        return _text_tokens(self.prompt_ids)

    @property
    def all_tokens(self) -> int:
        return self.text_tokens + len(self.answer_ids)


@dataclass
class _Tokens:
    """Ids that grow from left to right, and what their placeholders stand for."""

    ids: list[int] = field(default_factory=list)
    supervised: list[bool] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    regions: list[int] = field(default_factory=list)

    def add_images(self, images: Sequence[int]) -> None:
        """Images in front of the text."""
        self.add([Placeholder.IMAGE] * len(images))
        self.images += images

    def add_prompt(self, turn: _EncodedTurn) -> None:
        """A question with its images and regions."""
        self.add(turn.prompt_ids)
        self.images += turn.images
        self.regions += turn.regions

    def add(self, ids: list[int], supervised: bool = False) -> None:
        self.ids += ids
        self.supervised += [supervised] * len(ids)


class PromptWriter:
    """Writes conversations as rows.

    Args:
        style: how a conversation becomes text.
        tokenizers: of the model that will read the rows.
    """

    def __init__(self, style: PromptStyle, tokenizers: Tokenizers) -> None:
        if tokenizers.language.eos_token_id is None:
            raise ConfigurationError(
                "tokenizers.language", "no end-of-text token", "an eos_token_id", "use the language model's tokenizer"
            )
        self.style = style
        self.tokenizers = tokenizers
        self.eos = [tokenizers.language.eos_token_id]
        self._colon = self._encode(":")

    def rows(self, sample: Sample, boxes: Sequence[Box], numbers: Sequence[int], where: str) -> list[EncodedRow]:
        """Some conversations of a sample as rows: one each, or one a turn for a seq2seq model.

        Args:
            sample: checked.
            boxes: of the sample's regions as the model will see them, in unit space.
            numbers: of the conversations to write.
            where: shard and key, for messages.

        Raises:
            BadSampleError: a question beyond the budget, an answer without a token, or an image in an answer.
        """
        return [row for number in numbers for row in self._conversation(sample, boxes, number, where)]

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer as it is supervised, end of text included."""
        return self._continuation(answer)[: self.style.max_answer_tokens - 1] + self.eos

    def _conversation(self, sample: Sample, boxes: Sequence[Box], number: int, where: str) -> Iterator[EncodedRow]:
        conversation = sample.conversations[number]
        place = f"{where}, conversations[{number}]"
        front = self._images_in_front(sample, conversation)
        turns = [
            self._turn(turn, front, boxes, "" if index else self.style.opening, f"{place}.turns[{index}]")
            for index, turn in enumerate(conversation.turns)
        ]
        if not self.tokenizers.seq2seq:
            tokens = self._causal(sample, turns, front, place)
            yield self._encoded(sample, boxes, number, range(len(turns)), tokens)
            return
        for last in range(len(turns)):
            tokens = self._seq2seq(sample, turns[: last + 1], front, place)
            yield self._encoded(sample, boxes, number, range(last, last + 1), tokens)

    def _images_in_front(self, sample: Sample, conversation: Conversation) -> list[int]:
        """Images of a row that do not stand at markers: all if it names none; with "prefix", those that it names."""
        markers = (marker for turn in conversation.turns for marker in MARKER.findall(turn.prompt))
        named = sorted({int(number) - 1 for kind, number in markers if kind == "image"})
        if not named:
            return list(range(len(sample.images)))
        return named if self.style.placement == "prefix" else []

    def _turn(self, turn: Turn, front: list[int], boxes: Sequence[Box], opening: str, where: str) -> _EncodedTurn:
        """Encode a turn on its own, behind the opening if it is the first."""
        if any(kind == "image" for kind, _ in MARKER.findall(turn.answers[0])):
            raise BadSampleError(f"{where}.answers", "an image marker", "text and regions", "name images in prompts only")
        answer = self._continuation(self._with_boxes(turn.answers[0], boxes))
        if not answer:
            raise BadSampleError(f"{where}.answers", f"no token in {turn.answers[0]!r}", "an answer", "leave the turn out")
        text = self._with_boxes(_with_names(turn.prompt, front), boxes, self.style.regions)
        prompt_ids, images, regions = self._with_placeholders(opening + self.style.turn.replace("{prompt}", text))
        encoded = _EncodedTurn(prompt_ids, answer[: self.style.max_answer_tokens - 1], images, regions)
        self._check_budget(encoded.text_tokens, f"{where}.prompt")
        return encoded

    def _causal(self, sample: Sample, turns: list[_EncodedTurn], front: list[int], where: str) -> _Tokens:
        """All turns in one row, every answer supervised."""
        bos = self.tokenizers.language.bos_token_id
        images = front + [image for turn in turns for image in turn.images]
        begin: list[int] = [] if bos is None else [bos]
        tokens = _Tokens()
        if self.style.placement == "inline":
            tokens.add(begin)
        tokens.add_images(front)
        if self.style.placement == "prefix":
            tokens.add(begin)
        tokens.add(self._tags(self._tag_names(sample, images), turns[0].text_tokens, where))
        for turn in turns:
            tokens.add_prompt(turn)
            tokens.add(turn.answer_ids + self.eos, supervised=True)
        return tokens

    def _seq2seq(self, sample: Sample, turns: list[_EncodedTurn], front: list[int], where: str) -> _Tokens:
        """The last turn's answer supervised; of the earlier turns, as many as fit stand in the prompt."""
        *history, question = turns
        tags = self._tag_names(sample, front + [image for turn in turns for image in turn.images])
        room = self._budget - question.text_tokens - (_text_tokens(self._tag_sentence([])) if tags else 0)
        while history and sum(turn.all_tokens for turn in history) > room:
            front = front + history.pop(0).images  # their images are still shown
        shown = sum(turn.all_tokens for turn in history) + question.text_tokens
        tokens = _Tokens()
        tokens.add_images(front)
        tokens.add(self._tags(tags, shown, where))
        for turn in history:
            tokens.add_prompt(turn)
            tokens.add(turn.answer_ids)
        tokens.add_prompt(question)
        tokens.add(self.eos)
        tokens.add(question.answer_ids + self.eos, supervised=True)
        return tokens

    def _encoded(self, sample: Sample, boxes: Sequence[Box], number: int, turns: range, tokens: _Tokens) -> EncodedRow:
        """A row with what evaluation needs to know of it."""
        conversation = sample.conversations[number]
        last = conversation.turns[turns[-1]]
        one_of_many = self.tokenizers.seq2seq and len(conversation.turns) > 1
        answer = MARKER.fullmatch(last.answers[0].strip())
        pointed_at = int(answer[2]) - 1 if answer else None
        named = regions_in_prompts(conversation, turns)
        row = Row(
            key=f"{sample.key}:{number}" + (f":{turns[-1]}" if one_of_many else ""),
            task=conversation.task,
            level=conversation.level,
            prompt=last.prompt,
            answers=tuple(self._with_boxes(reference, boxes) for reference in last.answers),
            candidates=tuple(self._with_boxes(candidate, boxes) for candidate in last.candidates),
            box=None if pointed_at is None else boxes[pointed_at],
            box_image=None if pointed_at is None else sample.regions[pointed_at].image,
            images=tuple(tokens.images),
            regions=tuple(boxes[region] for region in named),
            region_images=tuple(sample.regions[region].image for region in named),
            extra=sample.extra or None,
            id=last.id,
            source=sample.source,
            sizes=tuple((image.width, image.height) for image in sample.images),
        )
        front = self._images_in_front(sample, conversation)
        questions = " ".join(_with_names(conversation.turns[turn].prompt, front) for turn in turns)
        regions = [Region(sample.regions[region].image, boxes[region]) for region in tokens.regions]
        return EncodedRow(tokens.ids, tokens.supervised, self._question_ids(questions, boxes), tokens.images, regions, row)

    def _question_ids(self, text: str, boxes: Sequence[Box]) -> list[int]:
        """What a Q-Former reads: questions without images, tags and template; cut on the left, special tokens kept."""
        tokenizer = self.tokenizers.question
        bare = " ".join(MARKER.sub("", self._with_boxes(text, boxes)).split())
        before = [] if tokenizer.cls_token_id is None else [tokenizer.cls_token_id]
        after = [] if tokenizer.sep_token_id is None else [tokenizer.sep_token_id]
        room = self.style.max_question_tokens - len(before) - len(after)
        return before + tokenizer.encode(bare, add_special_tokens=False)[-room:] + after

    def _with_boxes(self, text: str, boxes: Sequence[Box], form: RegionForm = "text") -> str:
        """Region markers written as boxes, left in place for a token, or both; image markers left in place."""

        def write(marker: re.Match) -> str:
            kind, number = marker.groups()
            if kind == "image" or form == "token":
                return marker[0]
            box = format_box(boxes[int(number) - 1], self.style.box_format)
            return f"{marker[0]} {box}" if form == "both" else box

        return MARKER.sub(write, text)

    def _with_placeholders(self, text: str) -> tuple[list[int], list[int], list[int]]:
        """Ids of a text in which markers are placeholders, and its images and regions, each in order."""
        ids: list[int] = []
        named: dict[str, list[int]] = {"image": [], "region": []}
        start = 0
        for marker in MARKER.finditer(text):
            kind, number = marker.groups()
            ids += [*self._beside(text[start : marker.start()].rstrip(" "), is_behind=start > 0), Placeholder[kind.upper()]]
            named[kind].append(int(number) - 1)
            start = marker.end()
        return ids + self._beside(text[start:], is_behind=start > 0), named["image"], named["region"]

    def _beside(self, text: str, is_behind: bool) -> list[int]:
        """Ids of a piece of text between placeholders; a blank behind one goes to the word that follows."""
        return self._spaced(text.lstrip(" ")) if is_behind and text.startswith(" ") else self._encode(text)

    def _tags(self, names: list[str], prompt_tokens: int, where: str) -> list[int]:
        """LION's sentence with as many tags as fit beside the prompt; nothing for images without tags."""
        if not names:
            return []
        for count in range(len(names), -1, -1):
            ids = self._tag_sentence(names[:count])
            if _text_tokens(ids) + prompt_tokens <= self._budget:
                break
        self._check_budget(_text_tokens(ids) + prompt_tokens, where)
        return ids

    def _tag_names(self, sample: Sample, images: list[int]) -> list[str]:
        if self.style.tags == "none":
            return []
        return list(dict.fromkeys(tag.name for image in dict.fromkeys(images) for tag in sample.images[image].tags))

    def _tag_sentence(self, names: list[str]) -> list[int]:
        before, after = TAG_SENTENCE
        if self.style.tags == "hard":
            return self._encode(f"{before} {HARD_PROMPT}{after.format(tags=', '.join(names))}")
        return [*self._encode(before), Placeholder.SOFT_PROMPT, *self._encode(after.format(tags=", ".join(names)))]

    def _check_budget(self, tokens: int, where: str) -> None:
        if tokens > self._budget:
            raise BadSampleError(
                where, f"a prompt of {tokens} tokens", f"at most {self._budget}", "raise prompt_style.max_prompt_tokens"
            )

    @property
    def _budget(self) -> int:
        return self.style.max_prompt_tokens

    def _encode(self, text: str) -> list[int]:
        return self.tokenizers.language.encode(text, add_special_tokens=False) if text else []

    def _continuation(self, answer: str) -> list[int]:
        """Ids of an answer as it reads behind a prompt."""
        return self._encode(answer) if self.style.turn[-1].isspace() else self._spaced(answer)

    def _spaced(self, text: str) -> list[int]:
        """Ids of a text as it reads behind a blank: byte-level tokenizers spell a word behind a space differently."""
        if self.tokenizers.seq2seq or not text:
            return self._encode(text)
        before, joined = len(self._colon), self._encode(f": {text}")
        return joined[before:] if joined[:before] == self._colon else self._encode(f" {text}")


def _with_names(prompt: str, front: Sequence[int]) -> str:
    """A prompt in which images that stand in front are named; markers of others stay."""
    place = {image: number for number, image in enumerate(front, start=1)}

    def write(marker: re.Match) -> str:
        kind, number = marker.groups()
        image = int(number) - 1
        return IMAGE_NAME.format(number=place[image]) if kind == "image" and image in place else marker[0]

    return MARKER.sub(write, prompt)


def _text_tokens(ids: list[int]) -> int:
    """How many ids are no placeholders."""
    return sum(token >= 0 for token in ids)


def regions_in_prompts(conversation: Conversation, turns: Sequence[int]) -> list[int]:
    """Indices of the regions that the prompts of some turns name, in reading order, each once."""
    markers = (marker for turn in turns for marker in MARKER.findall(conversation.turns[turn].prompt))
    return list(dict.fromkeys(int(number) - 1 for kind, number in markers if kind == "region"))


def conversations_of(sample: Sample, levels: Sequence[Level] | None, tasks: Sequence[str] | None) -> list[int]:
    """Numbers of a sample's conversations of some levels and tasks (None: all)."""
    return [
        number
        for number, conversation in enumerate(sample.conversations)
        if (levels is None or conversation.level in levels) and (tasks is None or conversation.task in tasks)
    ]
