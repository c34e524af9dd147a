"""The talk in the terminal, driven by typed lines, with a tiny real model."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image as Picture

from tests.data.tiny import jpeg, sample
from tests.tiny_model import awake, fit_arguments, prepare, write_tiny_shards
from triscope.app.answerer import Answerer
from triscope.app.chat import Chat, main
from triscope.cli import main as triscope
from triscope.data.boxes import BoxSpace
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("base"))
    write_tiny_shards(folder / "shards")
    for name in ("a.png", "b.png"):
        Picture.new("RGB", (200, 100), "red").save(folder / name)
    return folder


@pytest.fixture(scope="module")
def answerer(base: Path) -> Answerer:
    opened = Answerer.open(arguments(base))
    shown = sample()
    for seed in range(20):  # new parts change nothing at first, and the little model may say one word
        awake(opened.stage.model, seed)
        if len(opened.answer(shown, [jpeg()]).text.split()) > 2:
            break
    return opened


def arguments(base: Path) -> list[str]:
    """Those of `predict` with the tiny model."""
    return fit_arguments(base, str(base / "shards"), base / "run", "--model.init_args.generation.max_new_tokens", "6")[1:]


@pytest.fixture
def talk(answerer: Answerer, base: Path):
    """Says lines to a chat and returns what it said to each."""
    heard: list[str] = []
    chat = Chat(answerer, heard.append)

    def say(*lines: str) -> list[str]:
        answers = []
        for line in lines:
            heard.clear()
            chat.hear(line.replace("a.png", str(base / "a.png")).replace("b.png", str(base / "b.png")))
            answers.append("".join(heard))
        return answers

    say.chat, say.pieces = chat, heard
    return say


def test_an_answer_comes_piece_by_piece_and_is_the_one_that_predict_writes(talk, answerer):
    talk("/picture a.png")
    (answer,) = talk("What is this?")
    chat = talk.chat
    whole = answerer.answer(chat.asked, chat.contents)
    assert answer.splitlines()[0].strip() == whole.text
    assert len(talk.pieces) > len(whole.text.split()) >= 2, "a piece a token, and the end of the line"


def test_boxes_are_typed_as_pixels_shares_or_in_the_published_form(talk):
    talk("/picture a.png")
    for line in ("What is 20,10,60,50?", "What is 0.1,0.1,0.3,0.5?", "What is <Region><L100><L100><L300><L500></Region>?"):
        talk("/box off", line)
        assert talk.chat.asked.conversations[0].turns[0].prompt == "What is <region:1>?"
        assert talk.chat.asked.conversations[0].level is Level.REGION
        (region,) = talk.chat.asked.regions
        assert region.box.to(BoxSpace.PIXELS, 200, 100).corners == pytest.approx((20, 10, 60, 50))


def test_remembered_boxes_have_short_names_and_may_lie_in_another_picture(talk):
    _, first, second = talk("/picture a.png b.png", "/box 20,10,60,50", "/box 2:0,0,100,100")
    assert first == "#1: 20,10,60,50 (pixels of 200x100) of picture 1\n" and "#2: 0,0,100,100" in second
    talk("Is #2 the dog and not #1?")
    assert talk.chat.asked.conversations[0].turns[0].prompt == "Is <region:2> the dog and not <region:1>?"
    assert [region.image for region in talk.chat.asked.regions] == [0, 1]
    read, off = talk("/prompt", "/box off")
    assert read.count("<image>") == 2 and off == "no box\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/pictur x", "found no such command"),
        ("/picture nowhere.jpg", "nowhere.jpg"),
        ("/box 1,2,3", "expected x1,y1,x2,y2"),
        ("/box 60,10,20,50", "expected x1 < x2"),
        ("/box 3:1,2,30,40", "expected one of 1 picture(s)"),
        ("What is 20,10,600,50?", "expected a box inside the picture"),
        ("What is #4?", "<region:4>"),
        ("<image> What is this?", "expected <image:1>"),
        ("What is <Region><L1><L2></Region>?", "the mark <Region>"),
        ("/level picture", "found 'picture'; expected image, region or auto"),
        ("/turns all", "found 'all'; expected a number, 0 or more"),
    ],
)
def test_a_mistake_is_told_and_the_talk_goes_on(talk, line, told):
    _, answer, after = talk("/picture a.png", line, "/box 20,10,60,50")
    assert told in answer
    assert after.startswith("#1: 20,10,60,50")


def test_a_picture_that_cannot_be_read_is_told_and_the_talk_goes_on(talk, monkeypatch):
    talk("/picture a.png")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    refused, after = talk("/picture b.png", "/box 20,10,60,50")
    assert "decompression bomb" in refused and after.startswith("#1: 20,10,60,50")


def test_tags_are_shown_and_edited_and_the_model_reads_them(talk):
    _, *told = talk("/picture a.png", "/tags", "/tags dog, grass", "/tags +leash -grass", "/tags")
    assert told == ["no tags\n", "dog, grass\n", "dog, leash\n", "dog, leash\n"]
    _, read, off = talk("What is this?", "/prompt", "/tags off")
    assert "<soft_prompt>" in read and "dog, leash" in read.replace(" ,", ",") and off == "no tags\n"


def test_earlier_turns_are_shown_only_if_asked_for(talk):
    talk("/picture a.png", "What is this?", "Where is the dog?")
    assert len(talk.chat.asked.conversations[0].turns) == 1
    assert talk("/turns 2") == ["2 earlier turn(s) are shown\n"]
    talk("Where the cat?")
    assert [turn.prompt for turn in talk.chat.asked.conversations[0].turns] == [
        *("What is this?", "Where is the dog?", "Where the cat?"),
    ][-len(talk.chat.asked.conversations[0].turns) :]
    assert len(talk.chat.asked.conversations[0].turns) > 1


def test_the_level_goes_by_the_question_or_is_set(talk):
    talk("/picture a.png", "What is this?")
    assert talk.chat.asked.conversations[0].level is Level.IMAGE
    talk("/level region", "What is this?")
    assert talk.chat.asked.conversations[0].level is Level.REGION
    assert talk("/level auto") == ["level by the question\n"]


def test_the_command_reads_lines_until_they_end_and_says_that_the_model_is_tiny(base, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("What is #1?\n/help\n/quit\nnever read\n"))
    main([*arguments(base), "--picture", str(base / "a.png"), "--box", "20,10,60,50"])
    said = capsys.readouterr().out
    assert "that is tiny" in said and "a.png: 200x100, tags off" in said and "#1: 20,10,60,50" in said
    assert "/picture FILE" in said and "never" not in said


def test_what_a_run_has_trained_answers(base, answerer):
    triscope([*fit_arguments(base, str(base / "shards"), base / "fit", "--run.wandb", "disabled", "--trainer.max_steps", "2")])
    run = ["-c", str(base / "fit" / "config.yaml"), "--ckpt_path", str(base / "fit" / "checkpoints" / "last.ckpt")]
    trained, untrained = Answerer.open(run).stage.model.state_dict(), answerer.stage.model.state_dict()
    changed = [name for name in trained if not trained[name].equal(untrained[name])]
    assert any("adapters" in name for name in changed)
    with pytest.raises(ConfigurationError, match="tensors of no place"):
        Answerer.open([*run, "--model.class_path", "triscope.stages.ImageLevelStage"])


def test_a_model_of_ordinary_size_is_not_called_tiny(answerer):
    assert "tiny" in answerer.said_of_size()
    (parameter, *_) = answerer.stage.model.language.model.parameters()
    large = replace(answerer)
    before, parameter.data = parameter.data, parameter.data.new_empty(1).expand(2_000_000_000)
    try:
        assert large.said_of_size() == "The language model has 2.0 billion parameters."
    finally:
        parameter.data = before
