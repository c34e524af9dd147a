"""Shards are written whole or not at all, and from the same samples always alike."""

from pathlib import Path

import pytest
import webdataset

from tests.data.numbered import make_sample, write_set, write_tar
from triscope.data.errors import BadSampleError, BadShardError
from triscope.data.sample import Image, Sample
from triscope.data.shard_writer import ShardWriter, index_folder
from triscope.data.shards import ShardSet, scan


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = write_set(tmp_path / "first"), write_set(tmp_path / "second")
    assert first.fingerprint == second.fingerprint != write_set(tmp_path / "third", count=6).fingerprint
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_an_interrupted_writer_leaves_whole_shards_and_no_index(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ShardWriter(tmp_path, samples_per_shard=2) as writer:
        for number in range(3):
            writer.write(*make_sample(number))
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard-000000.index.json", "shard-000000.tar"]
    assert len(list(scan(tmp_path / "shard-000000.tar"))) == 2
    with pytest.raises(BadShardError, match=r"no index\.json.*python -m data_pipelines index"):
        ShardSet.open(tmp_path)


def test_a_folder_with_files_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(BadShardError, match="empty folder"):
        ShardWriter(tmp_path)


@pytest.mark.parametrize(
    ("sample", "images", "fault"),
    [
        (make_sample(0)[0], [b"a"], "key 'sample-0': found a key that was written before"),
        (make_sample(1)[0], [], r"key 'sample-1', images: found 0 picture\(s\); expected 1"),
        (make_sample(1)[0], [b""], r"images\[0\]: found 0 bytes"),
        (Sample("b", (Image("cat.jpg", 1, 1),), make_sample(1)[0].conversations), [b"a"], r"images\[0\]\.file"),
        (Sample("b", (Image("1.jpg", 1, 1),), make_sample(1)[0].conversations), [b"a"], r"'1\.jpg'; expected 0\.jpg"),
        (Sample("b" * 90, (), make_sample(1)[0].conversations), [], "90 characters"),
        (Sample("b", (), ()), [], "no conversation"),
    ],
)
def test_a_sample_that_could_not_be_read_back_is_not_written(
    tmp_path: Path, sample: Sample, images: list[bytes], fault: str
) -> None:
    with ShardWriter(tmp_path) as writer:
        writer.write(*make_sample(0))
        with pytest.raises(BadSampleError, match=fault):
            writer.write(sample, images)
    assert [raw.key for raw in ShardSet.open(tmp_path)] == ["sample-0"]


def test_shards_of_other_tools_are_indexed_in_place(tmp_path: Path) -> None:
    first, second = make_sample(0), make_sample(1, images=2)
    with webdataset.TarWriter(str(tmp_path / "theirs-0.tar")) as writer:
        for sample, images in (first, second):
            pictures = {image.file: content for image, content in zip(sample.images, images, strict=True)}
            writer.write({"__key__": sample.key, "json": sample.to_json().encode(), "txt": "ignored", **pictures})
    shards = index_folder(tmp_path)
    assert shards.counts.samples == 2
    assert [raw.parse() for raw in shards.read(0, [1, 0])] == [second, first]


def test_indexing_again_changes_nothing(tmp_path: Path) -> None:
    fingerprint = write_set(tmp_path).fingerprint
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert index_folder(tmp_path).fingerprint == fingerprint
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_key_that_occurs_twice_is_not_indexed(tmp_path: Path) -> None:
    sample, images = make_sample(0)
    for name in ("a.tar", "b.tar"):
        write_tar(tmp_path / name, [("sample-0.json", sample.to_json().encode()), ("sample-0.0.jpg", images[0])])
    with pytest.raises(BadSampleError, match=r"b\.tar, key 'sample-0': found a key that occurs twice"):
        index_folder(tmp_path)


def test_an_empty_folder_cannot_be_indexed(tmp_path: Path) -> None:
    with pytest.raises(BadShardError, match=r"no \.tar file"):
        index_folder(tmp_path)
