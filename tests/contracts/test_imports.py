"""Layers hold, and the light parts of the package stay light."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "nilearn", "deepbet", "matplotlib", "skimage", "pandas", "highdicom")


def test_import_contracts_hold(checkout):
    """In a process of its own: the linter takes the loggers of the process away."""
    code = "import sys; from importlinter.cli import lint_imports; "
    code += "sys.exit(lint_imports(config_filename=sys.argv[1], no_cache=True))"
    command = [sys.executable, "-c", code, str(checkout / "pyproject.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def modules_loaded_by(code: str) -> set[str]:
    """Run code in a fresh interpreter; return the top-level modules it loaded."""
    script = f"{code}\nimport sys\nprint('LOADED', *{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].removeprefix("LOADED ").split())


RUN = "import sys; sys.argv = ['anatomaly', *{arguments}]\nfrom anatomaly.cli.main import app\n"
RUN += "app(standalone_mode=False)"


@pytest.mark.parametrize(
    "code",
    [
        "import anatomaly",
        RUN.format(arguments=["info"]),
        RUN.format(arguments=["detect", "--help"]),
        RUN.format(arguments=["datasets"]),
        "from anatomaly.cli.bids_app import run\nrun(['no_such_folder', 'out', 'participant'])",
    ],
    ids=["import", "info", "help", "datasets", "bids"],
)
def test_light_parts_load_nothing_heavy(code):
    loaded = modules_loaded_by(code)
    assert "anatomaly" in loaded
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)


@pytest.mark.parametrize("words", [["--help"], ["info"], ["--version"]], ids=" ".join)
def test_the_first_start_waits_for_no_library_of_images(words):
    """Half a second on one core, of which scipy and nibabel alone would take twice as much."""
    code = RUN.format(arguments=words).replace("app(", "try: app(") + "\nexcept SystemExit: pass"
    assert modules_loaded_by(code).isdisjoint({*HEAVY, "scipy", "nibabel", "pydicom"})


def test_public_names_are_there_and_others_are_not():
    code = "import anatomaly\nanatomaly.Detector, anatomaly.detect, anatomaly.Detection"
    assert "anatomaly" in modules_loaded_by(code)
    with pytest.raises(subprocess.CalledProcessError):
        modules_loaded_by("import anatomaly\nanatomaly.detekt")
