"""Threads that libraries read from the environment, and logs that travel."""

import logging
import os
import pickle

from anatomaly.cli.worker_surroundings import THREAD_VARIABLES, Forwarder, threads_of_libraries


def test_threads_hold_inside_the_block_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with threads_of_libraries(2):
        assert {os.environ[name] for name in THREAD_VARIABLES} == {"2"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
    with threads_of_libraries(2, keep_users=True):
        assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("7", "2")
    with threads_of_libraries(0):
        assert "MKL_NUM_THREADS" not in os.environ


def test_records_can_be_pickled_and_the_logger_is_left_as_it_was():
    logger, told = logging.getLogger("anatomaly"), []
    before = logger.level, list(logger.handlers)
    with Forwarder(told.append, logging.INFO).listening():
        try:
            raise ValueError
        except ValueError:
            logging.getLogger("anatomaly.x").warning("%s of %d", object(), 3, exc_info=True)
        logging.getLogger("anatomaly.x").debug("unseen")
    assert (logger.level, list(logger.handlers)) == before
    (record,) = pickle.loads(pickle.dumps(told))
    assert record.getMessage().endswith("of 3")
