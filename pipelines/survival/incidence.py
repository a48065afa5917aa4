"""Cumulative incidence of competing events (Aalen-Johansen), in a few exact lines of ours.

lifelines' AalenJohansenFitter moves tied times apart at random, so that two runs differ, and drops events at time 0.
"""

from typing import TYPE_CHECKING

SAME = 1e-12  # an incidence this near to 0 or 1 is that, but for binary digits

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def cumulative_incidence(times: "pd.DataFrame", kinds: "pd.DataFrame", alpha: float) -> "pd.DataFrame":
    """How many have had each kind of event first, by time.

    Input: `times`, a row per distinct time in order, `t` and `n_censored`; `kinds`, the same rows with a column of
    counts for each kind of event. Output: a row per kind and time with kind, t, n_at_risk, n_event (of this kind),
    incidence, std_error, lcl, ucl. The incidences of all kinds add up to 1 - S. The variance is the infinitesimal
    jackknife's, which is Greenwood's for a single kind; limits are log-log, missing where the incidence is 0 or 1.
    Source: R, survfit(Surv(time, factor) ~ 1, conf.type = "log-log"); Aalen and Johansen 1978.
    """
    import numpy as np
    import pandas as pd
    from scipy.stats import norm

    by_kind = {str(kind): kinds[kind].to_numpy(dtype=float) for kind in kinds.columns}
    events = np.sum(list(by_kind.values()), axis=0)
    leaving = events + times["n_censored"].to_numpy(dtype=float)
    at_risk = np.cumsum(leaving[::-1])[::-1]
    before = np.concatenate([[1.0], np.cumprod(1 - events / at_risk)[:-1]])
    made = []
    for kind, of_kind in by_kind.items():
        incidence = np.cumsum(before * of_kind / at_risk)
        inside = (incidence > SAME) & (incidence < 1 - SAME)
        std_error = np.where(inside, np.sqrt(_variance(incidence, of_kind, events, at_risk, before)), 0.0)
        p = np.where(inside, incidence, 0.5)
        spread = norm.ppf(1 - alpha / 2) * std_error / (p * np.log(p))
        limits = [np.where(inside, p ** np.exp(sign * spread), np.nan) for sign in (-1, 1)]
        columns = {"t": times["t"].to_numpy(), "n_at_risk": at_risk.astype("int64"), "n_event": of_kind.astype("int64")}
        columns |= {"incidence": incidence, "std_error": std_error, "lcl": limits[0], "ucl": limits[1]}
        made.append(pd.DataFrame({"kind": kind, **columns}))
    return pd.concat(made, ignore_index=True)


def _variance(
    incidence: "np.ndarray", of_kind: "np.ndarray", events: "np.ndarray", at_risk: "np.ndarray", before: "np.ndarray"
) -> "np.ndarray":
    """Sum over subjects of the squared influence on the incidence, at each time.

    A subject at risk at u acts on the incidence at t through its own event, a = S(u-)/Y, and through whom it leaves
    to the later events, b = (F(t) - F(u))/(Y - d). Its influences at different times do not correlate, so the sum at u
    is a² d_k (Y - d_k)/Y - 2 a b d_k (Y - d)/Y + b² d (Y - d)/Y; taken apart in F(t), it needs running sums only.
    """
    import numpy as np

    own = before / at_risk
    left = at_risk - events
    through = np.divide(events, at_risk * left, out=np.zeros_like(left), where=left > 0)  # nobody left: nothing later
    across = own * of_kind / at_risk
    fixed = np.cumsum(own**2 * of_kind * (at_risk - of_kind) / at_risk)
    linear = incidence * np.cumsum(across) - np.cumsum(across * incidence)
    squared = (
        incidence**2 * np.cumsum(through)
        - 2 * incidence * np.cumsum(through * incidence)
        + np.cumsum(through * incidence**2)
    )
    return np.maximum(fixed - 2 * linear + squared, 0.0)
