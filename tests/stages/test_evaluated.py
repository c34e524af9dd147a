import pytest

from tests.tiny_model import Logged, awake, tiny_data, tiny_model, tiny_trainer
from triscope.stages import MixtureStage


def test_validation_scores_every_task_and_test_adds_the_controls(folder, shards, tmp_path):
    stage, logger = MixtureStage(lambda: awake(tiny_model(folder))), Logged()
    trainer, data = tiny_trainer(tmp_path, limit_val_batches=1.0, logger=logger), tiny_data(shards)
    trainer.validate(stage, data)
    names = {name for metrics in logger.by_step.values() for name in metrics}
    assert {"validation/loss", "validation/image/vqa_acc", "validation/region/pointing_acc@0.5"} <= names
    assert set(trainer.progress_bar_metrics) == {"validation/loss"}
    trainer.test(stage, data)
    assert set(stage.predictions["tiny"]) == {"", "blind", "shuffled"}
    files = {file.name for file in (tmp_path / "predictions").iterdir()}
    assert files == {"tiny.jsonl", "tiny_blind.jsonl", "tiny_shuffled.jsonl"}
    assert len(stage.predictions["tiny"][""]) == 8


def test_without_controls_a_test_answers_once_and_alike(folder, shards, tmp_path):
    asked = {}
    for controls in (True, False):
        stage = MixtureStage(lambda: awake(tiny_model(folder)))
        tiny_trainer(tmp_path).test(stage, tiny_data(shards, controls=controls))
        asked[controls] = stage.predictions["tiny"]
    assert asked[False] == {"": asked[True][""]}
    assert {file.name for file in (tmp_path / "predictions").iterdir()} == {"tiny.jsonl"}


def test_batches_that_are_read_in_parts_give_the_same_losses_and_answers(folder, shards, tmp_path):
    found = []
    for rows in (None, 3):
        stage, logger, most = MixtureStage(lambda: awake(tiny_model(folder))), Logged(), []
        stage.configure_model()
        stage.model.register_forward_pre_hook(lambda model, given, most=most: most.append(len(given[0])))
        trainer = tiny_trainer(tmp_path / str(rows), limit_val_batches=1.0, logger=logger)
        trainer.validate(stage, tiny_data(shards, samples_per_batch=4, evaluation_rows=rows))
        scores = {name: value for metrics in logger.by_step.values() for name, value in metrics.items()}
        found.append((scores, {item.row.key: item.text for item in stage.predictions["tiny"][""]}, max(most)))
    (whole, answers, _), (parts, answers_of_parts, most_rows) = found
    assert most_rows == 3 and answers_of_parts == answers
    assert parts == pytest.approx(whole, rel=1e-5)
