"""RECIST responses in pandas, as somebody who knows pandas would write them: one of the peers.

Input and output are those of `recist_polars`: frames of the harmonised tables (sizes in whole micrometres), and the
rows of `assessed.timepoint_responses` and `assessed.best_responses`.
"""

import numpy as np
import pandas as pd
import recist_pandas_lesions as lesions
from recist_pandas_lesions import FIRST, Frames, Numbers, both, days, grown, looks, lowest_before


def derive(frames: Frames, p: Numbers) -> tuple[pd.DataFrame, pd.DataFrame]:
    t = lesions.numbered(frames)
    courses = lesions.delivered_courses(t)
    dates = lesions.subject_dates(t, courses)
    visits = lesions.visits_of(t, dates)
    adtr = lesions.assessments(t, visits, p)
    new = lesions.new_lesions(t, adtr, p)
    irradiated = lesions.irradiated_lesions(t, courses, visits, adtr, new, p)
    adtr["rt_dt"], new["rt_dt"] = adtr.l.map(irradiated), new.l.map(irradiated)
    roles = lesions.followed_lesions(t, visits, adtr, irradiated, p)
    points = timepoints(t, visits, adtr, roles, new, p)
    best = best_responses(t, dates, visits, points, p)
    named = points.assign(series=np.where(points.series == FIRST, "first_line", "after_rt"))
    return tuple(frame.assign(usubjid=frame.s.map(t["subjects"])) for frame in (named, best))


