"""Computed once, also where two threads ask at the same time."""

import threading
import time

import pytest

from anatomaly.preprocess import references
from anatomaly.preprocess.references import computed_once, load_in_background, usable_threads


def test_a_second_thread_waits_for_the_first():
    calls = []

    @computed_once
    def slow():
        calls.append(threading.get_ident())
        time.sleep(0.1)
        return object()

    results = []
    threads = [threading.Thread(target=lambda: results.append(slow())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and len({id(result) for result in results}) == 1


def test_arguments_and_errors():
    calls = []

    @computed_once
    def half(number):
        calls.append(number)
        if number < 0:
            raise ValueError("below 0")
        return number / 2

    assert [half(4), half(6), half(4)] == [2, 3, 2]
    for _ in range(2):  # an error is not kept
        with pytest.raises(ValueError, match="below"):
            half(-1)
    assert calls == [4, 6, -1, -1]


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("0", None), ("many", None), ("", None)])
def test_the_user_says_how_many_threads(monkeypatch, said, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    found = usable_threads()
    assert found == threads if threads else 1 <= found <= references.MOST_THREADS


@pytest.mark.parametrize("threads", ["1", "2"])
def test_in_the_background_only_where_there_is_a_thread_for_it(monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    done, failed = threading.Event(), []

    def fails():
        failed.append(1)
        raise RuntimeError("no template")

    load_in_background.cache_clear()
    load_in_background(fails, done.set)
    assert done.wait(2.0 if threads == "2" else 0.1) == (threads == "2")
    load_in_background(fails, done.set)  # once a process
    assert len(failed) == (threads == "2")
    load_in_background.cache_clear()
