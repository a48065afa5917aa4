"""The lesions' half of `recist_polars`: visits, lesions over time, new and irradiated lesions, targets.

Subjects, lesions and visits are numbered at first, in their own order, so that all that follows joins and sorts on
numbers: `s` a subject, `l` a lesion (by its name within the subject), `v` a visit (by its date within the subject).
"""

import polars as pl
from recist_polars_words import c, mm, printed

Numbers = dict[str, float]
Tables = dict[str, pl.LazyFrame]
CODES = ("timepoint_response", "response")
SERIES = pl.Enum(["first_line", "after_rt"])
FIRST, AFTER = pl.lit("first_line", SERIES), pl.lit("after_rt", SERIES)


def done(plan: pl.LazyFrame) -> pl.LazyFrame:
    """What several later steps read is computed once."""
    return plan.collect().lazy()


def numbered(t: Tables) -> Tables:
    """The tables with subject and lesion as numbers; rows of subjects that are not linked are left out."""
    subjects = t["subjects"].filter(c("link_state") == "linked").select("usubjid").sort("usubjid").with_row_index("s")
    subjects = done(subjects)
    # each join by itself: in one plan, polars 2.1 puts them in another order and pairs all that have one name
    names = [name for name in t if name not in ("subjects", *CODES)]
    plans = [t[name].join(subjects, on="usubjid").drop("usubjid") for name in names]
    rest = {name: frame.lazy() for name, frame in zip(names, pl.collect_all(plans), strict=True)}
    lesions = done(rest["lesions"].sort("s", "lesion_id").with_row_index("l"))
    keys = lesions.select("s", "lesion_id", "l")
    measured = rest["measurements"].filter(c("visitnum").is_not_null() & c("trdt").is_not_null())
    measured = measured.join(keys, on=["s", "lesion_id"], how="left").drop("lesion_id")
    links = rest["lesion_links"].join(keys, on=["s", "lesion_id"])
    codes = {name: t[name] for name in CODES}
    made = {"subjects": subjects, "lesions": lesions, "measurements": done(measured), "lesion_links": done(links)}
    return rest | codes | made


def delivered_courses(t: Tables) -> pl.LazyFrame:
    """One row per course that was given: its first fraction, by the fractions or as the centre states it."""
    key = ["s", "centre", "course_id"]
    fractions = t["fractions"].filter(c("dose_gy") > 0).group_by(key).agg(
        n=c("fraction_no").drop_nulls().n_unique(), first=c("fxdt").min()
    )  # fmt: skip
    return (
        t["courses"].join(fractions, on=key, how="left")
        .filter(pl.coalesce("n", "delivered_fractions") > 0)
        .select(*key, rtstdt=pl.coalesce("first", "rtstdt"))
    )  # fmt: skip


def subject_dates(t: Tables, courses: pl.LazyFrame) -> pl.LazyFrame:
    """One row per subject: start of the drug, first fraction, next therapy."""
    drug = t["exposures"].filter(c("is_study_drug") & (c("exdose_mg") > 0)).group_by("s").agg(trtsdt=c("exstdt").min())
    rt = courses.group_by("s").agg(c("rtstdt").min())
    later = t["followup"].group_by("s").agg(c("next_therapy_dt").min())
    dates = t["subjects"].join(drug, on="s", how="left").join(rt, on="s", how="left")
    return dates.join(later, on="s", how="left")


def visits_of(t: Tables, dates: pl.LazyFrame) -> pl.LazyFrame:
    """One row per visit: its date and the dates of the two baselines."""
    before = c("adt").filter(c("adt") <= c("trtsdt")).max().over("s")
    return (
        t["measurements"].group_by("s", "visitnum").agg(adt=c("trdt").min())
        .join(dates.select("s", "trtsdt", "rtstdt"), on="s")
        .sort("s", "adt", "visitnum").with_row_index("v")
        .with_columns(
            base=pl.coalesce(before, c("adt").min().over("s")),
            rt_base=c("adt").filter(c("adt") <= c("rtstdt")).max().over("s"),
        )
        .drop("trtsdt", "rtstdt")
    )  # fmt: skip


