"""What a YAML file says of a cluster, and what Dask makes of it."""

import subprocess
import sys

import pytest

pytest.importorskip("distributed")
from anatomaly.cli.dask_cluster import (
    QUEUES,
    ClusterFile,
    ask_for_workers,
    import_jobqueue,
    make_cluster,
)
from anatomaly.cli.dask_cluster import read_cluster as read
from anatomaly.errors import ConfigError


@pytest.fixture(name="file")
def fixture_file(tmp_path):
    def write(text):
        (tmp_path / "cluster.yaml").write_text(text)
        return tmp_path / "cluster.yaml"

    return write


def test_a_file_is_read(file):
    text = "class: SLURMCluster\nworkers: 50\narguments:\n  cores: 2\n  memory: 6GB\n"
    assert read(file(text)) == ClusterFile("SLURMCluster", 50, {"cores": 2, "memory": "6GB"})
    assert read(file("class: LocalCluster\nworkers: 2")) == ClusterFile("LocalCluster", 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "has to say class, workers"),
        ("class: SLURMCluster", "has to say class, workers"),
        ("{", "cannot be read"),
        ("class: os.system\nworkers: 1", "class is os.system; choose among LocalCluster, SLURM"),
        ("class: PBSCluster\nworkers: 0", "a number from 1, got 0"),
        ("class: PBSCluster\nworkers: yes", "a number from 1, got True"),
        ("class: PBSCluster\nworkers: 1\nargument: {}", "says argument, which is not known"),
        ("class: PBSCluster\nworkers: 1\narguments: [1]", "expected names and values"),
    ],
)
def test_other_files_are_refused(file, text, said):
    with pytest.raises(ConfigError, match=said):
        read(file(text))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "no.yaml")


@pytest.mark.parametrize("kind", ["SLURMCluster", "PBSCluster", "SGECluster"])
def test_queues_get_a_script(kind):
    told = ClusterFile(kind, 3, {"cores": 2, "processes": 1, "memory": "6GB"})
    with make_cluster(told) as cluster:
        script = cluster.job_script()
    assert "--nthreads 2" in script and "distributed" in script


def test_every_queue_is_one_of_dask_jobqueue():
    assert all(hasattr(import_jobqueue(), kind) for kind in QUEUES)


def test_signals_are_handled_as_before_the_import():
    """In a process of its own: a module is imported once."""
    code = """
import signal
from anatomaly.cli.surroundings import surroundings
from anatomaly.cli.dask_cluster import import_jobqueue
with surroundings():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert import_jobqueue().SLURMCluster
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_arguments_that_the_class_does_not_take_are_refused():
    with pytest.raises(ConfigError, match="SLURMCluster cannot be started"):
        make_cluster(ClusterFile("SLURMCluster", 1, {"memory": "6GB"}))


def test_jobs_of_a_queue_that_end_are_asked_for_again():
    asked = []

    class Cluster:
        def adapt(self, **told):
            asked.append(told)

    ask_for_workers(Cluster(), ClusterFile("SLURMCluster", 7))
    ask_for_workers(Cluster(), ClusterFile("LocalCluster", 7))
    assert asked == [{"minimum_jobs": 7, "maximum_jobs": 7}]
