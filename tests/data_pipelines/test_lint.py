"""Lint finds each fault and names file, key and field."""

import json
import tarfile
from pathlib import Path

import pytest

from data_pipelines.lint import lint
from tests.data_pipelines.made_up import HEIGHT, WIDTH, made_up_sample, picture, record, write_made_up, write_shard
from triscope.data.errors import BadShardError
from triscope.data.shard_writer import index_folder


def caption(prompt: str = "Describe it.", answers: tuple[str, ...] = ("pets",)) -> list[dict]:
    """Conversations with one turn."""
    return [{"task": "caption", "level": "image", "turns": [{"prompt": prompt, "answers": list(answers)}]}]


def box(x1: float, y1: float, x2: float, y2: float) -> list[dict]:
    """Regions with one box."""
    return [{"image": 0, "box": {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "space": "pixels"}}]


def faults_of(path: Path, number: int = 0, content: bytes | None = None, **changes: object) -> list[str]:
    """Messages for a shard with one changed sample, without the missing index."""
    key = f"made-{number}"
    write_shard(path / "a.tar", {key: record(number, **changes)}, {key: picture() if content is None else content})
    return [str(fault) for fault in lint(path).faults if "no index.json" not in str(fault)]


def test_a_set_in_order_has_no_fault(tmp_path: Path) -> None:
    write_made_up(tmp_path)
    report = lint(tmp_path, workers=2)
    assert (report.shards, report.samples, report.faults) == (2, 3, ())
    assert "2 shards, 3 samples: no fault(s)." in report.text()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"regions": box(5, 5, WIDTH + 20, 20), "conversations": caption()}, "regions[0]: found box"),
        ({"regions": box(20, 5, 5, 20), "conversations": caption()}, "regions[0]: found box"),
        ({"conversations": caption("Describe <image:2>.")}, "conversations[0].turns[0].prompt: found <image:2>"),
        ({"conversations": caption("What is at <region:3>?")}, "conversations[0].turns[0].prompt: found <region:3>"),
        ({"conversations": caption(answers=("",))}, "conversations[0].turns[0].answers: found ['']"),
        ({"conversations": []}, "found no conversation"),
        ({"key": "other"}, "found key 'other' in the record"),
        ({"schema": 7}, "found no schema number, or another"),
        ({"conversations": [caption()[0] | {"level": "word"}]}, "conversations[0]: found 'word' is not a valid Level"),
        ({"conversations": [*caption(), {"task": "caption", "level": "image"}]}, "conversations[1]: found no field 'turns'"),
        ({"images": [{"file": "0.jpg", "height": HEIGHT}]}, "images[0]: found no field 'width'"),
        ({"images": 3}, "found 'int' object is not iterable"),
        ({"content": b"no picture"}, "images[0] (0.jpg): found a picture that cannot be decoded"),
        ({"content": picture()[:-100]}, "images[0] (0.jpg): found a picture that cannot be decoded"),
        ({"content": picture(32, HEIGHT)}, "images[0] (0.jpg): found a picture of 32x48; expected 64x48"),
    ],
)
def test_a_fault_is_named_by_file_key_and_field(tmp_path: Path, changes: dict, fault: str) -> None:
    (message,) = faults_of(tmp_path, **changes)
    assert message.startswith(f"{tmp_path / 'a.tar'}, key 'made-0'")
    assert fault in message


def test_a_missing_picture_and_a_missing_record_are_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {"made-0": record(0)}, {"made-1": picture()})
    _, without_picture, without_record = map(str, lint(tmp_path).faults)
    assert "key 'made-0', images: found pictures [] in the shard; expected ['0.jpg']" in without_picture
    assert "key 'made-1': found no record" in without_record


def test_every_fault_of_a_sample_is_listed(tmp_path: Path) -> None:
    conversations = caption("Describe <image:2>.", answers=())
    assert len(faults_of(tmp_path, content=b"", regions=box(9, 9, 5, 5), conversations=conversations)) == 4


def test_a_key_in_two_shards_is_named_with_both(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        write_shard(tmp_path / name, {"made-0": record(0)}, {"made-0": picture()})
    fault = str(lint(tmp_path).faults[-1])
    assert "b.tar, key 'made-0': found a key that is also in a.tar" in fault


def test_a_key_twice_in_a_shard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_shard(path, {f"made-{number}": record(number) for number in range(2)}, {f"made-{n}": picture() for n in range(2)})
    with tarfile.open(path) as tar:
        _, last = tar.getmembers()[-2:]
        end = last.offset_data + -(-last.size // 512) * 512
    content = path.read_bytes()
    path.write_bytes(content[:end] + content)  # the two samples, and once more
    fault = str(lint(tmp_path).faults[-2])
    assert "a.tar, key 'made-0': found a key that is also earlier in this shard" in fault


def test_a_missing_index_is_a_fault_beside_the_others(tmp_path: Path) -> None:
    faults_of(tmp_path)
    (fault,) = lint(tmp_path).faults
    assert "no index.json" in str(fault) and "data_pipelines index" in str(fault)
    index_folder(tmp_path)
    assert lint(tmp_path).faults == ()


def test_a_shard_changed_or_added_after_indexing_is_named(tmp_path: Path) -> None:
    write_made_up(tmp_path)
    path = tmp_path / "shard-000000.tar"
    path.write_bytes(path.read_bytes().replace(b"pets", b"cats"))
    write_shard(tmp_path / "added.tar", {"made-9": record(9)}, {"made-9": picture()})
    changed, added = map(str, lint(tmp_path).faults)
    assert f"{path}: found another content" in changed
    assert "added.tar: found a shard that is not in the index" in added


def test_a_shard_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    write_made_up(tmp_path)
    path = tmp_path / "shard-000000.tar"
    second = json.loads((tmp_path / "shard-000000.index.json").read_text())["offsets"][1]
    path.write_bytes(path.read_bytes()[: second + 2000])
    report = lint(tmp_path)
    assert report.samples == 2  # the first of this shard and the one of the other
    assert any(f"{path}: found a " in str(fault) for fault in report.faults)


def test_the_report_tells_what_to_do(tmp_path: Path) -> None:
    faults_of(tmp_path, key="other")
    text = lint(tmp_path).text()
    assert f"- **{tmp_path / 'a.tar'}, key 'made-0'**\n  found key 'other' in the record; expected" in text
    assert "To do: convert the data again." in text


def test_a_folder_without_shards_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadShardError, match=r"no \.tar file"):
        lint(tmp_path)


def test_the_made_up_sample_is_itself_in_order() -> None:
    made_up_sample(0).check()
