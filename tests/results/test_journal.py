"""The journal of finished pieces."""

import os
import resource
from pathlib import Path

import pytest

from nddo_ml import InputError
from nddo_ml.results.journal import Journal
from nddo_ml.results.targets import whole


def test_a_journal_keeps_what_is_finished(tmp_path):
    path = tmp_path / "out.xyz.part"
    with Journal(path, {"model": "AM1"}) as journal:
        journal.append("a", [{"record": {"energy": -1.5, "homo": float("nan")}}])
        journal.append("b", [{"complaints": [[1, "no"]]}, {"record": {"name": "µ 1"}}])
    with Journal(path, {"model": "AM1"}) as journal:
        assert len(journal) == 2
        assert journal.read("a") == [{"record": {"energy": -1.5, "homo": None}}]
        assert journal.read("b")[1]["record"]["name"] == "µ 1"
        assert (journal.complaints("a"), journal.complaints("b")) == (0, 1)
        assert journal.unused(["a"]) == 1
        journal.remove()
    assert not path.exists()


@pytest.mark.parametrize("lost", [1, 7, 30])
def test_a_journal_loses_at_most_its_last_line(tmp_path, lost):
    path = tmp_path / "out.part"
    with Journal(path, {}) as journal:
        for key in "abc":
            journal.append(key, [{"record": {"key": key, "values": list(range(20))}}])
    path.write_bytes(path.read_bytes()[:-lost])
    with Journal(path, {}) as journal:
        assert [k in journal for k in "abc"] == [True, True, False]
        journal.append("c", [{"record": {}}])
    with Journal(path, {}) as journal:
        assert [k in journal for k in "abc"] == [True, True, True]


def test_a_damaged_line_is_not_believed(tmp_path):
    path = tmp_path / "out.part"
    with Journal(path, {}) as journal:
        for key in "abc":
            journal.append(key, [{"record": {"energy": 123.25}}])
    content = path.read_bytes()
    where = content.index(b"123.25", content.index(b"123.25") + 1)
    path.write_bytes(content[:where] + b"9" + content[where + 1 :])
    with Journal(path, {}) as journal:
        assert [k in journal for k in "abc"] == [True, False, True]
        assert journal.damaged == 1


def test_a_journal_of_other_settings_or_another_file_is_refused_and_stays(tmp_path):
    path = tmp_path / "out.part"
    with Journal(path, {"model": "AM1", "forces": False}) as journal:
        journal.append("a", [{}])
        with pytest.raises(InputError, match="another run"):
            Journal(path, {"model": "AM1", "forces": False})
    before = path.read_bytes()
    with pytest.raises(InputError, match="with forces False; this run has True"):
        Journal(path, {"model": "AM1", "forces": True})
    assert path.read_bytes() == before
    path.write_text("my notes\nof today\n")
    with pytest.raises(InputError, match="got another file, which stays"):
        Journal(path, {})
    assert path.read_text() == "my notes\nof today\n"


def test_a_journal_without_results_is_in_nobodys_way(tmp_path):
    with Journal(tmp_path / "out.part", {"model": "AM1"}):
        pass
    with Journal(tmp_path / "out.part", {"model": "PM6"}) as journal:
        journal.append("a", [{}])
    with pytest.raises(InputError, match="with model 'PM6'; this run has 'AM1'"):
        Journal(tmp_path / "out.part", {"model": "AM1"})


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_that_fails_leaves_its_journal_where_something_was_finished(finished, tmp_path):
    def fail() -> None:
        with Journal(tmp_path / "out.part", {}) as journal:
            if finished:
                journal.append("a", [{}])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (tmp_path / "out.part").exists() == finished


def test_long_settings_are_shortened(tmp_path):
    with Journal(tmp_path / "out.part", {"values": [0.1 * k for k in range(2000)]}) as journal:
        journal.append("a", [{}])
    with pytest.raises(InputError, match=r"with values \[0.0, 0.1.*…; this run has") as refused:
        Journal(tmp_path / "out.part", {"values": [0.2 * k for k in range(2000)]})
    assert len(str(refused.value)) < 500


def test_no_room_for_the_first_line_is_a_sentence(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(InputError, match=r"out.part: expected room for results"):
            Journal(tmp_path / "out.part", {"model": "AM1"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with Journal(tmp_path / "out.part", {"model": "AM1"}) as journal:  # what was written of it does no harm
        assert len(journal) == 0


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(LookupError), whole(path) as made:
        half_written(made)
    assert path.read_text() == "old"
    with whole(path) as made:
        made.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["out.txt"]


def half_written(path: Path) -> None:
    path.write_text("half")
    raise LookupError
