"""A plan tells memory and steps of a run, and starts nothing."""

import re
from pathlib import Path

import pytest
from transformers import AutoTokenizer, LlamaConfig

from tests.conftest import REPOSITORY
from tests.tiny_model import fit_arguments, prepare, write_tiny_shards
from triscope.cli import main

LANGUAGE = "--model.init_args.model.init_args.language.init_args"
TRAINERS = REPOSITORY / "conf" / "trainer"
GIB = 2**30


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Frozen bases, shards beside them, and a language model of a size that shows in GiB, without weights."""
    folder = prepare(tmp_path_factory.mktemp("base"))
    write_tiny_shards(folder / "shards", count=16)
    tokenizer = AutoTokenizer.from_pretrained(folder / "llama")
    sizes = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 2, "num_attention_heads": 16}
    LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=2, **sizes).save_pretrained(folder / "wide")
    tokenizer.save_pretrained(folder / "wide")
    return folder


MATRICES = 2 * (4 * 2048 * 2048 + 3 * 2048 * 8192)  # weights of the wide language model, but for some thousands


def plan_of(base: Path, capsys, *more: str) -> tuple[dict[str, float], str]:
    """What is planned for the wide language model: GiB by line, and all that is told."""
    arguments = fit_arguments(base, str(base / "shards"), base / "run", f"{LANGUAGE}.path", str(base / "wide"), *more)
    main([*arguments, f"{LANGUAGE}.adapter_bottleneck", "256", "--trainer.max_steps", "4", "--plan"])
    told = capsys.readouterr().out
    return {name: float(size) for name, size in re.findall(r"^(.+?) +([\d.]+) GiB$", told, re.MULTILINE)}, told


def test_a_plan_is_printed_and_nothing_is_started(base, tmp_path, capsys):
    run = tmp_path / "run"
    main([*fit_arguments(base, str(base / "shards"), run), "--plan"])
    told = capsys.readouterr().out
    for part in ("weights of language, frozen", "weights of qformer, trained", "moments of the optimizer", "in all", " GiB"):
        assert part in told
    assert "4 steps of 2 samples on each device" in told and "an epoch has 16 samples: 0.5 epochs" in told
    assert not run.exists()


def test_the_weights_of_one_gpu_are_whole_and_in_4_bits_an_eighth_of_that(base, capsys):
    whole, told = plan_of(base, capsys, "--trainer", str(TRAINERS / "gpu.yaml"))
    assert "one device, bf16-mixed" in told
    assert whole["weights of language, frozen"] == pytest.approx(4 * MATRICES / GIB, rel=0.01)
    packed, told = plan_of(base, capsys, "-c", str(TRAINERS / "gpu_4bit.yaml"))
    assert "one device, bf16-mixed" in told and "4 steps of 16 samples on each device in 16 micro-batches" in told
    assert packed["weights of language, frozen"] == pytest.approx(0.5166 * MATRICES / GIB, rel=0.02)
    assert packed["moments of the optimizer"] == whole["moments of the optimizer"]
    for plan in (whole, packed):
        parts = sum(size for name, size in plan.items() if name != "in all")
        assert plan["in all"] == pytest.approx(parts, abs=0.01)


def test_of_a_sharded_model_each_device_is_told_its_piece_and_what_it_gathers(base, capsys):
    sharded = ("--trainer", str(TRAINERS / "node_fsdp.yaml"))
    whole, _ = plan_of(base, capsys, "--trainer", str(TRAINERS / "gpu.yaml"))
    cut, told = plan_of(base, capsys, *sharded, "--trainer.devices", "4", "--trainer.num_nodes", "2")
    assert "each of 8 devices, bfloat16 (the strategy's compute_dtype)" in told and "one of 8 pieces" in told
    assert "4 epochs on 8 devices" in told
    for line in ("weights of language, frozen", "moments of the optimizer"):
        assert cut[line] == pytest.approx(whole[line] / 8, abs=0.001)
    a_layer_twice = 2 * 2 * (MATRICES / 2) / GIB
    assert a_layer_twice < cut["activations, gradients"] < 2 * a_layer_twice
    packed, _ = plan_of(base, capsys, *sharded, "--trainer.devices", "8", f"{LANGUAGE}.dtype", "nf4")
    assert packed["weights of language, frozen"] == pytest.approx(0.5166 * MATRICES / GIB, rel=0.02)  # whole on each
    assert packed["moments of the optimizer"] == cut["moments of the optimizer"]


def test_all_gpus_where_there_is_none_are_those_of_a_usual_node_and_that_is_said(base, capsys):
    _, told = plan_of(base, capsys, "--trainer", str(TRAINERS / "node_fsdp.yaml"))
    assert "each of 8 devices" in told and "none is here: planned for 8 a node" in told


@pytest.mark.parametrize(
    ("option", "found"),
    [("--trainer.strategy=fsdp", "FSDPStrategy"), ("--trainer.strategy=fast", "fast"), ("--trainer.precision=bf16-true", "bf16")],
)
def test_what_fit_refuses_or_a_plan_does_not_know_is_refused(base, capsys, option, found):
    with pytest.raises(SystemExit, match=rf"{option.partition('=')[0].removeprefix('--')}: found {found}"):
        plan_of(base, capsys, option)


def test_a_tower_that_would_be_compiled_is_planned_all_the_same(base, tmp_path, capsys):
    told = []
    for compiled in ("false", "true"):
        option = ("--model.init_args.model.init_args.vision.init_args.compiled", compiled)
        main([*fit_arguments(base, str(base / "shards"), tmp_path / "run", *option), "--plan"])
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] and "in all" in told[0]


def test_what_is_read_without_the_levers_of_the_data_is_planned(base, tmp_path, capsys):
    told = {}
    for shards in (base / "shards", tmp_path / "nowhere"):
        for lever in ("true", "false"):
            options = ("--data.shared_pictures", lever, "--data.pixels_as_bytes", lever, "--data.conversations_per_image", "2")
            main([*fit_arguments(base, str(shards), tmp_path / "run", *options), "--plan"])
            told[shards.name, lever] = re.search(r"(\d+) rows, (\d+) images", capsys.readouterr().out).groups()
    assert {lever: images for (_, lever), images in told.items()} == {"true": ("4", "2"), "false": ("4", "4")}
    assert told["shards", "false"] == told["nowhere", "false"] and told["shards", "true"] == told["nowhere", "true"]
    cached = ("--model.init_args.model.init_args.vision.init_args.cache_folder", str(tmp_path / "cache"))
    with pytest.raises(SystemExit, match=r"data\.pixels_as_bytes: found false, with a cache_folder"):
        main([*fit_arguments(base, str(base / "shards"), tmp_path / "run", *cached, "--data.pixels_as_bytes", "false"), "--plan"])


def test_a_plan_without_the_data_says_so(base, tmp_path, capsys):
    main([*fit_arguments(base, str(tmp_path / "nowhere"), tmp_path / "run"), "--plan"])
    assert "the data is not here" in capsys.readouterr().out
