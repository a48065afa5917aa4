"""RECIST responses of the first line in pandas, as somebody who knows pandas would write them: one of the peers.

Reads frames of the harmonised tables (sizes in whole micrometres, so that no threshold meets a binary fraction) and two
tables that both peers are given: the anchor dates of each subject and the irradiated lesions. Returns how often each
value of TRGRESP, OVRLRESP and BOR occurs. The contested points are read as the protocol's defaults say.
"""

import numpy as np
import pandas as pd

SUBJECT, LESION, VISIT = ["usubjid"], ["usubjid", "lesion_id"], ["usubjid", "visitnum"]
Frames = dict[str, pd.DataFrame]


def counts(t: Frames, p: dict[str, float]) -> dict[str, int]:
    visits = series_visits(t)
    adtr = assessments(t, visits, p)
    roles = followed_lesions(t, visits, adtr, p)
    points = timepoints(t, visits, adtr, roles, p)
    best = best_responses(t, visits, points, p)
    found = [("TRGRESP", points.target), ("OVRLRESP", points.overall), ("BOR", best)]
    return {f"{name} {value}": int(n) for name, values in found for value, n in values.value_counts().items()}


def series_visits(t: Frames) -> pd.DataFrame:
    """One row per assessment: its date, whether it is the baseline, whether it belongs to the first line."""
    dated = t["measurements"].dropna(subset=["visitnum", "trdt"])
    visits = dated.groupby(VISIT, as_index=False).agg(adt=("trdt", "min")).merge(t["subject_dates"], on="usubjid")
    before = visits.adt.where(visits.adt <= visits.trtsdt).groupby(visits.usubjid).transform("max")
    visits["baseline_dt"] = before.fillna(visits.groupby("usubjid").adt.transform("min"))
    visits["is_baseline"] = visits.adt == visits.baseline_dt
    visits["in_series"] = visits.adt >= visits.baseline_dt
    return visits


def assessments(t: Frames, visits: pd.DataFrame, p: dict[str, float]) -> pd.DataFrame:
    """One row per lesion and assessment since the lesion was first seen."""
    measured = t["measurements"].dropna(subset=["visitnum", "trdt"])
    measured = measured.sort_values(["trdt", "source_row", "size_um"], ascending=[False, True, False])
    measured = measured.drop_duplicates([*LESION, "visitnum"])
    first = (
        measured.merge(visits[[*VISIT, "adt"]], on=VISIT).groupby(LESION, as_index=False).agg(first_dt=("adt", "min"))
    )
    rows = first.merge(t["lesions"], on=LESION).merge(visits[[*VISIT, "adt", "is_baseline", "in_series"]], on="usubjid")
    rows = rows[rows.adt >= rows.first_dt]
    columns = [*LESION, "visitnum", "size_um", "lesion_state", "slice_um", "method"]
    rows = rows.merge(measured[columns], on=[*LESION, "visitnum"], how="left")
    size, said = rows.size_um, rows.lesion_state
    rows["counted"] = np.select(
        [size > 0, (size == 0) | (said == "absent"), said == "too_small"], [size, 0, p["too_small_um"]], np.nan
    )
    guessed = np.select([size > 0, size == 0], ["present", "absent"], "not_assessed")
    rows["state"] = said.where(said.notna(), guessed)
    is_gone = (rows.counted == 0) | ((rows.nodal_fl == "Y") & (rows.counted < p["normal_node_um"]))
    is_there = rows.counted.notna() | (rows.state != "not_assessed")
    rows["gone"] = np.select([is_gone, is_there], [1.0, 0.0], np.nan)
    rows = rows.merge(t["irradiated"], on=LESION, how="left")
    rows["is_irradiated"] = rows.first_fraction_dt < rows.adt
    return rows.sort_values([*LESION, "adt", "visitnum"], ignore_index=True)


def grown(size: pd.Series, nadir: pd.Series, p: dict[str, float]) -> pd.Series:
    more = size - nadir
    return (more >= p["pd_min_increase_um"]) & (more * 100 >= nadir * p["pd_min_increase_pct"])