def assessments(t: Tables, visits: pl.LazyFrame, p: Numbers) -> pl.LazyFrame:
    """One row per lesion and visit since the lesion was first seen: size, and whether it is gone (null: not known)."""
    columns = ["l", "v", "adt", "size_um", "lesion_state", "slice_um", "method", "trdt", "source_row"]
    measured = t["measurements"].join(visits.select("s", "visitnum", "v", "adt"), on=["s", "visitnum"])
    measured = measured.filter(c("l").is_not_null()).select(columns).collect()
    twice = measured.group_by("l", "v").len().filter(c("len") > 1).select("l", "v")
    again = measured.join(twice, on=["l", "v"]).sort(
        "trdt", "source_row", "size_um", descending=[True, False, True], nulls_last=True
    )  # fmt: skip
    once = measured.join(twice, on=["l", "v"], how="anti") if len(twice) else measured
    measured = pl.concat([once, again.unique(["l", "v"], keep="first", maintain_order=True)])
    first = measured.lazy().group_by("l").agg(first_dt=c("adt").min())
    size, said = c("size_um"), c("lesion_state")
    guessed = (
        pl.when(size > 0)
        .then(pl.lit("present"))
        .when(size == 0)
        .then(pl.lit("absent"))
        .otherwise(pl.lit("not_assessed"))
    )
    counted = (
        pl.when(size > 0).then(size).when((size == 0) | (said == "absent")).then(0.0)
        .when(said == "too_small").then(p["too_small_um"])
    )  # fmt: skip
    node = c("nodal_fl") == "Y"
    is_gone = (c("counted") == 0) | (node & (c("counted") < p["normal_node_um"]))
    is_there = c("counted").is_not_null() | (c("state") != "not_assessed")
    return (
        t["lesions"].select("s", "l", "nodal_fl").join(first, on="l")
        .join(visits.select("s", "v", "adt", "base", "rt_base"), on="s").filter(c("adt") >= c("first_dt"))
        .join(measured.lazy().drop("adt", "trdt", "source_row"), on=["l", "v"], how="left")
        .with_columns(counted=counted, state=pl.coalesce(said, guessed))
        .with_columns(gone=pl.when(is_gone).then(True).when(is_there).then(False))
        .select("s", "l", "v", "adt", "base", "rt_base", "nodal_fl", "counted", "state", "gone", "slice_um", "method")
        .sort("l", "v")
    )  # fmt: skip


