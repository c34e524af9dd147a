"""The benchmark of one GPU runs from model files to its table, at tiny sizes on a CPU; its real models have the real sizes."""

import json

import pytest
import torch

from benchmarks.one_gpu import SYSTEMS, Work, batch_of, beside_bfloat16, doubled, line, main, stage_of, tokens_of


def figures(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    main(["--rounds", "1", "--json", *arguments])
    printed = json.loads(capsys.readouterr().out)
    assert printed["machine"]["commit"]
    return printed["figures"]


def test_both_precisions_take_steps_of_doubled_micro_batches(capsys):
    found = figures(capsys, "--systems", "lion_4b")
    taken = [(each["precision"], each["samples"]) for each in found]
    assert taken == [("bfloat16", 1), ("bfloat16", 2), ("nf4", 1), ("nf4", 2)]
    for each in found:
        assert each["peak_gib"] > 0 and each["samples_per_second"]["median"] > 0 and each["goals"] == {}
        assert each["tokens_per_second"]["median"] > 10 * each["samples_per_second"]["median"]
        assert (each["times_bfloat16"] or 0) > 0 or each["precision"] == "bfloat16"


@pytest.mark.parametrize("system", ["pvit_7b", "sam_7b"])
def test_other_systems_take_steps_in_4_bits(capsys, system):
    (found,) = figures(capsys, "--systems", system, "--precisions", "nf4", "--largest", "1")
    assert found["seconds"] > 0 and found["times_bfloat16"] is None


@pytest.mark.gpu
def test_tiny_systems_take_steps_on_a_gpu(capsys):
    found = figures(capsys, "--device", "cuda", "--sizes", "tiny", "--systems", "lion_4b", "pvit_7b", "sam_7b", "--largest", "1")
    assert [each["precision"] for each in found] == ["bfloat16", "nf4"] * 3
    assert all(0 < each["peak_gib"] < 1 for each in found)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_real_sizes_are_built_and_fed(system):
    stage = stage_of(Work(system, "nf4", "published", "meta"))
    language = stage.model.language
    assert language.is_4bit and stage.model.training
    assert sum(parameter.numel() for parameter in language.parameters()) > 2.8e9
    batch = batch_of(SYSTEMS[system], stage, 2)
    assert len(batch) == (8 if system.startswith("lion") else 2)
    pictures = {"lion": 8 * (32 + 257), "pvit": 2 * (256 + 2), "sam": 2 * 2 * 32}[system.partition("_")[0]]
    assert pictures < tokens_of(batch, stage) < pictures + 8 * 256
    trained = {stage.model.part_of(name) for name, _ in stage.trained_parameters()}
    assert "language" not in trained
    assert trained >= {"lion_4b": {"router", "qformer"}, "pvit_7b": {"lora", "region_projector"}}.get(system, set())


def test_the_tokens_of_a_batch_are_those_that_the_language_model_gets():
    for system in ("lion_4b", "pvit_7b", "sam_7b"):
        stage = stage_of(Work(system, "bfloat16", "tiny", "cpu"))
        batch = batch_of(SYSTEMS[system], stage, 2)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            assert int(stage.model.fused(batch, batch.valid_BT).valid_BT.sum()) == tokens_of(batch, stage)


def test_micro_batches_double_until_memory_is_out():
    def figure(samples: int) -> dict:
        if samples > 2:
            raise torch.OutOfMemoryError
        return {"seconds": 1.0}

    assert list(doubled(figure, largest=None)) == [
        {"samples": 1, "seconds": 1.0},
        {"samples": 2, "seconds": 1.0},
        {"samples": 4, "out_of_memory": True},
    ]
    assert [each["samples"] for each in doubled(figure, largest=1)] == [1]


def test_a_line_tells_the_goals_beside_the_figures():
    rate = {"median": 2.0, "lowest": 1.5, "highest": 2.5}
    measured = {"peak_gib": 12.5, "samples_per_second": rate, "tokens_per_second": {"median": 1234.0}}
    whole = {"system": "lion_12b", "precision": "bfloat16", "samples": 1, "seconds": 0.4, "goals": {}, **measured}
    packed = {**whole, "precision": "nf4", "seconds": 0.5, "goals": Work("lion_12b", "nf4", "published", "cuda").goals(1)}
    assert line(beside_bfloat16(packed, [whole])) == (
        "| LION-12B, stage 3 | nf4 | 1 | 12.50 (goal: under 14) | 2.00 (1.50 to 2.50) | 1,234 | 1.25 (goal: at most 1.4) |"
    )
    assert line(beside_bfloat16(whole, [])).endswith("| 1 | 12.50 | 2.00 (1.50 to 2.50) | 1,234 |  |")
    too_much = {"system": "sam_7b", "precision": "nf4", "samples": 8, "out_of_memory": True}
    assert line(beside_bfloat16(too_much, [whole])) == "| SAM-7B | nf4 | 8 | out of memory | | | |"
