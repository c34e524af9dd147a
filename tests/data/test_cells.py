"""Which thing stands in which cell of a board over a picture."""

from math import isqrt
from pathlib import Path

import yaml

from data_pipelines.scenes.samples import scene_samples
from data_pipelines.scenes.text import AGGREGATOR, QFORMER
from triscope.data.cells import covering_things

LEFT, RIGHT = [0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]


def test_a_cell_holds_the_thing_that_covers_most_of_it_and_enough():
    assert covering_things([LEFT, RIGHT], 2) == [0, 1, 0, 1]
    assert covering_things([[0.0, 0.0, 0.5, 0.5]], 2) == [0, None, None, None]
    assert covering_things([[0.0, 0.0, 0.2, 0.5], [0.2, 0.0, 0.5, 0.5]], 2) == [1, None, None, None]
    assert covering_things([[0.0, 0.0, 0.2, 0.2]], 2) == [None] * 4  # a sixth of the first cell
    assert covering_things([], 2) == [None] * 4


def test_the_boards_of_scenes_as_text_are_those_of_the_micro_bridges():
    model = yaml.safe_load(Path("conf/model/lion_micro.yaml").read_text())["init_args"]
    assert isqrt(model["bridges"]["qformer"]["init_args"]["queries"]) == QFORMER
    vision = model["vision"]["init_args"]
    assert vision["image_size"] // 14 // vision["pool"] == AGGREGATOR  # patches of 14 pixels


def test_nearly_every_thing_of_a_scene_covers_a_cell_of_the_micro_qformer():
    scenes = [[thing["box"] for thing in made.extra["objects"]] for made, _ in scene_samples(0, "train", 0, 200)]

    def covering(side: int) -> float:
        """Share of all things that are named in a cell."""
        named = [set(covering_things(boxes, side)) - {None} for boxes in scenes]
        return sum(map(len, named)) / sum(map(len, scenes))

    assert covering(QFORMER) > 0.97 > 0.95 > covering(4)
