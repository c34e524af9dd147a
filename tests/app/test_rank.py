"""The page on which people rank systems, and what it gives away: nothing."""

import json
import re

import pytest

from data_pipelines.__main__ import main as data_pipelines
from tests.app.browser import measured
from tests.conftest import shared
from tests.data.tiny import causal_tokenizers
from tests.data_pipelines.made_up import HEIGHT, WIDTH, picture
from triscope.app.rank import main, suggest_dimensions, write_page
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import ConfigurationError
from triscope.data.prompts import PromptStyle, PromptWriter
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Turn
from triscope.data.shard_writer import ShardWriter
from triscope.data.shards import ShardSet
from triscope.evaluation.predictions import Prediction, write_predictions

PICTURES = 6


@pytest.fixture
def folder(tmp_path):
    """Pictures with an instruction about two regions and one about none."""
    with ShardWriter(tmp_path / "shards") as writer:
        for number in range(PICTURES):
            texts = ("Is <region:2> bigger than <region:1>, or <region:2> </script>?", "Why?")
            sample = Sample(
                key=f"fine_eval-{number}",
                images=(Image("0.jpg", WIDTH, HEIGHT),),
                conversations=tuple(Conversation("fine_eval", Level.REGION, (Turn(text, ("unknown",)),)) for text in texts),
                regions=(Region(0, Box(0, 0, WIDTH / 2, HEIGHT, BoxSpace.PIXELS)), Region(0, Box(0.5, 0, 1, 0.5))),
                extra={
                    "file": f"{number}.jpg",
                    "published": [{"instruction": f"q{at}", "instruction_no_region": f"p{at}"} for at in (0, 1)],
                },
            )
            writer.write(sample, [picture()])
    return tmp_path / "shards"


def predicted(path, folder, said: str):
    """Answers as `triscope predict` writes them, to the rows that a model is asked."""
    writer = PromptWriter(PromptStyle(), causal_tokenizers())
    rows = []
    for raw in ShardSet.open(folder):
        sample, _ = raw.parse()
        boxes = [region.box.to(BoxSpace.UNIT, WIDTH, HEIGHT) for region in sample.regions]
        rows += [encoded.row for encoded in writer.rows(sample, boxes, range(len(sample.conversations)), "here")]
    write_predictions(path, [Prediction(row, f"{said} {row.key}") for row in rows])
    return path


