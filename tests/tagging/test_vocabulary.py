"""Lists of names and thresholds belong together, line by line."""

import pytest

from triscope.data.errors import ConfigurationError
from triscope.tagging.vocabulary import Vocabulary, write_thresholds


def files(folder, names: str, thresholds: str = ""):
    (folder / "names.txt").write_text(names, encoding="utf-8")
    (folder / "thresholds.txt").write_text(thresholds)
    return folder / "names.txt", folder / "thresholds.txt"


def test_a_name_has_the_threshold_on_its_line(tmp_path):
    vocabulary = Vocabulary.read(*files(tmp_path, "dog\r\ntraffic light", "0.65\n0.8\n"))
    assert vocabulary == Vocabulary(("dog", "traffic light"), (0.65, 0.8))


def test_thresholds_come_back_as_they_were_written(tmp_path):
    names, _ = files(tmp_path, "dog\ncat\n")
    write_thresholds(tmp_path / "mine.txt", [0.512346, 1.0])
    assert Vocabulary.read(names, tmp_path / "mine.txt").thresholds == (0.512346, 1.0)


@pytest.mark.parametrize(
    ("names", "thresholds", "message"),
    [
        ("dog\ncat\n", "0.5\n", r"found 1 thresholds; expected 2, one for each line of .*names\.txt"),
        ("dog\ncat\n", "0.5\n0.5\n0.5\n", "found 3 thresholds; expected 2"),
        ("dog\n", "65\n", r"thresholds\.txt, line 1: found '65'; expected a number from 0 to 1"),
        ("dog\n", "high\n", "found 'high'"),
        ("dog\ndog\n", "0.5\n0.5\n", "'dog' more than once"),
        ("dog\n\ncat\n", "0.5\n0.5\n0.5\n", r"names\.txt, line 2: found no name"),
        ("", "", "no name"),
    ],
)
def test_lists_that_do_not_belong_together_are_refused(tmp_path, names, thresholds, message):
    with pytest.raises(ConfigurationError, match=message):
        Vocabulary.read(*files(tmp_path, names, thresholds))


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.txt: found no file"):
        Vocabulary.read(tmp_path / "none.txt")
