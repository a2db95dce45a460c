"""Without the optional parts every command says what to install, and nothing is a traceback."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

BLOCK = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
EXTRAS = ("train", "dicom", "bench", "cluster")
OTHERS = ("skimage", "SimpleITK", "pandas", "playwright", "hypothesis", "pytest", "mkdocs")
"""Of the developers alone (pandas comes with nilearn, which may drop it)."""


@pytest.fixture(name="blocked", scope="module")
def fixture_blocked(checkout) -> list[str]:
    """Top-level modules of the extras, none of which is a dependency proper."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    words = [word for extra in EXTRAS for word in project["optional-dependencies"][extra]]
    names = {re.match(r"[\w-]+", word)[0] for word in words}
    assert names.isdisjoint({re.match(r"[\w-]+", word)[0] for word in project["dependencies"]})
    imported = {name.replace("-", "_") for name in names}
    return sorted(imported | {"lightning_fabric", "pytorch_lightning", "dask"})


@pytest.fixture(name="run")
def fixture_run(blocked, tmp_path):
    """Run Python, or the program, where the extras are missing."""

    def run(code: str, also: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        script = BLOCK.format(blocked=[*blocked, *also]) + code
        return subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300,
        )  # fmt: skip

    return run


def program(*words: str) -> str:
    return f"sys.argv = ['anatomaly', *{words!r}]\nfrom anatomaly.cli.main import main\nmain()\n"


HELP = [
    [], ["--help"], ["info"], ["detect", "--help"], ["train", "--help"], ["benchmark", "--help"],
    ["train", "synthetic", "--help"], ["experiments", "--help"], ["datasets"], ["demo", "--help"],
]  # fmt: skip


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_and_info_need_no_extra(run, words):
    done = run(program(*words), also=OTHERS)
    assert done.returncode in (0, 2) if not words else done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_bids_app_needs_no_extra(run):
    done = run("from anatomaly.cli.bids_app import main\nmain(['--help'])", also=OTHERS)
    assert done.returncode == 0, done.stderr


def test_every_module_that_detection_needs_loads_without_extras(run):
    code = "import anatomaly\nanatomaly.Detector, anatomaly.detect\n"
    code += (
        "import anatomaly.cli.bids_sessions, anatomaly.report.index, anatomaly.evaluation.phantom"
    )
    done = run(code, also=tuple(name for name in OTHERS if name != "pandas"))
    assert done.returncode == 0, done.stderr


def assert_sentence(done: subprocess.CompletedProcess[str], extra: str) -> None:
    said = re.sub(r"[\s│]+", " ", done.stderr + done.stdout)  # errors of usage stand in a box
    assert done.returncode != 0
    assert "Traceback" not in said
    assert f"pip install 'anatomaly[{extra}]'" in said, said


TRAININGS = [
    ["synthetic", "-o", "out", "--lesions", "there"],
    ["cohort", "there", "-o", "out"],
    ["finetune", "default", "-o", "out", "--cohort", "there"],
]


@pytest.mark.parametrize("words", TRAININGS, ids=lambda words: words[0])
def test_training_says_what_to_install_before_anything_else(run, tmp_path, words):
    (tmp_path / "there").mkdir()
    assert_sentence(run(program("train", *words)), "train")


def test_the_benchmark_says_what_to_install_before_it_draws(run, tmp_path):
    assert_sentence(run(program("benchmark", "phantoms", "-o", "out")), "bench")
    assert not (tmp_path / "out").exists()


def test_dicom_results_say_what_to_install(run, tmp_path):
    (tmp_path / "study").mkdir()
    done = run(program("detect", "study", "-o", "out", "--outputs", "all,dicom"))
    assert_sentence(done, "dicom")


def test_a_cluster_says_what_to_install(run, tmp_path):
    words = ["a.nii.gz", "-o", "out", "--engine", "dask", "--scheduler", "tcp://head:8786"]
    assert_sentence(run(program("detect", *words)), "cluster")
    assert not (tmp_path / "out").exists()


def test_a_baseline_says_what_to_install(run):
    code = """
from anatomaly.errors import TrainingError
from anatomaly.evaluation.benchmark import networks
for make in (lambda: networks.make_dense_autoencoder(0), lambda: networks.make_gan(0),
             lambda: networks.make_encoder(0, 4), lambda: networks.make_schedule(4)):
    try:
        make()
    except TrainingError as error:
        print(error)
    else:
        raise SystemExit("no error")
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pip install 'anatomaly[bench]'") == 4