def states(
    t: Frames, visits: pd.DataFrame, adtr: pd.DataFrame, roles: pd.DataFrame, new: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per series and visit: counts and sum of the targets, counts of the others, new lesions; and, for the
    words, the non-target lesions that are seen."""
    rows = roles.merge(looks(adtr), on=["series", "l"])
    rows["key"] = rows.series * len(visits) + rows.v
    lit, left, free = ~(rows.rt_dt < rows.adt), rows.gone == 0, rows.nodal_fl == "N"
    is_t = rows.is_target
    rows["known"] = rows.counted.where(is_t & lit)
    rows["t_seen"] = is_t & left & lit & (rows.counted.notna() | free)
    rows["t_left"] = is_t & left
    rows["m_known"] = ~is_t & lit & rows.gone.notna()
    rows["m_left"] = ~is_t & lit & left
    rows["worse"] = rows.m_left & (rows.state == "unequivocal_progression")
    rows["there"] = rows.m_left & free
    by_visit = rows.groupby("key")
    found = by_visit[["is_target", "t_seen", "t_left", "m_known", "m_left", "worse", "there"]].sum()
    found = found.rename(columns={"is_target": "n", "t_seen": "n_seen"})
    found["all"], found["n_known"], found["measured"] = by_visit.size(), by_visit.known.count(), by_visit.known.sum()
    sum_dt = rows[is_t].groupby("key").look_dt.max()
    new = new[~(new.rt_dt < new.adt)].sort_values(["sure", "l"], ascending=[False, True])
    by_visit = new.groupby(new.series * len(visits) + new.v)
    newly = by_visit.agg(sure=("sure", "any"), new_lesion_reason=("reason", "; ".join))
    s = both(visits)
    s.index = pd.Index(s.series * len(visits) + s.v)
    s = s.join(found).join(newly)
    s["sum_dt"] = sum_dt
    counts = found.columns.drop("measured")
    s[counts] = s[counts].fillna(0).astype(int)
    s["new_lesion"] = np.select([s.sure.eq(True), s.sure.eq(False)], ["UNEQUIVOCAL", "EQUIVOCAL"], "NO")
    s["m"] = s["all"] - s.n
    s["measured"] = s.measured.where(s.n_known > 0)
    s["total"] = s.measured.where(s.n_known == s.n)
    s["t_gone"] = s.total.notna() & (s.t_left == 0)
    s["m_gone"] = (s.m_known == s.m) & (s.m_left == 0) & (s.m > 0)
    return s.sort_index(), rows.loc[rows.worse | rows.there, ["key", "l", "worse", "there"]]


def timepoints(
    t: Frames, visits: pd.DataFrame, adtr: pd.DataFrame, roles: pd.DataFrame, new: pd.DataFrame, p: Numbers
) -> pd.DataFrame:
    """One row per series and visit after its baseline: every response with its reason."""
    s, words = states(t, visits, adtr, roles, new)
    key = s.series * len(t["subjects"]) + s.s
    is_cr = (
        (s["all"] > 0) & ((s.n == 0) | s.t_gone) & ((s.m == 0) | s.m_gone) & (s.new_lesion != "UNEQUIVOCAL")
    ).astype(int)  # fmt: skip
    s["had_cr"] = is_cr.groupby(key).cumsum() - is_cr > 0
    s["nadir"] = lowest_before(s.total, key)
    s["base"] = s.total.where(~key.duplicated()).groupby(key).transform("first")
    # the day of the lowest sum: the first of its value
    lowest_dt = s.sum_dt.where((s.total < s.nadir) | (s.total.notna() & s.nadir.isna()))
    s["nadir_dt"] = lowest_dt.groupby(key).ffill().groupby(key).shift()
    s["grown"], s["incomplete"] = grown(s.measured, s.nadir, p), s.n_known < s.n
    s["target"] = np.select(
        [s.n == 0, s.t_gone, s.grown | (s.had_cr & (s.n_seen > 0)), s.incomplete,
         s.total * 100 <= s.base * p["pr_max_pct"]],
        ["NA", "CR", "PD", "NE", "PR"], "SD",
    )  # fmt: skip
    s["nontarget"] = np.select(
        [s.m == 0, (s.worse > 0) | (s.had_cr & (s.there > 0)), s.m_gone, s.m_known < s.m], ["NA", "PD", "CR", "NE"],
        "NON-CR/NON-PD",
    )  # fmt: skip
    s = s[key.duplicated()].assign(key=key)
    bounds = continuing(s, p)
    s["from_dt"], s["until_dt"] = s.key.map(bounds.from_dt), s.key.map(bounds.until_dt)
    s["stays"] = (s.target == "SD") & (s.adt > s.from_dt) & ~(s.adt >= s.until_dt)
    s.loc[s.stays, "target"] = "PR"
    table = t["timepoint_response"]
    table = table.assign(
        overall_reason="target " + table.target + ", non-target " + table.nontarget + ", new lesion "
        + table.new_lesion.str.lower() + ": " + table.overall
    )  # fmt: skip
    s = s.rename_axis("row").reset_index().merge(table, on=["target", "nontarget", "new_lesion"])
    return explained(t, s, words, p)


def continuing(s: pd.DataFrame, p: Numbers) -> pd.DataFrame:
    """By subject and series with stable disease by arithmetic after a partial response: the day from which a confirmed
    response goes on, and that of progression."""
    responds = s.target.isin(["CR", "PR"])
    late, early = s[s.target == "SD"].groupby("key").adt.max(), s[s.target == "PR"].groupby("key").adt.min()
    late, early = late.align(early, join="inner")
    few = s.loc[s.key.isin(late.index[late > early]), ["key", "adt", "target"]]
    responds = few.target.isin(["CR", "PR"])
    few = few.assign(
        n_other=(~few.target.isin(["CR", "PR", "NE"])).groupby(few.key).cumsum(),
        n_ne=(few.target == "NE").groupby(few.key).cumsum(),
    )
    run = ["key", "n_other", "n_ne"]
    first = few[responds].groupby(run, as_index=False).agg(since=("adt", "min"))
    # with at most one missing assessment between: the run's own start, or that before the gap
    gap = first.assign(n_ne=first.n_ne + 1).rename(columns={"since": "since_gap"})
    few = few.merge(first, on=run, how="left").merge(gap, on=run, how="left")
    held = (few.adt - few[["since", "since_gap"]].min(axis=1)).dt.days >= p["confirmation_days"]
    firm = few[few.target.isin(["CR", "PR"]) & held]
    return pd.DataFrame(
        {
            "from_dt": firm.groupby("key").adt.min(),
            "until_dt": few[few.target == "PD"].groupby("key").adt.min().reindex(firm.key.unique()),
        }
    )


def explained(t: Frames, s: pd.DataFrame, words: pd.DataFrame, p: Numbers) -> pd.DataFrame:
    """The responses with their reasons in words, as `assessed.timepoint_responses` has them."""
    words = words.sort_values("l").assign(lesion_id=lambda one: one.l.map(t["lesions"].lesion_id))
    wanted = s.row[s.had_cr & (s.there > 0) & (s.worse == 0)]
    progressed = s.row.map(words[words.worse].groupby("key").lesion_id.agg(", ".join)).astype(object)
    seen = s.row.map(words[words.there & words.key.isin(wanted)].groupby("key").lesion_id.agg(", ".join)).astype(object)
    t_back = s.had_cr & ~s.grown & (s.n_seen > 0)
    m_back = s.had_cr & (s.worse == 0) & (s.there > 0)
    fixed = np.select(
        [s.n == 0, s.target == "CR", (s.n_known == 0) & (s.target == "NE")],
        ["no target lesions at baseline", "all target lesions are absent, nodes of normal size",
         "no target lesion was assessed"], "",
    )  # fmt: skip
    s["target_reason"] = pd.Series(fixed, dtype=object)
    told = fixed == ""
    u = s[told]
    prefix = np.select(
        [(u.target == "PD") & t_back[told], u.incomplete, u.stays],
        ["a target lesion is back after complete response; ",
         [f"{k} of {n} target lesions assessed; " for k, n in zip(u.n_known, u.n, strict=True)],
         [f"continuing partial response, confirmed on {day}; " for day in days(u.from_dt)]], "",
    )  # fmt: skip
    more = u.measured - u.nadir
    bound = p["pd_min_increase_pct"]
    below = (more > 0) & (more * 100 < u.nadir * bound)
    digits = (u[["measured", "nadir", "base"]] % 100 == 0).all(axis=1).map({True: 1, False: 3})
    columns = (u.measured / 1000, u.nadir / 1000, more / 1000, more * 100 / 1000, below, u.base / 1000, digits)

    def share(hundredfold: float, low: float, below: bool) -> str:
        text = f"{hundredfold / low:+.1f}" if low > 0 else ""
        just_below = below and text == f"{bound:+.1f}"
        return f", just below {bound:.0f} %" if just_below else f", {text} %" if text else ""

    said = [
        f"{before}sum {size:.{d}f}, nadir {low:.{d}f} on {day}: {change:+.{d}f} mm{share(hundredfold, low, below)}"
        f"; baseline {base:.{d}f}"
        for before, day, size, low, change, hundredfold, below, base, d in zip(
            prefix, days(u.nadir_dt), *(column.tolist() for column in columns), strict=True
        )
    ]
    unknown = u[["measured", "nadir", "base"]].isna().any(axis=1)
    without = pd.Series(prefix, index=u.index, dtype=object) + "a size is missing, so that there is no sum to compare"
    s.loc[told, "target_reason"] = pd.Series(said, index=u.index, dtype=object).mask(unknown, without)
    s["nontarget_reason"] = np.select(
        [s.m == 0, s.worse > 0, s.nontarget == "PD", s.nontarget == "CR", s.nontarget == "NE"],
        ["no non-target lesions", "unequivocal progression of " + progressed, "back after complete response: " + seen,
         "all non-target lesions are absent, nodes of normal size",
         [f"{k} of {n} non-target lesions assessed" for k, n in zip(s.m_known, s.m, strict=True)]],
        "present without unequivocal progression",
    )  # fmt: skip
    s["new_lesion_reason"] = s.new_lesion_reason.fillna("no new lesion")
    points = [
        (s.stays, "sd_after_pr"),
        (s.grown & s.incomplete, "pd_with_missing_target"),
        (t_back | m_back, "disease_after_cr"),
    ]
    s["contested"] = None
    some = s.index[np.logical_or.reduce([holds for holds, _ in points])]
    s.loc[some, "contested"] = [", ".join(name for holds, name in points if holds[row]) for row in some]
    names = {"target": "target_response", "nontarget": "nontarget_response", "overall": "overall_response"}
    reasons = ["target_reason", "nontarget_reason", "new_lesion_reason", "overall_reason", "contested"]
    columns = ["s", "series", "v", "visitnum", "adt", *names.values(), "new_lesion", *reasons]
    return s.rename(columns=names)[columns]


def best_responses(
    t: Frames, dates: pd.DataFrame, visits: pd.DataFrame, points: pd.DataFrame, p: Numbers
) -> pd.DataFrame:
    """One row per subject with a baseline: the best response, and the best that was confirmed."""
    rows = points.loc[points.series == FIRST, ["s", "v", "adt", "overall_response"]].sort_values("v", ignore_index=True)
    rows = rows.rename(columns={"overall_response": "value"})
    pd_dt = rows.s.map(rows[rows.value == "PD"].groupby("s").adt.min())
    rows = rows[~(rows.adt > pd_dt) & ~(rows.adt >= rows.s.map(dates.next_therapy_dt))]
    value, s = rows.value, rows.s
    firm = value.isin(["CR", "PR"])
    rows = rows.assign(
        days=(rows.adt - s.map(dates.trtsdt)).dt.days, firm=firm,
        next=value.where(value != "NE").groupby(s).bfill().groupby(s).shift(-1),
        n_ne=(value == "NE").groupby(s).cumsum(),
        n_worse=(~value.isin(["NE", "CR", "PR"])).groupby(s).cumsum(),
        n_not_cr=(~value.isin(["NE", "CR"])).groupby(s).cumsum(),
    )  # fmt: skip
    late = rows.days >= p["min_sd_days"]
    responses = rows.loc[firm, ["s", "v", "adt", "value", "n_ne", "n_worse", "n_not_cr"]]
    pairs = responses.merge(responses, on="s", suffixes=("", "_b"))
    pairs = pairs[((pairs.adt_b - pairs.adt).dt.days >= p["confirmation_days"]) & (pairs.n_ne_b - pairs.n_ne <= 1)]
    both_cr = (pairs.value == "CR") & (pairs.value_b == "CR") & (pairs.n_not_cr_b == pairs.n_not_cr)
    is_cr = rows.v.isin(pairs.v[both_cr])
    is_pr = rows.v.isin(pairs.v[pairs.n_worse_b == pairs.n_worse])
    rows["bor"] = value.where(firm | (value == "PD") | (value.isin(["SD", "NON-CR/NON-PD"]) & late), "NE")
    rows["cbor"] = np.select(
        [(value == "CR") & is_cr, firm & is_pr & ~is_cr, (value == "PR") & (rows.next == "SD"), firm & late, firm],
        ["CR", "PR", "SD", "SD", "NE"], rows.bor,
    )  # fmt: skip
    order = t["response"].set_index("code").worst_order
    best = pd.DataFrame({"s": visits.s[visits.adt == visits.base].unique()})
    weeks, confirmation = int(p["min_sd_days"]), int(p["confirmation_days"])
    none = {
        "bor": f"no response, progression or stable disease of at least {weeks} days",
        "cbor": f"nothing confirmed, no stable disease of at least {weeks} days",
    }
    for kind in ("bor", "cbor"):
        ranked = rows.assign(order=rows[kind].map(order).fillna(100)).sort_values(["order", "adt", kind])
        first = best.merge(ranked.drop_duplicates("s"), on="s", how="left")
        said = []
        whole_days = first.days.fillna(-1).astype(int)
        for code, given, day, n in zip(first[kind], first.value, days(first.adt), whole_days, strict=True):
            if kind == "cbor" and code in ("CR", "PR"):
                named = f"first {code} on {day}" if given == code else f"{given} on {day} counts as {code}"
                said.append(f"{named}, confirmed after at least {confirmation} days")
            elif kind == "cbor" and code != "NE" and given in ("CR", "PR"):
                said.append(f"{given} on {day}, {n} days after start, is not confirmed and counts as {code}")
            else:
                said.append(none[kind] if code == "NE" else f"first {code} on {day}, {n} days after start")
        best[kind], best[f"{kind}_dt"] = first[kind].fillna("NE"), first.adt
        best[f"{kind}_reason"] = np.where(first[kind].isna(), "no assessment counts", said)
    return best