def published(path, said: str, wording: str):
    """Answers in the published layout."""
    lines = [
        {"image": f"{number}.jpg", "instruction": f"{wording}{at}", "output": f"{said} fine_eval-{number}:{at}"}
        for number in range(PICTURES)
        for at in (0, 1)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def answers(tmp_path, folder):
    """Of three systems, in the three forms that are read."""
    return {
        "pvit": predicted(tmp_path / "pvit.jsonl", folder, "red"),
        "shikra": published(tmp_path / "shikra.jsonl", "green", "q"),
        "llava": published(tmp_path / "llava.jsonl", "blue", "p"),
    }


def data_of(page) -> dict:
    """What the page's script reads."""
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def test_the_page_shows_every_answer_and_names_no_system(folder, answers, tmp_path):
    key = json.loads(write_page(folder, answers, tmp_path / "page.html").read_text())
    text, data = (tmp_path / "page.html").read_text(), data_of(tmp_path / "page.html")
    assert not re.search("pvit|shikra|llava", text, re.IGNORECASE)
    assert len(data["items"]) == 2 * PICTURES and data["page"] == key["page"]
    colors = {"pvit": "red", "shikra": "green", "llava": "blue"}
    for item in data["items"]:
        assert item["answers"] == [f"{colors[system]} {item['id']}" for system in key["items"][item["id"]]["order"]]


def test_the_orders_differ_between_instructions_and_repeat_with_the_seed(folder, answers, tmp_path):
    first, again, other = (
        json.loads(write_page(folder, answers, tmp_path / f"{name}.html", seed).read_text())
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again != other
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert len({tuple(item["order"]) for item in first["items"].values()}) > 2
    pictures = [item["picture"] for item in data_of(tmp_path / "a.html")["items"]]
    assert pictures == sorted(pictures), "instructions about a picture stand together"


def test_boxes_and_marks_are_numbered_as_they_are_read(folder, answers, tmp_path):
    write_page(folder, answers, tmp_path / "page.html")
    item = next(item for item in data_of(tmp_path / "page.html")["items"] if item["id"].endswith(":0"))
    assert item["instruction"] == ["Is ", 1, " bigger than ", 2, ", or ", 1, " </script>?"]
    assert item["boxes"] == [[0.5, 0, 1, 0.5], [0, 0, 0.5, 1]]


def test_an_instruction_that_a_system_did_not_answer_is_told(folder, answers, tmp_path):
    lines = answers["llava"].read_text().splitlines(keepends=True)
    answers["llava"].write_text("".join(lines[1:]))
    with pytest.raises(ConfigurationError, match=r"--answers llava: found \d+ answer\(s\), none to fine_eval-0:0"):
        write_page(folder, answers, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    with pytest.raises(ConfigurationError, match="two or more"):
        write_page(folder, {"pvit": answers["pvit"]}, tmp_path / "page.html")


@pytest.mark.parametrize(
    ("instruction", "dimensions"),
    [
        ("How many flags are there in <region:1>?", ["counting"]),
        ("What is written in the <region:1>?", ["text"]),
        ("What is the shape of the object in <region:1>?", ["attribute"]),
        ("What is the relationship between the bag in <region:1> and the basket in <region:2>?", ["relation"]),
        ("What risks might they encounter?", ["reasoning"]),
        ("What is the animal on the <region:1>?", ["recognition"]),
    ],
)
def test_what_an_instruction_asks_for_is_suggested_by_its_words(instruction, dimensions):
    assert suggest_dimensions(instruction) == dimensions


def test_from_answers_to_scores_on_the_command_line(folder, answers, tmp_path, capsys):
    words = [word for system, file in answers.items() for word in ("--answers", f"{system}={file}")]
    main(["page", "--data", str(folder), *words, "--out", str(tmp_path / "page.html")])
    assert "keep" in capsys.readouterr().out
    data = data_of(tmp_path / "page.html")
    places = [[{"red": 1, "green": 2, "blue": 3}[answer.split()[0]] for answer in item["answers"]] for item in data["items"]]
    rankings = [
        {"item": item["id"], "places": order, "dimensions": item["dimensions"]}
        for item, order in zip(data["items"], places, strict=True)
    ]
    saved = {"schema": data["schema"], "page": data["page"], "judge": "Anna", "rankings": rankings}
    (tmp_path / "anna.json").write_text(json.dumps(saved))
    main(["scores", "--key", str(tmp_path / "page.key.json"), str(tmp_path / "anna.json"), "--out", str(tmp_path / "s.json")])
    overall = re.findall(r"^overall +(\w+) +([\d.]+)", capsys.readouterr().out, re.MULTILINE)
    assert overall == [("pvit", "1.000"), ("shikra", "0.500"), ("llava", "0.000")]
    assert json.loads((tmp_path / "s.json").read_text())["scores"]["overall"]["pvit"]["wins"]["n"] == 2 * PICTURES
    (tmp_path / "anna (1).json").write_text(json.dumps(saved))
    with pytest.raises(ConfigurationError, match=r"found 2 rankings of fine_eval-\S+ by Anna; expected one"):
        main(["scores", "--key", str(tmp_path / "page.key.json"), str(tmp_path / "anna.json"), str(tmp_path / "anna (1).json")])


def test_the_real_set_is_converted_and_shown(tmp_path):
    fine_eval = shared("fine_eval")
    files = ["--annotations", str(fine_eval / "instructions.jsonl"), "--images", str(fine_eval / "images")]
    assert data_pipelines(["convert", "fine_eval", *files, "--out", str(tmp_path / "set"), "--workers", "1"]) == 0
    records = [json.loads(line) for line in (fine_eval / "instructions.jsonl").read_text().splitlines()]
    for name, field in (("a", "instruction"), ("b", "instruction_no_region")):
        lines = [{"image": record["image"], "instruction": record[field], "output": name} for record in records]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_page(tmp_path / "set", {name: tmp_path / f"{name}.jsonl" for name in "ab"}, tmp_path / "page.html")
    data = data_of(tmp_path / "page.html")
    assert (len(data["items"]), len(data["pictures"])) == (81, 31)
    assert sum(len(item["boxes"]) for item in data["items"]) > 81 * 0.8


def test_regions_are_drawn_over_the_picture_on_a_laptop_and_on_a_phone(tmp_path, folder, answers):
    write_page(folder, answers, tmp_path / "ranking.html", seed=0)
    for screen in measured(tmp_path / "ranking.html", (1366, 390)):
        assert screen["pictures"] == 1 and screen["strayed"] == 0 and screen["wide"] == []
