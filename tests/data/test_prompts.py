import pytest

from tests.data.tiny import ask, causal_tokenizers, sample, seq2seq_tokenizers, word_tokenizer
from triscope.data.batch import Placeholder
from triscope.data.boxes import Box
from triscope.data.errors import BadSampleError, ConfigurationError
from triscope.data.prompts import EncodedRow, PromptStyle, PromptWriter, Tokenizers, row_text
from triscope.data.sample import Conversation, Level, Sample, Turn

BOX = Box(0.12, 0.44, 0.35, 0.98)
SYMBOLS = {placeholder: placeholder.name for placeholder in Placeholder}


def write(one: Sample, style: PromptStyle | None = None, tokenizers: Tokenizers | None = None) -> list[EncodedRow]:
    boxes = [region.box for region in one.regions]
    writer = PromptWriter(style or PromptStyle(), tokenizers or causal_tokenizers())
    return writer.rows(one, boxes, range(len(one.conversations)), "shard, key a")


def words(ids: list[int], tokenizers: Tokenizers | None = None) -> str:
    tokenizer = (tokenizers or causal_tokenizers()).language
    return " ".join(SYMBOLS.get(token) or tokenizer.convert_ids_to_tokens(token) for token in ids)


def supervised_words(row: EncodedRow) -> str:
    return words([token for token, supervised in zip(row.ids, row.supervised, strict=True) if supervised])


def test_the_image_stands_before_the_text_and_the_answer_ends_the_row():
    (row,) = write(sample())
    assert words(row.ids) == "<s> IMAGE Question : What is this ? Answer : the dog </s>"


def test_supervised_is_exactly_each_answer_with_its_end_of_text():
    (row,) = write(sample(conversations=[ask(("What is this?", "the dog"), ("Where is the cat?", "no"))]))
    assert supervised_words(row) == "the dog </s> no </s>"


def test_a_causal_row_holds_all_turns():
    (row,) = write(sample(conversations=[ask(("What is this?", "the dog"), ("Where?", "no"))]))
    assert words(row.ids) == ("<s> IMAGE Question : What is this ? Answer : the dog </s> Question : Where ? Answer : no </s>")
    assert row.row.prompt == "Where?"
    assert row.row.key == "a:0"


def test_a_seq2seq_model_gets_a_row_for_each_turn_with_the_earlier_ones_in_the_prompt():
    first, second = write(
        sample(conversations=[ask(("What is this?", "the dog"), ("Where?", "no"))]), tokenizers=seq2seq_tokenizers()
    )
    assert words(first.ids) == "IMAGE Question : What is this ? Answer : </s> the dog </s>"
    assert words(second.ids) == ("IMAGE Question : What is this ? Answer : the dog Question : Where ? Answer : </s> no </s>")
    assert supervised_words(second) == "no </s>"
    assert first.row.key != second.row.key


def test_the_history_of_a_seq2seq_prompt_loses_its_first_turns_but_not_their_images():
    conversation = ask(("<image:1> What?", "the dog"), ("<image:2> Where?", "no"), ("What is this?", "yes"))
    one = sample(conversations=[conversation], images=2)
    last = write(one, PromptStyle(max_prompt_tokens=15), seq2seq_tokenizers())[-1]
    assert words(last.ids) == ("IMAGE Question : IMAGE Where ? Answer : no Question : What is this ? Answer : </s> yes </s>")
    assert last.images == [0, 1]


def test_named_images_stand_where_they_are_named():
    one = sample(conversations=[ask(("<image:2> or <image:1>?", "no"))], images=2)
    (row,) = write(one)
    assert words(row.ids) == "<s> Question : IMAGE or IMAGE ? Answer : no </s>"
    assert row.images == [1, 0]


PREFIX = PromptStyle(placement="prefix")


