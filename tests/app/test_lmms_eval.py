"""lmms-eval drives a run of ours: its own tasks, over data made here."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image as Picture
from PIL import ImageFile

from tests.data.tiny import ask, sample, write_shards
from tests.tiny_model import fit_arguments, prepare
from triscope.cli import main as triscope
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Level

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: pip install triscope[lmms]")

from datasets import Dataset, DatasetDict
from lmms_eval import evaluator
from lmms_eval.api.instance import Instance
from lmms_eval.models import get_model
from lmms_eval.tasks import TaskManager

from triscope.app.lmms_eval import Triscope

ImageFile.LOAD_TRUNCATED_IMAGES = False  # lmms-eval sets it where it is imported, and the other tests share the process

GREEDY = {"max_new_tokens": 4, "temperature": 0, "num_beams": 1, "do_sample": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned to say yes."""
    base = prepare(tmp_path_factory.mktemp("base"))
    write_shards(base / "shards", [sample(f"s{number}", [ask(("What is this?", "yes"))]) for number in range(4)])
    learning = ["--model.init_args.learning_rate", "0.01", "--model.init_args.warmup_steps", "2"]
    unhurried = ["--trainer.max_steps", "60", "--trainer.val_check_interval", "60", "--run.wandb", "disabled"]
    folder = base / "run"
    triscope(fit_arguments(base, str(base / "shards"), folder, *learning, *unhurried, "--model.init_args.warm_start", "null"))
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Triscope:
    return Triscope(str(run), batch_size=2, device="cpu")


def noise(seed: int) -> Picture.Image:
    return Picture.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def evaluated(folder: Path, run: Path, task: str, rows: list[dict], split: str = "test", **settings: Any) -> dict[str, float]:
    """What lmms-eval says of a task over rows that are stored in a folder.

    Args:
        folder: for the rows, and for the task's file.
        run: folder of the run that answers.
        task: its name, and that of the package of lmms-eval with its functions.
        rows: its documents.
        split: under which they are found.
        settings: of the task's file; functions are given by name.
    """
    DatasetDict({split: Dataset.from_list(rows)}).save_to_disk(folder / "data")
    data = {"dataset_path": str(folder / "data"), "dataset_kwargs": {"load_from_disk": True}, f"{split}_split": split}
    (folder / "task").mkdir()
    text = yaml.safe_dump({"task": f"our_{task}", **data, **settings})
    (folder / "task" / "task.yaml").write_text(text.replace("utils.", f"!function lmms_eval.tasks.{task}.utils."))
    results = evaluator.simple_evaluate(
        "triscope",
        model_args=f"folder={run}",
        tasks=[f"our_{task}"],
        batch_size=2,
        device="cpu",
        bootstrap_iters=0,
        task_manager=TaskManager(include_path=str(folder / "task"), include_defaults=False),
    )
    return {name.partition(",")[0]: value for name, value in results["results"][f"our_{task}"].items()}


def test_pope_scores_what_the_run_has_learned_to_say(tmp_path, run):
    truth = ["yes", "yes", "yes", "no", "no"]
    rows = [
        {"image": noise(number), "question": "Is there a dog?", "answer": answer, "question_id": str(number)}
        for number, answer in enumerate(truth)
    ]
    scores = ["accuracy", "precision", "recall", "f1_score"]
    found = evaluated(
        tmp_path,
        run,
        "pope",
        rows,
        output_type="generate_until",
        doc_to_visual="utils.pope_doc_to_visual",
        doc_to_text="utils.pope_doc_to_text",
        doc_to_target="answer",
        generation_kwargs=GREEDY,
        process_results="utils.pope_process_results",
        metric_list=[
            {"metric": f"pope_{score}", "aggregation": f"utils.pope_aggregate_{score}", "higher_is_better": True}
            for score in scores
        ],
        lmms_eval_specific_kwargs={"default": {"pre_prompt": "", "post_prompt": "\nAnswer yes or no."}},
    )
    assert [found[f"pope_{score}"] for score in scores] == pytest.approx([0.6, 0.6, 1.0, 0.75])


