"""The lesions' half of `recist_pandas`: visits, lesions over time, new and irradiated lesions, targets.

Subjects, lesions and visits are numbered at first, in their own order, so that all that follows merges and sorts on
numbers: `s` a subject, `l` a lesion (by its name within the subject), `v` a visit (by its date within the subject).
"""

import numpy as np
import pandas as pd

Frames = dict[str, pd.DataFrame]
Numbers = dict[str, float]
FIRST, AFTER = 0, 1  # the series


def numbered(t: Frames) -> Frames:
    """The tables with subject and lesion as numbers; rows of subjects that are not linked are left out."""
    subjects = t["subjects"].loc[t["subjects"].link_state == "linked", "usubjid"].sort_values(ignore_index=True)
    place = pd.Index(subjects)
    rest = {}
    for name, frame in t.items():
        if "usubjid" in frame and name != "subjects":
            frame = frame.assign(s=place.get_indexer(frame.usubjid)).drop(columns="usubjid")
            frame = frame[frame.s >= 0]
        rest[name] = frame
    lesions = rest["lesions"].sort_values(["s", "lesion_id"], ignore_index=True)
    lesions["l"] = lesions.index
    measured = rest["measurements"].dropna(subset=["visitnum", "trdt"]).astype({"visitnum": int})
    # one number for subject and name: merging on it is faster than on both
    codes, names = pd.factorize(lesions.lesion_id)
    position = pd.Series(lesions.l.to_numpy(), index=lesions.s * len(names) + codes)

    def lesion_of(frame: pd.DataFrame) -> np.ndarray:
        code = pd.Index(names).get_indexer(frame.lesion_id)
        found = position.index.get_indexer(frame.s * len(names) + code)
        return np.where((code >= 0) & (found >= 0), found, -1)

    measured = measured.assign(l=lesion_of(measured)).drop(columns="lesion_id")
    links = rest["lesion_links"].assign(l=lesion_of(rest["lesion_links"]))
    return rest | {
        "subjects": subjects,
        "lesions": lesions,
        "measurements": measured,
        "lesion_links": links[links.l >= 0],
    }


def delivered_courses(t: Frames) -> pd.DataFrame:
    """One row per course that was given: its first fraction, by the fractions or as the centre states it."""
    key = ["s", "centre", "course_id"]
    given = t["fractions"][t["fractions"].dose_gy > 0].groupby(key, sort=False)
    given = given.agg(n=("fraction_no", "nunique"), first=("fxdt", "min")).reset_index()
    rows = t["courses"].merge(given, on=key, how="left")
    rows["rtstdt"] = rows["first"].fillna(rows.rtstdt)
    return rows.loc[rows.n.fillna(rows.delivered_fractions) > 0, [*key, "rtstdt"]]


def subject_dates(t: Frames, courses: pd.DataFrame) -> pd.DataFrame:
    """By subject: start of the drug, first fraction, next therapy."""
    drug = t["exposures"][t["exposures"].is_study_drug.eq(True) & (t["exposures"].exdose_mg > 0)]
    return pd.DataFrame(
        {
            "trtsdt": drug.groupby("s").exstdt.min(),
            "rtstdt": courses.groupby("s").rtstdt.min(),
            "next_therapy_dt": t["followup"].groupby("s").next_therapy_dt.min(),
        },
        index=t["subjects"].index,
    )


def visits_of(t: Frames, dates: pd.DataFrame) -> pd.DataFrame:
    """One row per visit: its date and the dates of the two baselines."""
    visits = t["measurements"].groupby(["s", "visitnum"], as_index=False).agg(adt=("trdt", "min"))
    visits = visits.sort_values(["s", "adt", "visitnum"], ignore_index=True)
    visits["v"] = visits.index
    start, fraction = (visits.s.map(dates[name]) for name in ("trtsdt", "rtstdt"))
    by_subject = visits.s
    before = visits.adt.where(visits.adt <= start).groupby(by_subject).transform("max")
    visits["base"] = before.fillna(visits.groupby("s").adt.transform("first"))
    visits["rt_base"] = visits.adt.where(visits.adt <= fraction).groupby(by_subject).transform("max")
    return visits


