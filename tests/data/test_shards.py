"""Shards hold what was written, and say what is wrong with them."""

import json
import tarfile
from pathlib import Path

import pytest
import webdataset

from tests.data.numbered import make_sample, write_set, write_tar
from triscope.data.errors import BadSampleError, BadShardError
from triscope.data.shards import MAX_ENTRY_BYTES, ShardSet, scan


def test_samples_come_back_equal_in_any_order(tmp_path: Path) -> None:
    shards = write_set(tmp_path)
    assert [shard.samples for shard in shards.shards] == [3, 3, 1]
    assert [raw.parse() for raw in shards] == [make_sample(number, number % 3) for number in range(7)]
    assert [raw.parse() for raw in shards.read(1, [2, 0, 2])] == [make_sample(n, n % 3) for n in (5, 3, 5)]
    assert [raw.key for raw in shards.read(1)] == [raw.key for raw in scan(tmp_path / "shard-000001.tar")]


def test_counts_are_known_without_opening_a_tar(tmp_path: Path) -> None:
    counts = write_set(tmp_path).counts
    assert (counts.samples, counts.images) == (7, 6)
    assert (counts.tasks, counts.levels, counts.sources) == ({"caption": 7}, {"image": 7}, {"made up": 7})


def test_webdataset_reads_the_same_groups(tmp_path: Path) -> None:
    write_set(tmp_path)
    samples = list(webdataset.WebDataset(str(tmp_path / "shard-000000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["sample-0", "sample-1", "sample-2"]
    assert [samples[2]["0.jpg"], samples[2]["1.jpg"]] == make_sample(2, 2)[1]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "shard-000001.tar").unlink()
    with pytest.raises(BadShardError, match=r"shard-000001\.tar: found no file"):
        ShardSet.open(tmp_path)


def test_a_shard_cut_short_is_named(tmp_path: Path) -> None:
    shards = write_set(tmp_path)
    path = tmp_path / "shard-000001.tar"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(BadShardError, match=r"shard-000001\.tar: found \d+ bytes; expected \d+, as the index says"):
        ShardSet.open(tmp_path)
    ends = json.loads((tmp_path / "shard-000001.index.json").read_text())["offsets"]
    for length in (ends[1], ends[1] + 100, ends[1] + 600, ends[1] + 1100):  # between samples, in a header, in content
        path.write_bytes(content[:length])
        with pytest.raises(BadShardError, match=r"shard-000001\.tar.*a (damaged tar|tar cut short)"):
            list(scan(path))
    with pytest.raises(BadShardError, match=r"shard-000001\.tar"):
        list(shards.read(1, [2]))


@pytest.mark.parametrize("offsets", [[0, 512], [0, 5, 4, 9000], [512, 1024, 2048, 3072], "none", [0, 1, 2, 10**9]])
def test_offsets_that_do_not_fit_are_refused(tmp_path: Path, offsets: object) -> None:
    shards = write_set(tmp_path)
    (tmp_path / "shard-000001.index.json").write_text(json.dumps({"schema": 1, "offsets": offsets}))
    with pytest.raises(BadShardError, match=r"shard-000001\.index\.json: found offsets that do not fit"):
        list(shards.read(1, [0]))


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 9}', '{"schema": 1, "shards": []}'])
def test_an_index_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    write_set(tmp_path)
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(BadShardError, match=r"index\.json: found"):
        ShardSet.open(tmp_path)


def test_an_index_that_points_outside_its_folder_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path / "set")
    index = tmp_path / "set" / "index.json"
    index.write_text(index.read_text().replace("shard-000001.tar", "../shard-000001.tar"))
    with pytest.raises(BadShardError, match=r"'\.\./shard-000001\.tar'; expected the name of a \.tar in the folder"):
        ShardSet.open(tmp_path / "set")


@pytest.mark.parametrize(
    "name", ["../a.json", "/etc/a.json", "folder/a.json", "a.pyd", "a.0.pickle", "a.0.JPG", "a", "a.jpg", "a.b.0.jpg"]
)
def test_an_entry_that_no_shard_has_is_refused(tmp_path: Path, name: str) -> None:
    write_tar(tmp_path / "strange.tar", [(name, b"{}")])
    with pytest.raises(BadShardError, match=r"strange\.tar: found entry '.*'; expected files KEY\.json"):
        list(scan(tmp_path / "strange.tar"))


def test_a_link_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "strange.tar", "w") as tar:
        entry = tarfile.TarInfo("a.json")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(BadShardError, match=r"entry 'a\.json' that is not a regular file"):
        list(scan(tmp_path / "strange.tar"))


def test_an_entry_that_claims_an_absurd_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("a.0.jpg")
    entry.size = MAX_ENTRY_BYTES + 1
    (tmp_path / "strange.tar").write_bytes(entry.tobuf(tarfile.USTAR_FORMAT) + bytes(10240))
    with pytest.raises(BadShardError, match=rf"entry a\.0\.jpg: found {MAX_ENTRY_BYTES + 1} bytes"):
        list(scan(tmp_path / "strange.tar"))


def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "strange.tar", [("a.json", b"{}"), ("a.json", b"{}")])
    with pytest.raises(BadShardError, match=r"key 'a': found two entries json"):
        list(scan(tmp_path / "strange.tar"))


def test_a_record_and_entries_that_disagree_are_told(tmp_path: Path) -> None:
    record = make_sample(0)[0].to_json().encode()
    write_tar(
        tmp_path / "strange.tar",
        [("other.json", record), ("other.0.jpg", b"a"), ("sample-0.json", record), ("sample-1.0.jpg", b"a")],
    )
    other, bare, headless = scan(tmp_path / "strange.tar")
    with pytest.raises(BadSampleError, match=r"key 'other': found key 'sample-0' in the record"):
        other.parse()
    with pytest.raises(BadSampleError, match=r"key 'sample-0', images: found pictures \[\].*\['0\.jpg'\]"):
        bare.parse()
    with pytest.raises(BadSampleError, match=r"key 'sample-1': found no record"):
        headless.parse()


def test_a_number_beyond_the_shard_is_refused(tmp_path: Path) -> None:
    shards = write_set(tmp_path)
    with pytest.raises(IndexError, match=r"sample 3 asked for, 0 to 2 there"):
        list(shards.read(0, [3]))
