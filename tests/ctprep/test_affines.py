"""Plain sums give what linear algebra gives."""

import numpy as np
import pytest

from ctprep.affines import compose, invert, map_points


@pytest.mark.parametrize("seed", range(5))
def test_sums_agree_with_matrix_products(seed: int) -> None:
    """Product, inverse and mapping of any affine, against the library."""
    random = np.random.default_rng(seed)
    one, other = np.eye(4), np.eye(4)
    one[:3], other[:3] = random.normal(0, 100, (2, 3, 4))
    points = random.normal(0, 100, (7, 3))

    np.testing.assert_allclose(compose(one, other), one @ other, rtol=1e-9)
    np.testing.assert_allclose(invert(one) @ one, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(map_points(one, points), points @ one[:3, :3].T + one[:3, 3])


def test_inverse_of_stored_axes_is_exact() -> None:
    """By hand: halves and quarters of axis-aligned spacings, and a shift, come back exactly."""
    affine = np.array([[0, 0, -0.5, 64], [0, -0.25, 0, 32], [2, 0, 0, -16], [0, 0, 0, 1.0]])

    inverse = [[0, 0, 0.5, 8], [0, -4, 0, 128], [-2, 0, 0, 128], [0, 0, 0, 1]]
    assert invert(affine).tolist() == inverse
    assert compose(affine, invert(affine)).tolist() == np.eye(4).tolist()
