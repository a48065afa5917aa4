"""Exact limits of proportions, and what a centre's count may be by chance alone."""


def clopper_pearson(n: int, of: int, confidence_pct: float) -> tuple[float, float]:
    """Exact limits of `n` among `of` (above 0), in percent. Source: Clopper and Pearson 1934 (beta quantiles)."""
    from scipy.stats import beta

    tail = (1 - confidence_pct / 100) / 2
    lower = 100 * float(beta.ppf(tail, n, of - n + 1)) if n else 0.0
    upper = 100 * float(beta.ppf(1 - tail, n + 1, of - n)) if n < of else 100.0
    return lower, upper


def funnel_limits(of: int, overall: float, limits_pct: float) -> tuple[int, int]:
    """The smallest and the largest count among `of` that is no surprise if the true proportion is `overall` (0 to 1).

    A count below or above has a binomial tail of less than half of what lies outside the limits.
    Source: Spiegelhalter 2005 (funnel plots, exact binomial limits); R, qbinom.
    """
    from scipy.stats import binom

    tail = (1 - limits_pct / 100) / 2
    return int(binom.ppf(tail, of, overall)), int(binom.isf(tail, of, overall))