def both(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows once per series in which they lie, from its baseline on."""
    series = [
        rows.filter(c("adt") >= c(base)).with_columns(series=name, at_base=c("adt") == c(base))
        for name, base in ((FIRST, "base"), (AFTER, "rt_base"))
    ]
    return pl.concat([one.drop("base", "rt_base") for one in series])


def looks(adtr: pl.LazyFrame) -> pl.LazyFrame:
    """The assessments once per series; at the baseline after radiotherapy each lesion as last seen until then."""
    shown = ["counted", "state", "gone", "slice_um", "method"]
    known = (
        adtr.filter(c("adt") <= c("rt_base"), c("gone").is_not_null())
        .group_by("l", maintain_order=True).agg(pl.last("adt", *shown).name.suffix("_then"))
    )  # fmt: skip
    late = c("at_base") & (c("series") == AFTER) & c("gone").is_null() & c("adt_then").is_not_null()
    then = [pl.when(late).then(c(f"{name}_then")).otherwise(c(name)).alias(name) for name in shown]
    day = pl.when(late).then(c("adt_then")).otherwise(c("adt")).alias("look_dt")
    return both(adtr).join(known, on="l", how="left", maintain_order="left").with_columns(*then, day)


def new_lesions(t: Tables, adtr: pl.LazyFrame, p: Numbers) -> pl.LazyFrame:
    """One row per series, lesion that was not there at its baseline, and visit at which it is seen."""
    lesion = ["series", "l"]
    small = printed(mm(c("counted")))
    doubt = (
        pl.when(c("state") == "equivocal").then(pl.lit("not stated as unequivocal"))
        .when(c("method") == "bone_scan").then(pl.lit("on bone scan alone"))
        .when((c("nodal_fl") == "Y") & (c("counted") < p["min_node_target_um"]) & (c("state") != "unequivocal"))
        .then(pl.format("node of {} mm, below {} mm", small, pl.lit(int(p["min_node_target_um"] / 1000))))
    )  # fmt: skip
    rows = looks(adtr)
    old = rows.filter(c("at_base") & c("gone").ne_missing(True)).select(lesion)
    again = (c("nodal_fl") == "Y") & ~c("last_gone") & (c("state") != "equivocal")
    sure_dt = pl.when(c("doubt").is_null() | again).then(c("adt"))
    sighting = (
        rows.join(old, on=lesion, how="anti")
        .with_columns(
            c("gone").forward_fill().shift().over(lesion).alias("last_gone"),
            c("gone").fill_null(False).cum_sum().over(lesion).alias("n_gone"),
        )
        .filter(~c("at_base"), ~c("gone"))
        .with_columns(doubt=doubt)
    )
    confirmed_dt = sure_dt.backward_fill().over([*lesion, "n_gone"])
    name = pl.format("{} ({})", "lesion_id", c("anatomic_site"))
    return (
        sighting.with_columns(confirmed_dt=confirmed_dt)
        .join(t["lesions"].select("l", "lesion_id", "anatomic_site"), on="l")
        .with_columns(sure=c("doubt").is_null() | c("confirmed_dt").is_not_null())
        .select(
            "series", "s", "l", "v", "adt", "sure",
            reason=pl.when(c("doubt").is_null()).then(pl.format("{} is new", name))
            .when(c("sure")).then(pl.format("{} is new, {}, confirmed on {}", name, "doubt", "confirmed_dt"))
            .otherwise(pl.format("{} may be new: {}", name, "doubt")),
        )
    )  # fmt: skip


def grown(size: pl.Expr, nadir: pl.Expr, p: Numbers) -> pl.Expr:
    more = size - nadir
    return ((more >= p["pd_min_increase_um"]) & (more * 100 >= nadir * p["pd_min_increase_pct"])).fill_null(False)


def lowest_before(size: pl.Expr) -> pl.Expr:
    return size.cum_min().forward_fill().shift()


def progressing(visits: pl.LazyFrame, adtr: pl.LazyFrame, new: pl.LazyFrame, p: Numbers) -> pl.LazyFrame:
    """Lesion and visit at which the lesion itself has grown, has progressed without measure, or is new for certain."""
    since = visits.filter(c("adt") == c("base")).group_by("s").agg(from_visitnum=c("visitnum").min())
    rows = adtr.join(visits.select("v", "visitnum"), on="v").join(since, on="s")
    rows = rows.filter(c("visitnum") >= c("from_visitnum")).sort("l", "v")
    worse = (c("state") == "unequivocal_progression") | (grown(c("counted"), c("nadir"), p) & ~c("gone"))
    at_base = c("adt") == c("base")
    own = (
        rows.with_columns(
            old=(at_base & c("gone").ne_missing(True)).any().over("l"), nadir=lowest_before(c("counted")).over("l")
        )
        .filter("old", ~at_base, worse).select("l", "v")
    )  # fmt: skip
    return pl.concat([own, new.filter(c("sure"), c("series") == FIRST).select("l", "v")]).unique()


def irradiated_lesions(
    t: Tables, courses: pl.LazyFrame, visits: pl.LazyFrame, adtr: pl.LazyFrame, new: pl.LazyFrame, p: Numbers
) -> pl.LazyFrame:
    """One row per irradiated lesion: the first fraction of its first course.

    A target without a lesion's label stands for the lesions at its site that progress when last seen before it.
    """
    rows = (
        t["lesion_links"].join(t["targets"], on=["s", "centre", "target_id"])
        .join(courses, on=["s", "centre", "course_id"]).select("s", "l", "target_id", "link_basis", "rtstdt")
    )  # fmt: skip
    by_site = done(rows.filter(c("link_basis") != "label"))
    few = by_site.select("s").unique()
    visits, adtr, new = (frame.join(few, on="s", how="semi") for frame in (visits, adtr, new))
    last = (
        by_site.select("l", "rtstdt").unique().join(adtr.filter(c("gone").is_not_null()), on="l")
        .filter(c("adt") <= c("rtstdt")).group_by("l", "rtstdt").agg(v=c("v").max())
    )  # fmt: skip
    found = by_site.join(last, on=["l", "rtstdt"]).join(progressing(visits, adtr, new, p), on=["l", "v"], how="semi")
    rows = pl.concat([rows.filter(c("link_basis") == "label"), found.drop("v")])
    return (
        rows.sort("rtstdt", "target_id", nulls_last=True).unique("l", keep="first", maintain_order=True)
        .select("l", rt_dt="rtstdt", is_rt=True)
    )  # fmt: skip


def followed_lesions(
    t: Tables, visits: pl.LazyFrame, adtr: pl.LazyFrame, irradiated: pl.LazyFrame, p: Numbers
) -> pl.LazyFrame:
    """One row per series and lesion of its baseline: whether it is a target (the largest are)."""
    spoilt = (
        adtr.join(irradiated, on="l").filter(c("base") > c("rt_dt"), c("adt") > c("rt_dt"), c("adt") <= c("base"))
        .sort("l", "v").with_columns(nadir=lowest_before(c("counted")).over("l"))
        .filter(c("adt") == c("base"), ~grown(c("counted"), c("nadir"), p)).select("l", spoilt=True).unique()
    )  # fmt: skip
    following = visits.select("v", next_dt=c("adt").shift(-1).over("s"))
    least = (
        pl.when(c("nodal_fl") == "Y").then(p["min_node_target_um"])
        .when(c("method") == "xray").then(p["min_xray_target_um"])
        .when(c("method") == "bone_scan").then(None)
        .when(c("slice_um") > p["max_slice_um"])
        .then(pl.max_horizontal(p["min_target_um"], c("slice_um") * p["thick_slice_factor"]))
        .otherwise(p["min_target_um"])
    )  # fmt: skip
    declared = (c("declared") == 1) & c("measurable_fl").ne_missing("N") & c("spoilt").is_null()
    outside = (c("series") == FIRST) | c("is_rt").is_null() | (c("rt_dt") > c("next_dt"))
    rank = pl.int_range(1, pl.len() + 1)
    return (
        looks(adtr).filter("at_base", c("gone").ne_missing(True))
        .join(irradiated, on="l", how="left").join(following, on="v").filter(outside)
        .join(spoilt, on="l", how="left")
        .join(t["lesions"].select("l", "organ", "lesion_role", "measurable_fl"), on="l")
        .with_columns(declared=(c("lesion_role") == "target").cast(pl.Int8).fill_null(-1))
        .with_columns(can=((c("series") == AFTER) | declared) & (c("counted") >= least).fill_null(False))
        .sort("declared", "counted", "l", descending=[True, True, False], nulls_last=True)
        .with_columns(may=c("can") & (rank.over("s", "series", "can", "organ") <= p["max_targets_per_organ"]))
        .select("series", "l", is_target=c("may") & (rank.over("s", "series", "may") <= p["max_targets"]))
    )  # fmt: skip