def test_hellaswag_ranks_endings_by_the_likelihood_that_the_run_has_learned(tmp_path, run):
    endings = [["yes", "dog", "cat", "no"], ["left", "yes", "right", "two"], ["no", "cat", "dog", "yes"]]
    rows = [
        {"ctx_a": "What is", "ctx_b": "this", "activity_label": "Question", "endings": each, "label": label}
        for each, label in zip(endings, ["0", "1", "0"], strict=True)
    ]
    found = evaluated(
        tmp_path,
        run,
        "hellaswag",
        rows,
        "validation",
        output_type="multiple_choice",
        process_docs="utils.process_docs",
        doc_to_text="{{query}}",
        doc_to_target="{{label}}",
        doc_to_choice="choices",
        metric_list=[{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    )
    assert found["acc"] == pytest.approx(2 / 3)


def asked(model: Triscope, method: str, documents: list[dict], arguments: list[tuple[str, Any]]) -> list[Any]:
    """What a method of the model says to (prompt, options or continuation), one a document."""
    model.task_dict = {"mine": {"test": documents}}
    requests = [
        Instance(method, (prompt, other, lambda document: document["pictures"], number, "mine", "test"), 0,
                 {"task": "mine", "doc_id": number, "repeats": 1})
        for number, (prompt, other) in enumerate(arguments)
    ]  # fmt: skip
    return getattr(model, method)(requests)


def test_likelihoods_depend_on_the_pictures_and_not_on_the_batch(model):
    documents = [{"pictures": pictures} for pictures in ([noise(0)], [noise(1)], [noise(0)], [noise(0), noise(1)], [])]
    losses = [loss for loss, _ in asked(model, "loglikelihood", documents, [("What is this?", " dog")] * len(documents))]
    assert losses[0] == pytest.approx(losses[2], abs=1e-4)
    assert len({round(loss, 3) for loss in losses}) == 4
    assert all(loss > 0 for loss in losses)
    alone = asked(model, "loglikelihood", documents[1:2], [("What is this?", " dog")])
    assert alone[0][0] == pytest.approx(losses[1], abs=1e-4)


def test_a_continuation_is_greedy_if_it_is_what_the_model_writes(model):
    documents = [{"pictures": [noise(0)]}] * 3
    continuations = [("What is this?", each) for each in (" yes", " dog", lambda document: "yes yes")]
    (said, other, longer) = asked(model, "loglikelihood", documents, continuations)
    assert (said[1], other[1], longer[1]) == (True, False, False)
    assert math.exp(-said[0]) > 0.5 > math.exp(-other[0])


def test_answers_end_before_the_stop_texts_of_their_own_task(model):
    documents = [{"pictures": [noise(0)]}] * 3
    options = [GREEDY, {**GREEDY, "until": ["e"]}, {**GREEDY, "until": "s"}]
    assert asked(model, "generate_until", documents, [("What is this?", each) for each in options]) == ["yes", "y", "ye"]


def test_an_exported_model_answers_like_its_run(model, run):
    triscope(["export", str(run), "--out", str(run.parent / "exported"), "--to", "model", "--dtype", "float32"])
    exported = Triscope(str(run.parent / "exported"), device="cpu")
    documents, questions = [{"pictures": [noise(0)]}], [("What is this?", " dog")]
    ours, theirs = (asked(each, "loglikelihood", documents, questions)[0][0] for each in (model, exported))
    assert theirs == pytest.approx(ours, abs=1e-4)


def test_the_level_goes_by_the_question_unless_it_is_given(model, run):
    documents = [{"pictures": [noise(0)]}]
    asked(model, "generate_until", documents, [("Where is the dog?", GREEDY)])
    requests = [Instance("generate_until", (prompt, GREEDY, lambda document: document["pictures"], 0, "mine", "test"), 0,
                         {"task": "mine", "doc_id": 0, "repeats": 1}) for prompt in ("Where is it?", "What is it?")]  # fmt: skip
    assert [row.level for row in model._batch(requests).rows] == [Level.REGION, Level.IMAGE]
    given = Triscope(str(run), device="cpu", level="image")
    given.task_dict = model.task_dict
    assert [row.level for row in given._batch(requests).rows] == [Level.IMAGE, Level.IMAGE]


@pytest.mark.parametrize(
    ("pictures", "options", "message"),
    [
        (["clip.mp4"], GREEDY, "task mine, document 0: found str; expected pictures"),
        ([], {**GREEDY, "do_sample": True}, "found do_sample: true; expected greedy or beam search"),
    ],
    ids=["a film", "sampling"],
)
def test_what_cannot_be_asked_is_told(model, pictures, options, message):
    with pytest.raises(ConfigurationError, match=message):
        asked(model, "generate_until", [{"pictures": pictures}], [("What is this?", options)])


def test_several_processes_are_told_to_be_one(run, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigurationError, match="found 2 processes; expected one"):
        Triscope(str(run))


def test_lmms_eval_finds_the_model_by_name():
    assert get_model("triscope") is Triscope
