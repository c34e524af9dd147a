import hashlib
import json
import re
import shlex

import pytest
import yaml

from data_pipelines.__main__ import _parser as data_pipelines_parser
from tests.conftest import REPOSITORY
from triscope.data.asking import BenchmarkSet
from triscope.data.errors import ConfigurationError
from triscope.evaluation.benchmarks import BENCHMARKS, Benchmark, benchmark, first_line, short_answer
from triscope.evaluation.tasks import measures_of

FILES = sorted((REPOSITORY / "conf" / "data").glob("eval_*.yaml"))
SETS = {
    (file.stem, name): BenchmarkSet(**told)
    for file in FILES
    for split in ("test", "predict")
    for name, told in yaml.safe_load(file.read_text()).get(split, {}).items()
}


@pytest.mark.parametrize(("place", "asked"), SETS.items(), ids=lambda value: "/".join(value) if isinstance(value, tuple) else "")
def test_every_set_of_the_data_files_is_made_by_a_command_that_exists(place, asked):
    assert asked.benchmark is not None
    command = shlex.split(benchmark(asked.benchmark).asking.command(asked))
    parsed = data_pipelines_parser().parse_args(command[3:])
    assert str(parsed.out) == asked.shards
    assert "{" not in " ".join(command) and asked.split in " ".join(command)


def test_every_benchmark_stands_in_a_data_file_and_has_a_name_of_its_own():
    names = [each.name for each in BENCHMARKS]
    assert len(set(names)) == len(names)
    assert {asked.benchmark for asked in SETS.values()} == set(names)


def test_an_unknown_benchmark_is_refused_with_the_names_of_all():
    with pytest.raises(ConfigurationError, match=r"'refcoc'; expected one of flickr30k, .*refcoco,.*Correct the name"):
        benchmark("refcoc")


def test_what_is_made_of_an_answer():
    assert short_answer(" A Dog. ") == "a dog"
    assert first_line("a dog\nQuestion: what else?") == "a dog"


@pytest.mark.parametrize("each", BENCHMARKS, ids=lambda each: each.name)
def test_a_description_is_whole_and_survives_json(each: Benchmark):
    told = json.loads(json.dumps(each.described()))
    assert told["name"] == each.name and each.label == f"{told['name']} {told['version']}"
    assert {"task", "scored_as", "wording", "decoding", "decided_by", "post_processing"} < told.keys()


def test_the_page_of_results_names_the_sets_of_the_data_files_and_all_of_them():
    text = (REPOSITORY / "docs" / "results.md").read_text()
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named == {name for _, name in SETS} - {"fine_eval"}  # which people rank


def test_the_page_of_results_names_scores_that_its_sets_have():
    asked = {name: asked for (_, name), asked in SETS.items()}
    for name, score in re.findall(r"^\| `(\w+)` \| `([\w@.]+)` ", (REPOSITORY / "docs" / "results.md").read_text(), re.MULTILINE):
        asking = benchmark(asked[name].benchmark or "").asking
        task = asking.scored_as or asking.task
        assert score in {f"{task}_{measure.name}" for measure in measures_of(task)}, name


# What a benchmark is under a version: a change to its wording, its decoding or its post-processing needs a new version, and a new
# line here. `python -m tests.evaluation.test_benchmarks` prints them.
KNOWN = {
    "flickr30k 1": "8e76083eeb7c",
    "coco 1": "5436b304762c",
    "nocaps 1": "81bd6d4b4b6b",
    "textcaps 1": "e16759444f03",
    "vqa_v2 1": "d425a003fb7c",
    "ok_vqa 1": "3b78dfe0acf3",
    "a_okvqa_direct 1": "03a82badfffa",
    "a_okvqa_choice 1": "199bf0cd04ec",
    "gqa 1": "5033fb1aaaf2",
    "vsr 1": "063d83bbd1e1",
    "icon_qa 1": "682868330979",
    "visdial 1": "931077b6734a",
    "science_qa 1": "6250b530d052",
    "pope 1": "ae429a18bb66",
    "mmbench 1": "f096bdc0849e",
    "mme 1": "d363cb2fcf8b",
    "refcoco 1": "3b3b72bf3650",
    "refcoco_plus 1": "9ce3d5efdc02",
    "refcocog 1": "99e7767c766c",
    "refcocog_description 1": "2b8b34e67eef",
    "visual_genome_description 1": "a89495d73891",
    "coco_recognition 1": "1720b058d3f2",
    "gqa_regions 1": "c92736275083",
    "fine_eval 1": "76ca01eacdb9",
    "sam_aesop 1": "416fd72e8fd0",
    "sam_vist 1": "109e00b7d354",
    "sam_dm800k 1": "745fa876fc75",
    "sam_conceptual 1": "30d66cea1520",
    "sam_animal 1": "2ed8461b3cec",
    "sam_vehicle 1": "2abfc2d5e6c6",
    "nlvr 1": "e4e78d2cfeca",
    "nlvr2 1": "14a8fcf6a1b4",
}


def fingerprint(each: Benchmark) -> str:
    told = {name: value for name, value in each.described().items() if name != "decided_by"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def test_no_benchmark_changes_without_a_new_version():
    assert {each.label: fingerprint(each) for each in BENCHMARKS} == KNOWN


if __name__ == "__main__":
    for each in BENCHMARKS:
        print(f'    "{each.label}": "{fingerprint(each)}",')