def test_as_a_prefix_images_stand_before_everything_and_are_named_where_they_stood():
    one = sample(conversations=[ask(("<image:2> or <image:1>?", "no"), ("What is <image:2>?", "yes"))], images=2)
    (row,) = write(one, PREFIX)
    assert words(row.ids) == (
        "IMAGE IMAGE <s> Question : { image # 2 } or { image # 1 } ? Answer : no </s> "
        "Question : What is { image # 2 } ? Answer : yes </s>"
    )
    assert row.images == [0, 1]
    assert row.row.prompt == "What is <image:2>?"


def test_as_a_prefix_images_that_the_row_does_not_name_are_left_out_and_the_names_count_the_others():
    (row,) = write(sample(conversations=[ask(("<image:1> or <image:3>?", "no"))], images=3), PREFIX)
    assert words(row.ids) == "IMAGE IMAGE <s> Question : { image # 1 } or { image # 2 } ? Answer : no </s>"
    assert row.images == [0, 2]


def test_as_a_prefix_images_that_nobody_names_all_stand_in_front():
    (row,) = write(sample(images=3), PREFIX)
    assert words(row.ids) == "IMAGE IMAGE IMAGE <s> Question : What is this ? Answer : the dog </s>"
    assert row.images == [0, 1, 2]


def test_as_a_prefix_a_seq2seq_row_shows_the_images_of_all_its_turns():
    conversation = ask(("<image:1> What?", "the dog"), ("<image:2> Where?", "no"))
    first, second = write(sample(conversations=[conversation], images=2), PREFIX, seq2seq_tokenizers())
    assert words(first.ids) == "IMAGE IMAGE Question : { image # 1 } What ? Answer : </s> the dog </s>"
    assert words(second.ids) == (
        "IMAGE IMAGE Question : { image # 1 } What ? Answer : the dog Question : { image # 2 } Where ? Answer : </s> no </s>"
    )


def test_the_q_former_reads_the_names_of_images_but_no_markers():
    one = sample(conversations=[ask(("<image:2> or <image:1>?", "no"))], images=2)
    (inline,), (prefix,) = write(one), write(one, PREFIX)
    question = causal_tokenizers().question
    assert question.decode(inline.question_ids) == "or ?"
    assert question.decode(prefix.question_ids) == "{ image # 2 } or { image # 1 } ?"


def test_images_that_nobody_names_all_stand_in_front():
    (row,) = write(sample(images=3))
    assert words(row.ids).startswith("<s> IMAGE IMAGE IMAGE Question")
    assert row.images == [0, 1, 2]


def test_a_region_is_written_as_its_box():
    one = sample(conversations=[ask(("What is <region:1>?", "the dog"))], boxes=[BOX])
    (row,) = write(one)
    assert "[ 0 . 1 2 0 , 0 . 4 4 0 , 0 . 3 5 0 , 0 . 9 8 0 ] ?" in words(row.ids)
    assert row.row.regions == (BOX,)
    assert row.row.box is None


@pytest.mark.parametrize(
    ("form", "shown"),
    [("token", "What is REGION ?"), ("both", "What is REGION [ 0 . 1 2 0 , 0 . 4 4 0 , 0 . 3 5 0 , 0 . 9 8 0 ] ?")],
)
def test_a_region_is_shown_as_a_token_or_as_both(form, shown):
    one = sample(conversations=[ask(("What is <region:1>?", "the dog"))], boxes=[BOX])
    (row,) = write(one, PromptStyle(regions=form))
    assert shown in words(row.ids)
    assert row.regions == list(one.regions) and row.row.regions == (BOX,)


def test_region_tokens_are_in_reading_order_as_often_as_they_are_named():
    other = Box(0.0, 0.0, 0.5, 0.5)
    conversation = ask(("<region:2> or <region:1>?", "no"), ("And <region:2>?", "<region:1>"))
    one = sample(conversations=[conversation], boxes=[BOX, other])
    (row,) = write(one, PromptStyle(regions="token"))
    assert words(row.ids).count("REGION") == 3
    assert [region.box for region in row.regions] == [other, BOX, other]
    assert "[ 0 . 1 2 0" in supervised_words(row)  # an answer is text


