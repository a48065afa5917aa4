"""Kaplan-Meier curves with log-log limits, medians, the curve at chosen times, and how long subjects were followed.

Everything starts from counts: a frame with a row per distinct time, in order of time, with `t`, `n_event` and
`n_censored`. A million subjects are a few thousand rows then. Curve and limits are lifelines'. The median is ours:
lifelines 0.30.3 takes the first time with S <= 0.5 and, for some even n, the next event, because S comes out as
0.5000000000000001. Every figure is the one that R's survfit gives (tests/unit/survival_expected).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SAME = 1e-12  # two values of a limit curve closer than this are one
NEAR_HALF = 1e-9  # further from one half than this, a product of floats is on the right side of it
TIED = 2.0**-26  # times closer than this are one, as R's survfit takes them (timefix)


@dataclass(frozen=True)
class Summary:
    """One curve in figures, in the unit of its times; what is not reached is None. `followup`: reverse Kaplan-Meier."""

    n: int
    n_event: int
    n_censored: int
    median: float | None
    median_lcl: float | None
    median_ucl: float | None
    shortest: float
    longest: float
    followup: float | None
    followup_lcl: float | None
    followup_ucl: float | None


@dataclass(frozen=True)
class AtTime:
    """The curve at one time; all but the time is None beyond the last follow-up (NE)."""

    t: float
    n_at_risk: int | None
    survival: float | None
    lcl: float | None
    ucl: float | None


def kaplan_meier(times: "pd.DataFrame", alpha: float) -> "pd.DataFrame":
    """The curve: a row per time with t, n_at_risk, n_event, n_censored, survival, lcl and ucl.

    Limits are missing once nobody is left: Greenwood's variance has no value there (as in R, SAS and Stata). They are
    1 before the first event, where a band begins; `at_times` gives none there.
    """
    import warnings

    from lifelines import KaplanMeierFitter

    both = times.melt(["t"], ["n_event", "n_censored"], "kind", "weight").query("weight > 0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that weights may be samples; here they are counts
        fit = KaplanMeierFitter(alpha=alpha).fit(both["t"], both["kind"] == "n_event", weights=both["weight"])
    table = fit.event_table.loc[times["t"]]
    limits = fit.confidence_interval_.loc[times["t"]]
    curve = times[["t"]].reset_index(drop=True)
    curve["n_at_risk"] = table["at_risk"].round().astype("int64").to_numpy()
    for name in ("n_event", "n_censored"):
        curve[name] = times[name].to_numpy()
    curve["survival"] = fit.survival_function_.loc[times["t"]].iloc[:, 0].to_numpy()
    curve["lcl"], curve["ucl"] = limits.iloc[:, 0].to_numpy(), limits.iloc[:, 1].to_numpy()
    curve.loc[curve["survival"] == 0, ["lcl", "ucl"]] = float("nan")
    return curve


def summarise(times: "pd.DataFrame", curve: "pd.DataFrame", alpha: float) -> Summary:
    """Counts, median with its limits, range and follow-up of one curve, of which `kaplan_meier` made `curve`.

    Follow-up is the median of the same times with events and censoring exchanged (reverse Kaplan-Meier, Schemper and
    Smith 1996): how long subjects would have been watched had nothing happened. Ties as in
    `survfit(Surv(time, status == 0) ~ 1)`.
    """
    swapped = times.rename(columns={"n_event": "n_censored", "n_censored": "n_event"})
    n_event, n_censored = int(curve["n_event"].sum()), int(curve["n_censored"].sum())
    t = curve["t"].tolist()
    followed = medians(kaplan_meier(swapped, alpha))
    return Summary(n_event + n_censored, n_event, n_censored, *medians(curve), min(t), max(t), *followed)


def medians(curve: "pd.DataFrame") -> tuple[float | None, float | None, float | None]:
    """Median of a curve, then that of its lower and of its upper limit."""
    t, events = curve["t"].tolist(), curve["n_event"].tolist()
    half = survives_half(curve["n_at_risk"].tolist(), events)
    lower, upper = ([_side(s) for s in curve[name].tolist()] for name in ("lcl", "ucl"))
    return median(t, events, half), median(t, events, lower), median(t, events, upper)


def at_times(curve: "pd.DataFrame", chosen: Sequence[float]) -> list[AtTime]:
    """The curve at chosen times: the last value at or before each, and who is at risk just before it.

    Beyond the last follow-up nothing is known (NE), even where the curve has come to 0. No limits at 1 and 0, where
    the log of a log has no value. Source: R, summary(survfit, times = …); PROTOCOL, Endpoints (NE).
    """
    import numpy as np

    t = curve["t"].to_numpy()
    known = [*zip(*(curve[name].tolist() for name in ("survival", "lcl", "ucl")), strict=True)]
    found = []
    for time in chosen:
        if time > t[-1]:
            found.append(AtTime(time, None, None, None, None))
            continue
        place = int(np.searchsorted(t, time, "right"))
        survival, lcl, ucl = known[place - 1] if place else (1.0, None, None)
        if not 0 < survival < 1:
            lcl = ucl = None
        at_risk = int(curve["n_at_risk"].iloc[int(np.searchsorted(t, time, "left"))])
        found.append(AtTime(time, at_risk, survival, lcl, ucl))
    return found


def survives_half(n_at_risk: Sequence[int], n_event: Sequence[int]) -> list[int]:
    """After each time: is the curve above (1), exactly at (0) or below (-1) one half?

    Where floats are too near to tell, the products are made of whole numbers.
    """
    import numpy as np

    at_risk, events = np.asarray(n_at_risk, dtype=float), np.asarray(n_event, dtype=float)
    curve = np.cumprod(1 - events / at_risk)
    sides = [int(side) for side in np.sign(curve - 0.5)]
    exact: tuple[int, int] | None = None  # number of events so far and their side: a plateau is reckoned once
    for i in np.flatnonzero(np.abs(curve - 0.5) < NEAR_HALF).tolist():
        steps = [j for j in range(i + 1) if n_event[j]]
        if exact is None or exact[0] != len(steps):
            survivors = Counter(n_at_risk[j] - n_event[j] for j in steps)
            all_at_risk = Counter(n_at_risk[j] for j in steps)
            # most factors stand on both sides
            left, right = 2 * _product(survivors - all_at_risk), _product(all_at_risk - survivors)
            exact = len(steps), (left > right) - (left < right)
        sides[i] = exact[1]
    return sides


def _product(numbers: Counter[int]) -> int:
    """A product of many whole numbers, in pairs: one after the other would take the square of the time."""
    factors = [int(n) for n in numbers.elements()] or [1]
    while len(factors) > 1:
        odd = [factors.pop()] if len(factors) % 2 else []
        factors = [a * b for a, b in zip(factors[::2], factors[1::2], strict=True)] + odd
    return factors[0]


def median(times: Sequence[float], n_event: Sequence[int], sides: Sequence[int]) -> float | None:
    """The first time at which the curve is at or below one half; None where it never is.

    Where it lies flat at exactly one half: the midpoint between the first time there and the event that leaves it, or
    that first time where none does. Source: R, survival::survfit.
    """
    first = next((i for i, side in enumerate(sides) if side <= 0), None)
    if first is None:
        return None
    if sides[first] < 0:
        return times[first]
    left = next((t for t, events, side in zip(times, n_event, sides, strict=True) if side < 0 and events), None)
    return times[first] if left is None else (times[first] + left) / 2


def _side(limit: float) -> int:
    """As `survives_half`, for a limit curve; one that is missing crosses nothing."""
    return 0 if abs(limit - 0.5) < SAME else -1 if limit < 0.5 else 1


def tied(times: Sequence[float]) -> list[float]:
    """Distinct times in order, each as the first of those that differ from it by errors of binary digits only.

    Source: R, survival::aeqSurv.
    """
    import numpy as np

    t = np.asarray(times, dtype=float)
    if len(t) < 2:
        return [float(v) for v in t]
    gaps = np.diff(t)
    starts = np.concatenate([[True], ~((gaps <= TIED) | (gaps / np.abs(t).mean() <= TIED))])
    return [float(v) for v in t[starts][np.cumsum(starts) - 1]]