def followed_lesions(t: Frames, visits: pd.DataFrame, adtr: pd.DataFrame, p: dict[str, float]) -> pd.DataFrame:
    """The lesions of the baseline with their role: targets are at most five, two an organ, the largest."""
    since = adtr[adtr.is_irradiated]
    before = since.merge(visits.loc[visits.is_baseline, ["usubjid", "baseline_dt"]].drop_duplicates(), on="usubjid")
    before = before[(before.first_fraction_dt < before.baseline_dt) & (before.adt <= before.baseline_dt)]
    nadir = before.groupby(LESION).counted.transform(lambda s: s.cummin().ffill().shift())
    spoilt = before[before.is_baseline & ~grown(before.counted, nadir, p)][LESION].drop_duplicates()
    base = adtr[adtr.is_baseline & (adtr.gone != 1)].merge(spoilt.assign(spoilt=True), on=LESION, how="left")
    thick = np.maximum(p["min_target_um"], base.slice_um * p["thick_slice_factor"])
    least = np.select(
        [base.nodal_fl == "Y", base.method == "xray", base.method == "bone_scan", base.slice_um > p["max_slice_um"]],
        [p["min_node_target_um"], p["min_xray_target_um"], np.nan, thick],
        p["min_target_um"],
    )
    declared = base.lesion_role == "target"
    base["can"] = declared & (base.measurable_fl != "N") & base.spoilt.isna() & (base.counted >= least)
    base["declared"] = declared
    base = base.sort_values(["declared", "counted", "lesion_id"], ascending=[False, False, True])
    base["organ_rank"] = base.groupby(["usubjid", "can", "organ"], dropna=False).cumcount() + 1
    base["may"] = base.can & (base.organ_rank <= p["max_targets_per_organ"])
    base["rank"] = base.groupby(["usubjid", "may"]).cumcount() + 1
    base["is_target"] = base.may & (base["rank"] <= p["max_targets"])
    return base[[*LESION, "is_target"]]


def new_lesions(adtr: pd.DataFrame, roles: pd.DataFrame, p: dict[str, float]) -> pd.DataFrame:
    """One row per assessment at which a lesion is new: certain, or doubtful and not confirmed."""
    rows = adtr[adtr.in_series].merge(roles[LESION].drop_duplicates().assign(old=True), on=LESION, how="left")
    rows = rows[rows.old.isna()].copy()
    small_node = (rows.nodal_fl == "Y") & (rows.counted < p["min_node_target_um"])
    rows["doubt"] = (rows.state == "equivocal") | (rows.method == "bone_scan") | small_node
    looks = rows.groupby(LESION).gone
    rows["next_gone"] = looks.transform(lambda s: s.bfill().shift(-1)) if len(rows) else np.nan
    rows["last_gone"] = looks.transform(lambda s: s.ffill().shift()) if len(rows) else np.nan
    rows["n_gone"] = (rows.gone == 1).groupby([rows.usubjid, rows.lesion_id]).cumsum()
    rows = rows[~rows.is_baseline & (rows.gone == 0)].copy()
    certain = (~rows.doubt)[::-1].astype(int)
    keys = [rows.usubjid, rows.lesion_id, rows.n_gone]
    later = certain.groupby(keys).cumsum() - certain > 0
    by_node = (rows.nodal_fl == "Y") & ((rows.next_gone == 0) | (rows.last_gone == 0))
    rows["status"] = np.where(~rows.doubt | by_node | later, "UNEQUIVOCAL", "EQUIVOCAL")
    return rows[~rows.is_irradiated].groupby(VISIT, as_index=False).agg(new=("status", "max"))