def test_a_region_of_an_earlier_turn_leaves_with_it():
    conversation = ask(("What is <region:1>?", "the dog"), ("What is <region:2> dog?", "yes"))
    one = sample(conversations=[conversation], boxes=[BOX, Box(0, 0, 1, 1)])
    last = write(one, PromptStyle(regions="token", max_prompt_tokens=9), seq2seq_tokenizers())[-1]
    assert words(last.ids).count("REGION") == 1
    assert [region.box for region in last.regions] == [Box(0, 0, 1, 1)]


def test_the_question_text_has_coordinates_however_the_prompt_shows_regions():
    one = sample(conversations=[ask(("What is <region:1>?", "no"))], boxes=[BOX])
    as_text, as_token = (write(one, PromptStyle(regions=form))[0].question_ids for form in ("text", "token"))
    assert as_text == as_token


def test_the_opening_stands_once_before_the_first_question():
    one = sample(conversations=[ask(("What is this?", "the dog"), ("Where?", "no"))])
    (row,) = write(one, PromptStyle(opening="you are left . "))
    assert words(row.ids).startswith("<s> IMAGE you are left . Question : What")
    assert words(row.ids).count("you are left") == 1


def test_an_answer_that_is_a_region_carries_the_true_box():
    one = sample(conversations=[ask(("Where is the dog?", "<region:1>"), level=Level.REGION)], boxes=[BOX])
    (row,) = write(one)
    assert row.row.box == BOX
    assert row.row.answers == ("[0.120,0.440,0.350,0.980]",)
    assert row.row.regions == ()


def test_a_row_knows_its_question_in_the_data_set_and_the_sizes_of_its_pictures():
    turns = Turn("What?", ("the dog",), id="7"), Turn("Where?", ("no",), id="8")
    talk = Conversation("question", Level.IMAGE, turns)
    of_turns = [row.row for row in write(sample(conversations=[talk], images=2), tokenizers=seq2seq_tokenizers())]
    assert [(row.source, row.id, row.sizes) for row in of_turns] == [("tiny", number, ((40, 30), (40, 30))) for number in "78"]
    (row,) = write(sample(conversations=[talk]))
    assert row.row.id == "8"


def test_tags_stand_under_one_soft_prompt_before_the_first_question_only():
    one = sample(conversations=[ask(("What is this?", "the dog"), ("Where?", "no"))], tags=["dog", "grass"])
    (row,) = write(one, PromptStyle(tags="soft"))
    assert words(row.ids).startswith(
        "<s> IMAGE According to SOFT_PROMPT , you are allowed to use or partially use the following tags : "
        "[ dog , grass ] . Question : What is this ?"
    )
    assert row.ids.count(Placeholder.SOFT_PROMPT) == 1


def test_a_hard_prompt_has_a_word_where_the_soft_prompt_would_stand():
    one = sample(tags=["dog", "grass"])
    (hard,), (soft,) = (write(one, PromptStyle(tags=tags)) for tags in ("hard", "soft"))
    assert words(soft.ids).replace("SOFT_PROMPT", "tags") == words(hard.ids)
    assert Placeholder.SOFT_PROMPT not in hard.ids
    (none,) = write(one, PromptStyle(tags="none"))
    assert words(none.ids).startswith("<s> IMAGE Question : What is this ?")
    with pytest.raises(ConfigurationError, match="found True; expected none or hard or soft"):
        PromptStyle(tags=True)


