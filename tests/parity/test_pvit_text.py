"""Conversations in PVIT's published text form against recorded output of its authors' text code.

Where the original silently masks a whole sample or lets marks through as text, ours refuses the sample by name.
"""

import re

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.parity.fixture import Fixture, for_each_fixture
from triscope.data.batch import Placeholder
from triscope.data.errors import BadSampleError
from triscope.data.prompts import EncodedRow, PromptStyle, PromptWriter, Tokenizers
from triscope.data.region_text import read_regions, write_region
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Turn

REFUSED = {  # number of the conversation: what is wrong with it
    **dict.fromkeys((11,), "0 to 1000"),
    **dict.fromkeys((12,), "0 to 1000"),
    **dict.fromkeys((13, 14, 16, 17, 18, 19), "whole regions"),
    15: "x1 < x2",
    24: "regions.0.: found image 0",
    27: "an image marker",
    35: "answers with text",
}
# Not of the data: a converter pairs questions and answers. An answer that holds the answering mark is as good as any here.
NO_CONVERSATION = (34, 38, 39)
ANSWERED_NONETHELESS = (36, 37)
ANSWER_WITH_A_REGION = 20
MARKS = r"<im_start>|<im_patch>|<im_end>|</?Region>"


def character_tokenizer(fixture: Fixture) -> PreTrainedTokenizerFast:
    """A token a character, so that ids can be read as text."""
    texts = [turn["value"] for each in fixture.description["conversations"] for turn in each["conversation"]]
    characters = sorted(set("".join([*texts, *map(chr, range(32, 127))])))
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(["</s>", *characters])}, unk_token=" "))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def sample_of(conversation: list[dict]) -> Sample:
    """As a converter reads a record."""
    regions: list[Region] = []
    texts = []
    kept = conversation[1:] if conversation[0]["from"] == "gpt" else conversation
    for number, turn in enumerate(kept):
        text, boxes = read_regions(turn["value"], f"turn {number}", first=len(regions) + 1)
        regions += [Region(0, box) for box in boxes]
        texts.append(text)
    pictures = "".join(texts).count("<image>")
    numbers = iter(range(1, pictures + 1))
    texts = [re.sub("<image>", lambda _: f"<image:{next(numbers)}>", text) for text in texts]
    turns = tuple(Turn(prompt, (answer,)) for prompt, answer in zip(texts[::2], texts[1::2], strict=True))
    images = tuple(Image(f"{number}.jpg", 40, 30) for number in range(pictures))
    return Sample("a", images, (Conversation("region", Level.REGION, turns),), tuple(regions))


def row_of(fixture: Fixture, conversation: list[dict]) -> tuple[EncodedRow, PreTrainedTokenizerFast]:
    """The row that ours makes of a record, in the template of the original."""
    tokenizer = character_tokenizer(fixture)
    style = PromptStyle(
        turn="USER: {prompt} ASSISTANT:",
        opening=fixture.config["system"] + " ",
        regions="token",
        **dict.fromkeys(("max_prompt_tokens", "max_answer_tokens", "max_question_tokens"), 9999),
    )
    sample = sample_of(conversation)
    sample.check()
    writer = PromptWriter(style, Tokenizers(language=tokenizer, question=tokenizer, seq2seq=False))
    (row,) = writer.rows(sample, [region.box for region in sample.regions], [0], "here")
    return row, tokenizer


def shown(ids: list[int], tokenizer: PreTrainedTokenizerFast, fixture: Fixture) -> str:
    """Ids as the original's prompt, white space around marks left out: no token of the original's stands for it."""
    image = "<im_start>" + "<im_patch>" * fixture.config["image_tokens_here"] + "<im_end>"
    words = {Placeholder.IMAGE: image, Placeholder.REGION: "<Region><im_patch></Region>"}
    return bare("".join(words.get(token) or tokenizer.convert_ids_to_tokens(token) for token in ids))


def bare(text: str) -> str:
    return re.sub(rf"\s*({MARKS})\s*", r"\1", text)


@for_each_fixture("pvit", "pvit_text")
def test_the_whole_prompt_its_boxes_and_what_is_supervised_are_the_authors(fixture):
    left_out = {*REFUSED, *NO_CONVERSATION, *ANSWERED_NONETHELESS, ANSWER_WITH_A_REGION}
    compared = [each for each in fixture.description["conversations"] if each["index"] not in left_out]
    assert len(compared) >= 20
    for each in compared:
        row, tokenizer = row_of(fixture, each["conversation"])
        assert shown(row.ids, tokenizer, fixture) == bare(each["prompt"]), each["note"]
        assert [list(region.box.corners) for region in row.regions] == (each["boxes"] or []), each["note"]
        answers = [token for token, supervised in zip(row.ids, row.supervised, strict=True) if supervised]
        text = shown(answers, tokenizer, fixture)
        assert [f"{answer.strip()}</s>" for answer in text.split("</s>")[:-1]] == each["supervised_text"], each["note"]


@for_each_fixture("pvit", "pvit_text")
@pytest.mark.parametrize(("number", "told"), REFUSED.items())
def test_what_the_original_lets_pass_or_masks_is_refused_by_name(fixture, number, told):
    with pytest.raises(BadSampleError, match=told):
        row_of(fixture, fixture.description["conversations"][number]["conversation"])


@for_each_fixture("pvit", "pvit_text")
@pytest.mark.parametrize("number", ANSWERED_NONETHELESS)
def test_marks_of_the_template_inside_a_text_do_not_mask_the_sample(fixture, number):
    each = fixture.description["conversations"][number]
    assert each["whole_sample_ignored"]
    row, tokenizer = row_of(fixture, each["conversation"])
    answers = [token for token, supervised in zip(row.ids, row.supervised, strict=True) if supervised]
    assert shown(answers, tokenizer, fixture) == f" {each['conversation'][1]['value']}</s>"


@for_each_fixture("pvit", "pvit_text")
def test_a_region_in_an_answer_is_written_as_coordinates_for_nothing_can_write_its_token(fixture):
    row, tokenizer = row_of(fixture, fixture.description["conversations"][ANSWER_WITH_A_REGION]["conversation"])
    assert shown(row.ids, tokenizer, fixture).endswith("ASSISTANT: Look at [0.035,0.410,0.220,0.640].</s>")
    assert row.regions == []


@for_each_fixture("pvit", "pvit_text")
def test_regions_that_are_read_are_written_alike(fixture):
    """Without blanks inside and zeros in front."""
    for each in fixture.description["conversations"]:
        if each["index"] in REFUSED:
            continue
        for turn in each["conversation"]:
            text, boxes = read_regions(turn["value"], "here")
            written = re.sub(r"<region:(\d+)>", lambda marker, boxes=boxes: write_region(boxes[int(marker[1]) - 1]), text)
            inside = [re.sub(r"\s", "", region) for region in re.findall(r"<Region>.*?</Region>", turn["value"], re.DOTALL)]
            expected = iter(re.sub(r"<L0+(\d)", r"<L\1", region) for region in inside)
            given = re.sub(r"<Region>.*?</Region>", lambda _, expected=expected: next(expected), turn["value"], flags=re.DOTALL)
            assert written == given
