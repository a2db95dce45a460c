"""A committed result is of the weights that ship, or says that it is not."""

import re
from pathlib import Path

import pytest

from anatomaly.weights import DEFAULT_WEIGHTS

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
BANNER = "**Of earlier weights.**"
EARLIER = {"ablations", "precision"}
"""Results not measured anew with the weights that ship; each says so on top. A file leaves
this list when it is measured anew; none joins it without a reason in the changelog."""


def says_what_it_is_of(text: str) -> bool:
    own = set(re.findall(r"^Weights (synthetic-\d+),", text, re.MULTILINE))
    named = own or set(re.findall(r"synthetic-\d+", text))
    return not named or BANNER in text or (own or {DEFAULT_WEIGHTS}) <= {DEFAULT_WEIGHTS} <= named


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.md")), ids=lambda path: path.stem)
def test_a_result_is_of_the_weights_that_ship_or_says_so(path):
    assert says_what_it_is_of(path.read_text(encoding="utf-8")), (
        f"{path.name}: of other weights than {DEFAULT_WEIGHTS}; measure it anew, or say so on top"
    )


def test_only_the_listed_results_are_of_earlier_weights():
    said = {path.stem for path in RESULTS.glob("*.md") if BANNER in path.read_text("utf-8")}
    assert said == EARLIER


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("# Registration\n", True),
        (f"Weights {DEFAULT_WEIGHTS}, SHA-256 0\n", True),
        ("Weights synthetic-1, SHA-256 0\n", False),
        (f"Before {DEFAULT_WEIGHTS}.\n\nWeights synthetic-1, SHA-256 0\n", False),
        (f"# synthetic-1 and {DEFAULT_WEIGHTS}\n", True),
        (f"> {BANNER} Before.\n\nWeights synthetic-1\n", True),
    ],
)
def test_the_check_itself(text, fine):
    assert says_what_it_is_of(text) is fine