@pytest.mark.parametrize("tokenizers", [causal_tokenizers(), seq2seq_tokenizers()], ids=["causal", "seq2seq"])
def test_a_short_budget_drops_tags_from_the_end_and_keeps_sentence_and_question(tokenizers):
    one = sample(tags=["dog", "grass", "leash"])
    full = write(one, PromptStyle(tags="soft"), tokenizers)[0]
    text_tokens = (
        sum(token >= 0 for token, supervised in zip(full.ids, full.supervised, strict=True) if not supervised) - 1
    )  # the begin of text, or the end of the prompt
    shorter = write(one, PromptStyle(tags="soft", max_prompt_tokens=text_tokens - 1), tokenizers)[0]
    assert "[ dog , grass ] . Question : What is this ? Answer :" in words(shorter.ids)
    none = write(one, PromptStyle(tags="soft", max_prompt_tokens=text_tokens - 5), tokenizers)[0]
    assert "[ ] . Question : What is this ? Answer :" in words(none.ids)
    assert none.ids.count(Placeholder.SOFT_PROMPT) == 1


def test_a_question_beyond_the_budget_is_a_bad_sample():
    with pytest.raises(BadSampleError, match=r"conversations\[0\].turns\[0\].prompt: found a prompt of 8 tokens"):
        write(sample(), PromptStyle(max_prompt_tokens=7))


def test_images_without_tags_have_no_sentence():
    (row,) = write(sample(), PromptStyle(tags="soft"))
    assert Placeholder.SOFT_PROMPT not in row.ids


def test_the_question_text_has_regions_but_neither_tags_nor_template_nor_images():
    one = sample(conversations=[ask(("<image:1> What is <region:1>?", "no"))], tags=["dog"], boxes=[BOX])
    (row,) = write(one, PromptStyle(tags="soft", box_format="percent"))
    assert words(row.question_ids) == "What is [ 1 2 , 4 4 , 3 5 , 9 8 ] ?"


def test_a_long_question_text_loses_its_beginning_and_keeps_its_special_tokens():
    question = word_tokenizer(cls_token="[CLS]", sep_token="[SEP]")
    tokenizers = Tokenizers(language=word_tokenizer(), question=question, seq2seq=False)
    (row,) = write(sample(), PromptStyle(max_question_tokens=4), tokenizers)
    assert question.convert_ids_to_tokens(row.question_ids) == ["[CLS]", "this", "?", "[SEP]"]


def test_a_long_answer_is_cut_off_and_still_ends():
    (row,) = write(sample(conversations=[ask(("What?", "one two three"))]), PromptStyle(max_answer_tokens=3))
    assert supervised_words(row) == "one two </s>"


def test_an_image_in_an_answer_is_a_bad_sample():
    with pytest.raises(BadSampleError, match="an image marker"):
        write(sample(conversations=[ask(("Where?", "<image:1>"))]))


def test_a_template_needs_a_place_for_the_question():
    with pytest.raises(ConfigurationError, match=r"prompt_style\.turn"):
        PromptStyle(turn="Question:")


def test_a_byte_level_tokenizer_spells_the_answer_with_the_space_before_it():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate([*letters, "</s>"])}
    core = Tokenizer(models.BPE(vocabulary, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>")
    (row,) = write(sample(), tokenizers=Tokenizers(language=tokenizer, question=tokenizer, seq2seq=False))
    assert tokenizer.decode([token for token in row.ids if token >= 0]) == ("Question: What is this? Answer: the dog</s>")


def test_a_row_is_read_with_its_placeholders_named_and_its_answers_in_braces():
    one = sample(conversations=[ask(("What is <region:1>?", "the dog"))], tags=["leash"], boxes=[BOX])
    (row,) = write(one, PromptStyle(turn="question {prompt} answer", regions="token", tags="soft"))
    text = row_text(row.ids, row.supervised, causal_tokenizers().language)
    assert text.index("<image>") < text.index("<soft_prompt>") < text.index("<region>") < text.index("{the dog")
    assert text.count("<") - text.count("<s>") - text.count("</s>") == 3 and text.endswith("</s>}")
