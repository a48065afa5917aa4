"""The log-rank test between groups, from counts; the statistic is lifelines'."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class LogRank:
    """Chi-square, its degrees of freedom and p of one comparison."""

    chisq: float
    df: int
    p: float


def logrank(groups: Mapping[str, "pd.DataFrame"]) -> LogRank | None:
    """Compare the curves of groups, each a frame of counts (`t, n_event, n_censored`); None where nothing compares.

    A group whose last subject has left before the first event is compared with nothing and takes no degree of
    freedom (as R's survdiff; lifelines 0.30.3 counts it). Nothing compares where fewer than two groups are left or
    wherever something happens all at risk have it or are of one group. Source: Mantel 1966; PROTOCOL, Statistics.
    """
    import pandas as pd
    from lifelines.statistics import multivariate_logrank_test

    happened = [times.loc[times["n_event"] > 0, "t"].min() for times in groups.values()]
    first = min((t for t in happened if t == t), default=None)
    left = {name: times for name, times in groups.items() if first is not None and times["t"].max() >= first}
    if len(left) < 2 or not _varies(list(left.values())):
        return None
    every = pd.concat([times.assign(grouped=name) for name, times in left.items()])
    both = every.melt(["t", "grouped"], ["n_event", "n_censored"], "kind", "weight")
    both = both[both["weight"] > 0].reset_index(drop=True)  # lifelines aligns by position
    test = multivariate_logrank_test(both["t"], both["grouped"], both["kind"] == "n_event", weights=both["weight"])
    return LogRank(float(test.test_statistic), len(left) - 1, float(test.p_value))


def _varies(groups: "list[pd.DataFrame]") -> bool:
    """Is there an event after which some are left, of whom more than one group was at risk?"""
    import pandas as pd

    both = pd.concat([times.assign(place=i) for i, times in enumerate(groups)])
    both["leaving"] = both["n_event"] + both["n_censored"]
    wide = both.pivot_table("leaving", "t", "place", aggfunc="sum", fill_value=0)
    at_risk = wide[::-1].cumsum()[::-1]
    events = both.groupby("t")["n_event"].sum()
    total = at_risk.sum(axis=1)
    return bool(((events > 0) & (events < total) & ((at_risk > 0).sum(axis=1) > 1)).any())
