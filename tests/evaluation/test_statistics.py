"""Intervals against published values."""

import pytest

from agent.evaluation.statistics import Rate, Share


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
    ids=str,
)
def test_share_has_wilsons_interval(count: int, total: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    share = Share.of(count, total)
    assert share.value == count / total
    assert (share.low, share.high) == pytest.approx((low, high), abs=5e-5)


def test_share_of_everything_mirrors_the_share_of_nothing() -> None:
    nothing, everything = Share.of(0, 40), Share.of(40, 40)
    assert (everything.low, everything.high) == pytest.approx((1 - nothing.high, 1 - nothing.low))


def test_share_without_evidence_may_be_anything() -> None:
    share = Share.of(0, 0)
    assert (share.value, share.low, share.high) == (0, 0, 1)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [
        (0, 0.0, 3.689),
        (1, 0.025, 5.572),
        (5, 1.623, 11.668),
        (10, 4.795, 18.390),
        (100, 81.364, 121.627),
        (1000, 938.97, 1063.96),
    ],
    ids=str,
)
def test_rate_has_the_exact_poisson_interval(count: int, low: float, high: float) -> None:
    """Garwood, Biometrika 28 (1936)."""
    rate = Rate.of(count, 2.0)
    assert rate.value == count / 2
    assert (2 * rate.low, 2 * rate.high) == pytest.approx((low, high), abs=6e-3, rel=1e-5)


def test_they_read_well() -> None:
    assert str(Share.of(81, 263)) == "30.8 % (25.5-36.6)"
    assert str(Rate.of(5, 10.0)) == "0.50/h (0.16-1.17; 5 in 10.00 h)"
