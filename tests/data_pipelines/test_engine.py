"""Both engines give the results in the order of the items, and an error as the function raised it."""

import os
import time
from functools import partial

import pytest

import data_pipelines.engine
from data_pipelines.engine import in_order, in_order_on_ray
from triscope.data.errors import BadSampleError

ENGINES = {
    "one process": partial(in_order, workers=1),
    "two processes": partial(in_order, workers=2, chunk=3),
    "ray": partial(in_order_on_ray, workers=2),
}
engine_of = pytest.mark.parametrize("name", ENGINES)


@pytest.fixture
def engine(name, request):
    if name == "ray":
        request.getfixturevalue("local_ray")
    return ENGINES[name]


def refuse_seven(number: int) -> int:
    if number == 7:
        raise BadSampleError("number 7", "a seven", "any other number", "leave it out")
    return -number


@engine_of
def test_results_come_in_the_order_of_the_items(engine):
    assert list(engine(abs, range(-20, 0))) == list(range(20, 0, -1))


@engine_of
def test_an_error_comes_as_it_was_raised_and_stops_the_work(engine):
    results = engine(refuse_seven, range(30))
    with pytest.raises(BadSampleError, match="number 7: found a seven"):
        list(results)


@pytest.mark.parametrize("name", ["two processes", "ray"])
def test_items_are_read_no_further_ahead_than_needed(engine):
    read = []
    results = engine(abs, (read.append(number) or number for number in range(1000)))
    next(results)
    assert len(read) < 30
    results.close()


@pytest.mark.parametrize("name", ["two processes", "ray"])
def test_the_work_is_done_elsewhere(engine):
    assert os.getpid() not in set(engine(other_process, range(4)))


def other_process(_: int) -> int:
    return os.getpid()


def test_it_is_told_where_ray_gives_no_result_for_long(local_ray, monkeypatch, caplog):
    monkeypatch.setattr(data_pipelines.engine, "TOLD_AFTER", 0.2)
    assert list(in_order_on_ray(time.sleep, [1.0], workers=2)) == [None]
    assert "Ray has given no result for 0.2 s: `ray status` tells whether it has room for a task" in caplog.text


def test_processes_can_be_started_afresh():
    assert list(in_order(abs, range(-4, 0), workers=2, chunk=2, start="spawn")) == [4, 3, 2, 1]