def assessments(t: Frames, visits: pd.DataFrame, p: Numbers) -> pd.DataFrame:
    """One row per lesion and visit since the lesion was first seen: size, and whether it is gone (nan: not known)."""
    measured = t["measurements"][t["measurements"].l >= 0]
    measured = measured.merge(visits[["s", "visitnum", "v", "adt"]], on=["s", "visitnum"])
    twice = measured.duplicated(["l", "v"], keep=False)
    if twice.any():
        again = measured[twice].sort_values(["trdt", "source_row", "size_um"], ascending=[False, True, False])
        measured = pd.concat([measured[~twice], again.drop_duplicates(["l", "v"])])
    first = measured.groupby("l").adt.min()
    rows = t["lesions"].loc[first.index, ["s", "l", "nodal_fl"]].assign(first_dt=first)
    rows = rows.merge(visits[["s", "v", "adt", "base", "rt_base"]], on="s")
    rows = rows[rows.adt >= rows.first_dt]
    rows = rows.merge(measured[["l", "v", "size_um", "lesion_state", "slice_um", "method"]], on=["l", "v"], how="left")
    size, said = rows.size_um, rows.lesion_state
    rows["counted"] = np.select(
        [size > 0, (size == 0) | (said == "absent"), said == "too_small"], [size, 0, p["too_small_um"]], np.nan
    )
    guessed = np.select([size > 0, size == 0], ["present", "absent"], "not_assessed")
    rows["state"] = said.where(said.notna(), guessed)
    rows["node"] = (rows.nodal_fl == "Y").to_numpy()
    is_gone = (rows.counted == 0) | (rows.node & (rows.counted < p["normal_node_um"]))
    rows["gone"] = np.select([is_gone, rows.counted.notna() | (rows.state != "not_assessed")], [1.0, 0.0], np.nan)
    return rows.drop(columns=["first_dt", "size_um", "lesion_state"]).sort_values(["l", "v"], ignore_index=True)


