"""Jobs, their queue, and how whatever goes wrong becomes an outcome."""

from pathlib import Path

import pytest

from anatomaly.cli.work import Done, Job, JobQueue, absolute_paths, attempt
from anatomaly.config import DetectConfig
from anatomaly.errors import ScanError


def jobs(*names):
    return [Job(name, Path(name)) for name in names]


def test_a_queue_reads_one_job_at_a_time_and_takes_more_in_front_and_behind():
    read = []

    def reading():
        for job in jobs("a", "b", "c"):
            read.append(job.name)
            yield job

    queue = JobQueue(reading())
    assert queue.take().name == "a" and read == ["a"]
    queue.put_last(*jobs("again"))
    queue.put_first(jobs("x", "y"))
    assert not queue.is_empty() and read == ["a"]
    rest = [queue.take().name for _ in range(5)]
    assert rest == ["x", "y", "b", "c", "again"]
    assert queue.is_empty() and queue.take() is None
    queue.put_first(jobs("late"))
    assert queue.take().name == "late"


@pytest.mark.parametrize(
    ("error", "kind", "reason", "has_trace"),
    [
        (ScanError("no scan"), "ScanError", "no scan", False),
        (MemoryError(), "MemoryError", "not enough memory; close other", True),
        (ZeroDivisionError("by zero"), "ZeroDivisionError", "unexpected: by zero", True),
        (KeyError(), "KeyError", "unexpected", True),
    ],
)
def test_errors_become_outcomes(error, kind, reason, has_trace):
    def fail(job):
        raise error

    outcome = attempt(fail, *jobs("a"))
    assert (outcome.kind, outcome.said) == (kind, "")
    assert outcome.reason.startswith(reason)
    assert bool(outcome.trace) == has_trace


def test_a_good_job_says_what_it_did():
    outcome = attempt(lambda job: Done(job.name, ("a doubt",)), *jobs("a"))
    assert (outcome.said, outcome.warnings, outcome.kind) == ("a", ("a doubt",), "")
    assert 0 <= outcome.seconds < 5


def test_what_ends_the_program_is_no_outcome():
    def leave(job):
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        attempt(leave, *jobs("a"))


def test_a_task_for_elsewhere_names_whole_paths(stand_in, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    task = stand_in(weights="mine", atlas=Path("atlas.nii.gz")).anywhere()
    assert task.config.weights == str(tmp_path / "mine")
    assert task.config.atlas == tmp_path / "atlas.nii.gz"
    assert stand_in().anywhere().config == DetectConfig()  # a name stays a name
    assert stand_in().with_threads(3).config.threads == 3
    with pytest.raises(TypeError):
        absolute_paths("text")
