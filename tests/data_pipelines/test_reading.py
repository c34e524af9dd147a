"""Annotation files are read record by record; what is no JSON, or another layout, is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_pipelines.reading import keyed, read_lines, read_list, read_members
from triscope.data.errors import TriscopeError


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "a.json").write_text(text)
        return tmp_path / "a.json"

    return write


RECORDS = [{"id": 1, "box": [0.5, 2], "text": 'a ] } "b"'}, {"id": 2, "inner": {"images": [{"id": 3}]}}]


def test_a_list_is_read_bare_or_by_its_name(written: Callable[[str], Path]) -> None:
    assert list(read_list(written(json.dumps(RECORDS)))) == RECORDS
    assert list(read_list(written(json.dumps({"info": {}, "images": [{"id": 9}], "all": RECORDS})), "all")) == RECORDS
    assert list(read_list(written("\n " + json.dumps(RECORDS, indent=3)), "all")) == RECORDS


def test_members_are_read_at_the_top_or_by_their_name(written: Callable[[str], Path]) -> None:
    members = {"a.b": {"x": 0.25}, "c": [1]}
    assert dict(read_members(written(json.dumps(members)))) == members
    assert dict(read_members(written(json.dumps({"meta": {"d": 1}, "data": members})), "data")) == members


def test_numbers_are_the_same_as_those_of_the_whole_file(written: Callable[[str], Path]) -> None:
    (record,) = read_list(written('[{"a": 1.5, "b": 3, "c": -1e3}]'))
    assert [type(value) for value in record.values()] == [float, int, float]


def test_records_come_before_the_file_is_read_to_its_end(written: Callable[[str], Path]) -> None:
    records = read_list(written(json.dumps([{"id": number} for number in range(20_000)]) + "broken"))
    assert next(records) == {"id": 0}
    with pytest.raises(TriscopeError, match="not JSON"):
        list(records)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[{"id": 1}, {"id"', "not JSON"),
        ('[{"id": 1}', "not JSON"),
        ("", "not JSON"),
        ("{}", "JSON without any; expected a list of records"),
        ("[]", "JSON without any"),
        ("[[1, 2]]", r"an item that is \[1, 2\]"),
    ],
)
def test_another_layout_is_told(written: Callable[[str], Path], text: str, found: str) -> None:
    with pytest.raises(TriscopeError, match=found):
        list(read_list(written(text)))
    with pytest.raises(TriscopeError, match="found"):
        list(read_members(written(text.replace("{", "[").replace("}", "]").replace(":", ","))))


def test_lines_are_read_one_by_one_and_a_broken_one_is_named(written: Callable[[str], Path]) -> None:
    lines = read_lines(written('{"a": 1}\n\n{"a": 2}\n[3]\n'))
    assert [next(lines), next(lines)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(TriscopeError, match=r"line 4: found list; expected an object"):
        next(lines)
    with pytest.raises(TriscopeError, match=r"line 1: found text that is not JSON"):
        next(read_lines(written("{")))


@pytest.mark.parametrize(("record", "found"), [({"b": 1}, r"fields \['b'\]; expected a field 'a'"), ({"a": [1]}, r"\[1\]")])
def test_a_record_without_its_key_is_named(record: dict[str, Any], found: str) -> None:
    with pytest.raises(TriscopeError, match=rf"x\.json, record 1.*{found}"):
        list(keyed([{"a": 0}, record], "a", Path("x.json")))
