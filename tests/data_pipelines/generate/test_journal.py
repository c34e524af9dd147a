"""What was paid for is kept."""

import pytest

from data_pipelines.generate.journal import Journal
from data_pipelines.language_models import LocalChat, Message, Reply, Request
from triscope.data.errors import TriscopeError

CHAT = LocalChat("some-model")
FIRST, SECOND = (Request((Message("user", text),), 1) for text in ("first", "the second"))


def test_an_answer_is_there_when_the_journal_is_opened_again(tmp_path):
    with Journal(tmp_path, CHAT) as journal:
        journal.keep(FIRST, Reply("one\n{", 10, 2))
        journal.keep(SECOND, Reply("zwei", 20, 3, cut_off=True))
        assert journal.reply(FIRST) == Reply("one\n{", 10, 2)
    with Journal(tmp_path, CHAT) as journal:
        assert journal.reply(SECOND) == Reply("zwei", 20, 3, cut_off=True) and FIRST in journal
        assert (journal.paid.replies, journal.paid.prompt_tokens, journal.paid.answer_tokens) == (2, 30, 5)
        assert journal.paid.characters_a_token == 15 / 30


def test_another_model_or_another_seed_is_another_question(tmp_path):
    with Journal(tmp_path, CHAT) as journal:
        journal.keep(FIRST, Reply("one", 10, 2))
        assert Request(FIRST.messages, 2) not in journal
    for other in (LocalChat("other"), LocalChat("some-model", temperature=0.1), LocalChat("some-model", max_tokens=9)):
        with Journal(tmp_path, other) as journal:
            assert FIRST not in journal and journal.paid.replies == 1


def test_a_line_that_was_cut_off_by_a_kill_is_forgotten_and_the_next_one_is_whole(tmp_path):
    with Journal(tmp_path, CHAT) as journal:
        journal.keep(FIRST, Reply("one", 10, 2))
        journal.keep(SECOND, Reply("two", 10, 2))
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-20])
    with Journal(tmp_path, CHAT) as journal:
        assert FIRST in journal and SECOND not in journal
        journal.keep(SECOND, Reply("two", 10, 2))
    assert journal.path.read_bytes() == content


def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path):
    (tmp_path / "replies.jsonl").write_text("hello\n")
    with pytest.raises(TriscopeError, match=r"replies\.jsonl, line 1"):
        Journal(tmp_path, CHAT)
    assert (tmp_path / "replies.jsonl").read_text() == "hello\n"
