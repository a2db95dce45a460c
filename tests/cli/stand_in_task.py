"""A task that takes no time and can be pickled: a scan's name says what happens to it.

`broken`, `bug`, `doubtful`, `slow`, `pause`, and for the process: `kills`, `kills_once`, `crashes`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anatomaly.cli.work import Done, Job, Task
from anatomaly.errors import ScanError, WeightsError
from anatomaly.scan.write import output_folder
from anatomaly.temporary import temporary_folder


@dataclass(frozen=True)
class StandIn(Task):
    log: Path = Path()
    """Folder: a file for each load and for each start of a scan."""

    def load(self) -> Callable[[Job], Done]:
        if self.config.weights == "missing":
            raise WeightsError("no weights called missing")
        if self.config.weights == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config.weights == "once" and list(self.log.glob("load.*")):
            raise WeightsError("they are gone")
        self.note("load")
        return self.do

    def note(self, what: str) -> None:
        (self.log / f"{what}.{os.getpid()}.{time.time_ns()}").touch()

    def do(self, job: Job) -> Done:
        self.note(job.name)
        logging.getLogger("anatomaly.stage").info("prepare")
        if "broken" in job.name:
            raise ScanError(f"{job.scan}: no [such] scan; check the path")
        if "bug" in job.name:
            raise ZeroDivisionError("division by zero")
        if "kills_once" in job.name and len(list(self.log.glob(f"{job.name}.*"))) == 1:
            time.sleep(0.3)  # the others have started
            os.kill(os.getpid(), signal.SIGKILL)
        if "kills_ever" in job.name:
            os.kill(os.getpid(), signal.SIGKILL)
        if "crashes" in job.name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "doubtful" in job.name:
            logging.getLogger("anatomaly.preprocess").warning("mask is small")
        with output_folder(self.output / job.name) as folder, temporary_folder() as between:
            (between / "brain.nii").touch()
            if "slow" in job.name:
                time.sleep(60)
            if "pause" in job.name:
                time.sleep(4)
            threads = os.environ.get("OMP_NUM_THREADS"), self.config.threads
            run = {"pid": os.getpid(), "threads": threads, "host": socket.gethostname()}
            (folder / "run.json").write_text(json.dumps(run), "utf-8")
        return Done("well", ("registration is poor",) * ("doubtful" in job.name))
