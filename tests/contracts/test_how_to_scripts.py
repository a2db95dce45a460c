"""Scripts and examples of the how-tos, run with a stand-in for the program or for its results."""

import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from anatomaly.cli.bids_app import make_parser
from anatomaly.evaluation.controls import calibrate

STAND_IN = '#!/bin/bash\nprintf \'%s\\n\' "$(basename "$0")" "$@" > "$CALLED"\n'


@pytest.fixture(name="blocks")
def fixture_blocks(checkout):
    """Code blocks of a how-to by language."""

    def read(name: str, language: str) -> list[str]:
        text = (checkout / "docs" / "how-to" / name).read_text()
        return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)

    return read


@pytest.fixture(name="run_script")
def fixture_run_script(tmp_path):
    """Runs a script where SLURM, `anatomaly` and `anatomaly-bids` are stand-ins."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("anatomaly", "anatomaly-bids", "apptainer", "sbatch"):
        (programs / name).write_text(STAND_IN)
        (programs / name).chmod(0o755)

    def run(script: str, *words: str, task: int = 0) -> list[str]:
        called = tmp_path / "called.txt"
        environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CALLED": str(called),
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_CPUS_PER_TASK": "2",
        }
        command = ["bash", "-c", script, "script", *words]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
        return called.read_text().splitlines()

    return run


def the_script(blocks: list[str], name: str) -> str:
    (script,) = (block for block in blocks if block.startswith(f"#!/bin/bash\n# {name}"))
    return script


def test_a_job_of_the_array_takes_its_participant(blocks, run_script, tmp_path):
    for label in ("01", "02", "03"):
        (tmp_path / "raw" / f"sub-{label}").mkdir(parents=True)
    script = the_script(blocks("cluster.md", "bash"), "anatomaly_bids.sh")
    program, *words = run_script(script, "raw", "out", task=1)
    assert program == "anatomaly-bids"
    told = make_parser().parse_args(words)
    assert (told.participant_label, told.analysis_level, told.n_cpus) == (
        ["sub-02"],
        "participant",
        2,
    )


def test_a_job_with_apptainer_takes_its_participant(blocks, run_script, tmp_path):
    for label in ("01", "02", "03"):
        (tmp_path / "raw" / f"sub-{label}").mkdir(parents=True)
    script = the_script(blocks("cluster.md", "bash"), "anatomaly_apptainer.sh")
    program, *words = run_script(script, "image.sif", "raw", "new/out", task=2)
    assert (program, words[:2]) == ("apptainer", ["run", "--cleanenv"])
    bound = [after for word, after in pairwise(words) if word == "--bind"]
    assert bound[:2] == [f"{tmp_path}/raw:/data:ro", f"{tmp_path}/new/out:/out"]
    assert (tmp_path / "new" / "out").is_dir()
    told = make_parser().parse_args(words[words.index("image.sif") + 1 :])
    assert (str(told.bids_dir), str(told.output_dir)) == ("/data", "/out")
    assert (told.participant_label, told.n_cpus) == (["sub-03"], 2)


@pytest.mark.parametrize(("task", "first", "last"), [(0, 1, 10), (2, 21, 23)])
def test_a_job_takes_its_lines_of_the_list(blocks, run_script, tmp_path, task, first, last):
    names = [f"scan {n}.nii.gz" for n in range(1, 24)]
    (tmp_path / "scans.txt").write_text("".join(f"{name}\n" for name in names))
    for name in names:
        (tmp_path / name).touch()
    script = the_script(blocks("cluster.md", "bash"), "anatomaly_scans.sh")
    program, command, *words = run_script(script, "scans.txt", "out", task=task)
    assert (program, command) == ("anatomaly", "detect")
    assert words[: last - first + 1] == names[first - 1 : last]
    assert words[last - first + 1 :] == ["-o", f"out/{task}", "--threads", "2", "--skip-finished"]


def test_arrays_are_as_long_as_what_they_work_through(blocks, run_script, tmp_path):
    for label in ("01", "02", "03"):
        (tmp_path / "raw" / f"sub-{label}").mkdir(parents=True)
    (tmp_path / "scans.txt").write_text("scan.nii.gz\n" * 21)
    submits = [block for block in blocks("cluster.md", "bash") if "job=$(sbatch" in block]
    arrays = []
    for submit in submits:
        first_call = submit[: submit.index("sbatch --dependency")]
        (tmp_path / "logs").mkdir(exist_ok=True)
        arrays.append(next(word for word in run_script(first_call) if "--array" in word))
    assert arrays == ["--array=0-2%50", "--array=0-2%50"]


def test_the_cluster_of_the_example_asks_slurm_for_what_it_says(blocks, tmp_path):
    pytest.importorskip("distributed")
    from anatomaly.cli.dask_cluster import make_cluster, read_cluster

    (example,) = blocks("cluster.md", "yaml")
    (tmp_path / "slurm.yaml").write_text(example)
    told = read_cluster(tmp_path / "slurm.yaml")
    assert (told.kind, told.workers) == ("SLURMCluster", 50)
    with make_cluster(told) as cluster:
        script = cluster.job_script()
    directives = {
        line.removeprefix("#SBATCH ") for line in script.splitlines() if "#SBATCH" in line
    }
    assert directives >= {
        "-p normal", "--cpus-per-task=2", "--mem=6G", "-t 04:00:00", "--output=logs/%x-%j.txt",
    }  # fmt: skip
    (command,) = [line for line in script.splitlines() if "distributed" in line]
    assert "--nthreads 2" in command and "--lifetime 230m" in command
    assert "--nworkers" not in command or "--nworkers 1" in command  # one scan at a time


def test_scripts_are_clean(blocks):
    scripts = blocks("cluster.md", "bash")
    assert len(scripts) == 6
    for script in scripts:
        subprocess.run(["bash", "-n", "-c", script], check=True)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(["bash", "-n", "-c", "if"], check=True, stderr=subprocess.DEVNULL)


def test_controls_are_calibrated_from_python(blocks, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "controls" / name).mkdir(parents=True)
        (tmp_path / "controls" / name / "T1w.nii.gz").touch()
    passed = []

    def fake(config, say):
        passed.append(config)
        return {"T1w": SimpleNamespace(threshold=0.12, left_out_ml=(0.5, 0.7))}

    monkeypatch.setattr(calibrate, "calibrate_controls", fake)
    (example,) = blocks("calibrate.md", "python")
    exec(compile(example, "calibrate.md", "exec"), {})
    assert set(passed[0].scans) == {"a", "b"} and passed[0].output == Path("our-scanner")
    assert capsys.readouterr().out == "0.12 (0.5, 0.7)\n"