def timepoints(
    t: Frames, visits: pd.DataFrame, adtr: pd.DataFrame, roles: pd.DataFrame, p: dict[str, float]
) -> pd.DataFrame:
    """One row per assessment after the baseline: target, non-target and overall response."""
    rows = adtr.merge(roles, on=LESION)
    rows["known"] = rows.counted.where(~rows.is_irradiated)
    rows["seen"] = (rows.gone == 0) & ~rows.is_irradiated & (rows.counted.notna() | (rows.nodal_fl == "N"))
    rows["is_left"] = rows.gone == 0
    target = rows[rows.is_target].groupby(VISIT, as_index=False).agg(
        n=("known", "size"), n_known=("known", "count"), measured=("known", "sum"), n_seen=("seen", "sum"),
        is_left=("is_left", "any"),
    )  # fmt: skip
    target.loc[target.n_known == 0, "measured"] = np.nan
    target["total"] = target.measured.where(target.n_known == target.n)
    target["all_gone"] = target.total.notna() & ~target.is_left
    other = rows[~rows.is_target].copy()
    other["state_known"] = other.gone.where(~other.is_irradiated)
    other["left"] = other.state_known == 0
    other["worse"] = other.left & (other.state == "unequivocal_progression")
    other["there"] = other.left & (other.nodal_fl == "N")
    other = other.groupby(VISIT, as_index=False).agg(
        m=("state_known", "size"), m_known=("state_known", "count"), m_left=("left", "any"),
        worse=("worse", "any"), there=("there", "any"),
    )  # fmt: skip
    new = new_lesions(adtr, roles, p)
    s = visits[visits.in_series].merge(target, on=VISIT, how="left").merge(other, on=VISIT, how="left")
    s = s.merge(new, on=VISIT, how="left").sort_values(["usubjid", "adt", "visitnum"], ignore_index=True)
    for column in ("n", "n_known", "n_seen", "m", "m_known"):
        s[column] = s[column].fillna(0)
    for column in ("all_gone", "worse", "there", "m_left"):
        s[column] = s[column].eq(True)
    s["new"] = s.new.fillna("NO")
    gone_m = (s.m_known == s.m) & ~s.m_left
    is_cr = (s.n + s.m > 0) & ((s.n == 0) | s.all_gone) & ((s.m == 0) | gone_m) & (s.new != "UNEQUIVOCAL")
    earlier = s.groupby("usubjid")
    had_cr = is_cr.astype(int).groupby(s.usubjid).cumsum() - is_cr > 0
    nadir = earlier.total.cummin().groupby(s.usubjid).ffill().groupby(s.usubjid).shift()
    base = s.usubjid.map(s.drop_duplicates("usubjid").set_index("usubjid").total)
    s["target"] = np.select(
        [s.n == 0, s.all_gone, grown(s.measured, nadir, p), had_cr & (s.n_seen > 0), s.n_known < s.n,
         s.total * 100 <= base * p["pr_max_pct"]],
        ["NA", "CR", "PD", "PD", "NE", "PR"], "SD",
    )  # fmt: skip
    s["nontarget"] = np.select(
        [s.m == 0, s.worse | (had_cr & s.there), gone_m, s.m_known < s.m], ["NA", "PD", "CR", "NE"], "NON-CR/NON-PD"
    )
    s = s[earlier.cumcount() > 0].copy()
    s.loc[continuing(s, p), "target"] = "PR"
    return s.merge(t["timepoint_response"], on=["target", "nontarget", "new"])


def continuing(s: pd.DataFrame, p: dict[str, float]) -> list[int]:
    """Rows that are stable by arithmetic after a confirmed partial response; few subjects have any."""
    found: list[int] = []
    sd = s[s.target == "SD"].groupby("usubjid").adt.max()
    pr = s[s.target == "PR"].groupby("usubjid").adt.min()
    both = pd.concat([sd, pr], axis=1, keys=["sd", "pr"]).dropna()
    for _, rows in s[s.usubjid.isin(both.index[both.sd > both.pr])].groupby("usubjid"):
        n_ne, start, since = 0, None, []  # responses with nothing but responses and gaps since
        confirmed = None
        for row in rows.itertuples():
            if row.target == "NE":
                n_ne += 1
            elif row.target in ("CR", "PR"):
                since.append((row.adt, n_ne))
                start = min(when for when, gaps in since if n_ne - gaps <= 1)
                if confirmed is None and (row.adt - start).days >= p["confirmation_days"]:
                    confirmed = row.adt
            elif row.target == "PD":
                break
            else:
                since = []
                if row.target == "SD" and confirmed is not None:
                    found.append(row.Index)
    return found


def best_responses(t: Frames, visits: pd.DataFrame, points: pd.DataFrame, p: dict[str, float]) -> pd.Series:
    """The best response of each subject up to the first progression and before any next therapy."""
    pd_dt = points[points.overall == "PD"].groupby("usubjid").adt.min()
    rows = points[~(points.adt > points.usubjid.map(pd_dt)) & ~(points.adt >= points.next_therapy_dt)].copy()
    late = (rows.adt - rows.trtsdt).dt.days >= p["min_sd_days"]
    holds = rows.overall.isin(["CR", "PR", "PD"]) | (rows.overall.isin(["SD", "NON-CR/NON-PD"]) & late)
    rows["code"] = rows.overall.where(holds, "NE")
    rows["order"] = rows.code.map(t["response"].set_index("code").worst_order).fillna(100)
    best = rows.sort_values(["order", "adt", "code"]).drop_duplicates("usubjid").set_index("usubjid").code
    return best.reindex(visits.loc[visits.is_baseline, "usubjid"].unique(), fill_value="NE")