def both(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows once per series in which they lie, from its baseline on."""
    series = [
        rows[rows.adt >= rows[base]].assign(series=name, at_base=lambda one, base=base: one.adt == one[base])
        for name, base in ((FIRST, "base"), (AFTER, "rt_base"))
    ]
    return pd.concat(series, ignore_index=True)


def looks(adtr: pd.DataFrame) -> pd.DataFrame:
    """The assessments once per series; at the baseline after radiotherapy each lesion as last seen until then."""
    rows = both(adtr).assign(look_dt=lambda one: one.adt)
    known = adtr[(adtr.adt <= adtr.rt_base) & adtr.gone.notna()].drop_duplicates("l", keep="last").set_index("l")
    late = rows.at_base & (rows.series == AFTER) & rows.gone.isna() & rows.l.isin(known.index)
    seen = known.loc[rows.l[late]]
    for column in ("counted", "gone", "state", "slice_um", "method"):
        rows.loc[late, column] = seen[column].to_numpy()
    rows.loc[late, "look_dt"] = seen.adt.to_numpy()
    return rows


def new_lesions(t: Frames, adtr: pd.DataFrame, p: Numbers) -> pd.DataFrame:
    """One row per series, lesion that was not there at its baseline, and visit at which it is seen."""
    rows = looks(adtr)
    lesion = rows.series * len(t["lesions"]) + rows.l
    rows = rows[~lesion.isin(lesion[rows.at_base & (rows.gone != 1)])].copy()
    key = lesion[rows.index]
    by_look = rows.gone.groupby(key)
    rows["last_gone"] = by_look.ffill().groupby(key).shift()
    rows["n_gone"] = (rows.gone == 1).groupby(key).cumsum()
    rows = rows[~rows.at_base & (rows.gone == 0)].copy()
    small = rows.node & (rows.counted < p["min_node_target_um"])
    rows["doubt"] = np.select(
        [rows.state == "equivocal", rows.method == "bone_scan"], ["not stated as unequivocal", "on bone scan alone"], ""
    )
    small &= (rows.doubt == "") & (rows.state != "unequivocal")
    least = int(p["min_node_target_um"] / 1000)
    rows.loc[small, "doubt"] = [f"node of {um / 1000:.1f} mm, below {least} mm" for um in rows.counted[small]]
    run = [key[rows.index], rows.n_gone]
    again = rows.node & (rows.last_gone == 0) & (rows.state != "equivocal")
    rows["confirmed_dt"] = rows.adt.where((rows.doubt == "") | again).groupby(run).bfill()
    rows["sure"] = (rows.doubt == "") | rows.confirmed_dt.notna()
    lesion = t["lesions"].loc[rows.l]
    parts = zip(lesion.lesion_id, lesion.anatomic_site, rows.doubt, days(rows.confirmed_dt), rows.sure, strict=True)
    rows["reason"] = [
        f"{name} ({site}) is new" if not doubt
        else f"{name} ({site}) is new, {doubt}, confirmed on {day}" if sure
        else f"{name} ({site}) may be new: {doubt}"
        for name, site, doubt, day, sure in parts
    ]  # fmt: skip
    return rows[["series", "s", "l", "v", "adt", "sure", "reason"]]


def days(dates: pd.Series) -> list[str]:
    """Dates as ISO text."""
    return list(np.datetime_as_string(dates.to_numpy("datetime64[D]")))


def grown(size: pd.Series, nadir: pd.Series, p: Numbers) -> pd.Series:
    more = size - nadir
    return (more >= p["pd_min_increase_um"]) & (more * 100 >= nadir * p["pd_min_increase_pct"])


def lowest_before(size: pd.Series, key: pd.Series) -> pd.Series:
    return size.groupby(key).cummin().groupby(key).ffill().groupby(key).shift()


def progressing(visits: pd.DataFrame, adtr: pd.DataFrame, new: pd.DataFrame, p: Numbers) -> pd.DataFrame:
    """Lesion and visit at which the lesion itself has grown, has progressed without measure, or is new for certain."""
    since = visits[visits.adt == visits.base].groupby("s").visitnum.min()
    rows = adtr[adtr.v.map(visits.visitnum) >= adtr.s.map(since)]
    at_base = rows.adt == rows.base
    old = (at_base & (rows.gone != 1)).groupby(rows.l).transform("any")
    worse = grown(rows.counted, lowest_before(rows.counted, rows.l), p) & (rows.gone == 0)
    worse |= rows.state == "unequivocal_progression"
    own = rows.loc[old & ~at_base & worse, ["l", "v"]]
    return pd.concat([own, new.loc[new.sure & (new.series == FIRST), ["l", "v"]]]).drop_duplicates()


def irradiated_lesions(
    t: Frames, courses: pd.DataFrame, visits: pd.DataFrame, adtr: pd.DataFrame, new: pd.DataFrame, p: Numbers
) -> pd.Series:
    """By irradiated lesion: the first fraction of its first course.

    A target without a lesion's label stands for the lesions at its site that progress when last seen before it.
    """
    rows = t["lesion_links"].merge(t["targets"], on=["s", "centre", "target_id"])
    rows = rows.merge(courses, on=["s", "centre", "course_id"])
    labelled = rows.link_basis == "label"
    found = rows[~labelled]
    if len(found):
        visits, adtr, new = (frame[frame.s.isin(found.s)] for frame in (visits, adtr, new))
        seen = found[["l", "rtstdt"]].drop_duplicates().merge(adtr.loc[adtr.gone.notna(), ["l", "v", "adt"]], on="l")
        last = seen[seen.adt <= seen.rtstdt].groupby(["l", "rtstdt"], as_index=False).v.max()
        found = found.merge(last, on=["l", "rtstdt"]).merge(progressing(visits, adtr, new, p), on=["l", "v"])
        rows = pd.concat([rows[labelled], found])
    return rows.sort_values(["rtstdt", "target_id"]).drop_duplicates("l").set_index("l").rtstdt


def followed_lesions(
    t: Frames, visits: pd.DataFrame, adtr: pd.DataFrame, irradiated: pd.Series, p: Numbers
) -> pd.DataFrame:
    """One row per series and lesion of its baseline: whether it is a target (the largest are)."""
    before = adtr[(adtr.base > adtr.rt_dt) & (adtr.adt > adtr.rt_dt) & (adtr.adt <= adtr.base)]
    smaller = ~grown(before.counted, lowest_before(before.counted, before.l), p)
    spoilt = before.l[(before.adt == before.base) & smaller]
    rows = looks(adtr)
    rows = rows[rows.at_base & (rows.gone != 1)]
    next_dt = rows.v.map(visits.adt.groupby(visits.s).shift(-1))
    outside = (rows.series == FIRST) | ~rows.l.isin(irradiated.index) | (rows.rt_dt > next_dt)
    rows = rows[outside].join(t["lesions"][["organ", "lesion_role", "measurable_fl"]], on="l")
    thick = np.maximum(p["min_target_um"], rows.slice_um * p["thick_slice_factor"])
    least = np.select(
        [rows.node, rows.method == "xray", rows.method == "bone_scan", rows.slice_um > p["max_slice_um"]],
        [p["min_node_target_um"], p["min_xray_target_um"], np.nan, thick],
        p["min_target_um"],
    )
    rows["declared"] = np.select([rows.lesion_role == "target", rows.lesion_role.notna()], [1, 0], -1)
    allowed = (rows.declared == 1) & (rows.measurable_fl != "N") & ~rows.l.isin(spoilt)
    rows["can"] = ((rows.series == AFTER) | allowed) & (rows.counted >= least)
    rows = rows.sort_values(["declared", "counted", "l"], ascending=[False, False, True])
    rank = rows.groupby(["s", "series", "can", "organ"], dropna=False, sort=False).cumcount()
    rows["may"] = rows.can & (rank < p["max_targets_per_organ"])
    rank = rows.groupby(["s", "series", "may"], sort=False).cumcount()
    return rows[["series", "l"]].assign(is_target=rows.may & (rank < p["max_targets"]))
