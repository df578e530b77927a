"""Least-squares filters from references to an estimate: the projections of BSS Eval.

An estimate is projected on what short filters can make of the references: on the span of all their
channels, each delayed by 0 to `n_taps` - 1 samples. The normal equations have one block for each
pair of channels, and each block is Toeplitz, because an inner product of two delayed signals
depends on the difference of their delays alone.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from stemlight.shapes import Float

__all__ = ["projection_filters"]

# Added to the diagonal, relative to it, until the matrix is positive definite to working precision.
# Silent channels have an empty row, and channels that are equal a row twice.
_RIDGES = (0.0, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9)
_EPSILON = float(np.finfo(np.float64).eps)


def projection_filters(
    among: Float[np.ndarray, "references references taps"],
    with_estimates: Float[np.ndarray, "references estimates taps"],
) -> Float[np.ndarray, "estimates references taps"]:
    """Return the filters whose sum of filtered references is nearest to each estimate.

    `among` and `with_estimates` hold lagged correlations: of a reference with a reference, and with
    an estimate. All estimates share one Cholesky factor of the normal equations.
    """
    n_references, n_estimates, n_taps = with_estimates.shape
    wanted = with_estimates.transpose(0, 2, 1).reshape(n_references * n_taps, n_estimates)
    solved = scipy.linalg.cho_solve(_factor(among), wanted, check_finite=False)
    return solved.reshape(n_references, n_taps, n_estimates).transpose(2, 0, 1)


def _factor(among: Float[np.ndarray, "references references taps"]) -> tuple[np.ndarray, bool]:
    n_references, _, n_taps = among.shape
    energies = np.repeat(among[range(n_references), range(n_references), 0], n_taps)
    for ridge in _RIDGES:
        matrix = _lower_triangle(among)
        matrix[np.diag_indices_from(matrix)] += ridge * energies + _EPSILON
        try:
            factor: tuple[np.ndarray, bool] = scipy.linalg.cho_factor(
                matrix, lower=True, overwrite_a=True, check_finite=False
            )
            return factor
        except np.linalg.LinAlgError:
            continue
    raise AssertionError("a Gram matrix with a ridge is positive definite")


def _lower_triangle(
    among: Float[np.ndarray, "references references taps"],
) -> Float[np.ndarray, "unknowns unknowns"]:
    """Return the normal equations' matrix; blocks above the diagonal are left empty."""
    n_references, _, n_taps = among.shape
    # Fortran's order is LAPACK's: no copy is made.
    matrix = np.zeros((n_references * n_taps,) * 2, order="F")
    for row in range(n_references):
        for column in range(row + 1):
            matrix[row * n_taps : (row + 1) * n_taps, column * n_taps : (column + 1) * n_taps] = (
                scipy.linalg.toeplitz(among[row, column], among[column, row])
            )
    return matrix
