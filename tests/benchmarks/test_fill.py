"""Blocks of a document become what their commands print, and nothing else changes."""

import importlib
import shlex
from subprocess import CalledProcessError

import pytest

from benchmarks.fill import commands_of, main
from tests.conftest import REPOSITORY
from tests.documents import DOCUMENTS

TEXT = """# Speed
<!-- measured: python -m benchmarks.region_tokens --help -->
what stood here
<!-- /measured -->
between
<!-- measured: python -m benchmarks.fill not/there.md -->
kept
<!-- /measured -->
<!-- measured: demo -->
not ours
<!-- /measured -->
"""


def test_a_block_is_replaced_by_what_its_command_prints(tmp_path):
    document = tmp_path / "speed.md"
    document.write_text(TEXT)
    main([str(document), "--only=--help"])
    filled = document.read_text()
    assert "usage: " in filled and "what stood here" not in filled
    before, _, behind = filled.partition("<!-- /measured -->")
    assert before.startswith("# Speed\n<!-- measured: python -m benchmarks.region_tokens --help -->\n")
    assert behind == TEXT.partition("<!-- /measured -->")[2]


def test_the_block_of_a_command_that_fails_stays_as_it_was(tmp_path, capfd):
    document = tmp_path / "speed.md"
    document.write_text(TEXT)
    with pytest.raises(CalledProcessError):
        main([str(document), "--only", "not/there"])
    assert document.read_text() == TEXT and "FileNotFoundError" in capfd.readouterr().err


def test_a_command_for_a_gpu_waits_for_one(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    document = tmp_path / "speed.md"
    document.write_text(TEXT.replace("fill not/there.md", "levers --device cuda"))
    main([str(document), "--only=cuda"])
    assert "no GPU here: python -m benchmarks.levers --device cuda" in capsys.readouterr().out
    assert "\nkept\n" in document.read_text()


FILLED = [*DOCUMENTS, REPOSITORY / "benchmarks" / "README.md"]
COMMANDS = [shlex.split(command) for document in FILLED for command in commands_of(document)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_commands_of_the_documents_know_their_options(words, capsys):
    module, *arguments = words[1:]
    with pytest.raises(SystemExit):
        importlib.import_module(module).main(["--help"])
    told = capsys.readouterr().out
    assert all(word in told for word in arguments if word.startswith("--"))
