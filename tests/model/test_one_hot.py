"""Both readings of .29/.48/.72 by hand-computed examples and brute force; the gradient passes."""

import numpy as np
import pytest
import torch

from anatomaly.model.one_hot import CUTS, LEVELS, one_hot_cuts, one_hot_levels


def column(values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, -1, 1, 1)


def classes(one_hot):
    return one_hot.argmax(1).flatten().tolist()


OPERATORS = pytest.mark.parametrize("operator", [one_hot_levels, one_hot_cuts])


def test_levels_by_hand():
    # midpoints between the centres 0, .29, .48, .72: .145, .385, .60
    values = [0.0, 0.14, 0.15, 0.29, 0.38, 0.39, 0.48, 0.59, 0.61, 0.72, 1.0]
    assert classes(one_hot_levels(column(values))) == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_cuts_by_hand():
    values = [0.0, 0.28, 0.30, 0.47, 0.49, 0.71, 0.73, 1.0]
    assert classes(one_hot_cuts(column(values))) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_value_on_a_cut_belongs_above():
    assert classes(one_hot_cuts(column(list(CUTS)))) == [1, 2, 3]


def test_nearest_centre_by_brute_force():
    image = torch.rand(2, 1, 5, 7, 9, generator=torch.Generator().manual_seed(3))
    distance = np.abs(image.numpy() - np.array(LEVELS).reshape(1, 4, 1, 1, 1))
    np.testing.assert_array_equal(one_hot_levels(image).argmax(1).numpy(), distance.argmin(1))


def test_other_centres():
    assert classes(one_hot_levels(column([0.1, 0.4, 0.9]), levels=(0.0, 0.5))) == [0, 1, 1]


@OPERATORS
@pytest.mark.parametrize("differentiable", [False, True])
def test_exactly_one_class(operator, differentiable):
    image = torch.rand(2, 1, 5, 7, 9, generator=torch.Generator().manual_seed(4))
    out = operator(image.requires_grad_(differentiable)).detach()
    assert out.shape == (2, 4, 5, 7, 9)
    assert set(out.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(out.sum(1), torch.ones(2, 5, 7, 9))


@OPERATORS
def test_gradient_is_that_of_the_soft_choice(operator):
    # raising a value between CSF and grey matter makes grey matter likelier, CSF less likely
    image = column([0.39]).requires_grad_()
    operator(image)[0, 2].sum().backward()
    towards_grey = image.grad.item()
    image.grad = None
    operator(image)[0, 1].sum().backward()
    assert towards_grey > 0.1
    assert image.grad.item() < (-0.1 if operator is one_hot_levels else 0.1)
    assert np.isfinite(towards_grey)
