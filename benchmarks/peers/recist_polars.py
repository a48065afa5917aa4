"""RECIST responses of the first line in polars, as one lazy plan over expressions: the other peer.

Same input and output as `recist_pandas`: frames of the harmonised tables (sizes in whole micrometres), the anchor dates
and the irradiated lesions are given; returns how often each value of TRGRESP, OVRLRESP and BOR occurs.
"""

import polars as pl

SUBJECT, LESION, VISIT = "usubjid", ["usubjid", "lesion_id"], ["usubjid", "visitnum"]
ORDER = ["adt", "visitnum"]
Numbers = dict[str, float]
Frames = dict[str, pl.DataFrame]
c = pl.col


def counts(frames: Frames, p: Numbers) -> dict[str, int]:
    t = {name: frame.lazy() for name, frame in frames.items()}
    visits = series_visits(t).collect().lazy()
    adtr = assessments(t, visits, p).collect().lazy()
    roles = followed_lesions(visits, adtr, p).collect().lazy()
    points = timepoints(t, visits, adtr, roles, p).collect().lazy()
    tables = [
        points.select(pl.format("TRGRESP {}", "target").alias("key")),
        points.select(pl.format("OVRLRESP {}", "overall").alias("key")),
        best_responses(t, visits, points, p).select(pl.format("BOR {}", "code").alias("key")),
    ]
    return dict(pl.concat(tables).group_by("key").len().collect().iter_rows())


def series_visits(t: dict[str, pl.LazyFrame]) -> pl.LazyFrame:
    """One row per assessment: its date, whether it is the baseline, whether it belongs to the first line."""
    visits = t["measurements"].drop_nulls(["visitnum", "trdt"]).group_by(VISIT).agg(adt=c("trdt").min())
    before = c("adt").filter(c("adt") <= c("trtsdt")).max().over(SUBJECT)
    return (
        visits.join(t["subject_dates"], on=SUBJECT)
        .with_columns(baseline_dt=before.fill_null(c("adt").min().over(SUBJECT)))
        .with_columns(is_baseline=c("adt") == c("baseline_dt"), in_series=c("adt") >= c("baseline_dt"))
    )


def assessments(t: dict[str, pl.LazyFrame], visits: pl.LazyFrame, p: Numbers) -> pl.LazyFrame:
    """One row per lesion and assessment since the lesion was first seen."""
    measured = (
        t["measurements"].drop_nulls(["visitnum", "trdt"])
        .sort(["trdt", "source_row", "size_um"], descending=[True, False, True], nulls_last=True)
        .unique([*LESION, "visitnum"], keep="first", maintain_order=True)
    )  # fmt: skip
    first = measured.join(visits, on=VISIT).group_by(LESION).agg(first_dt=c("adt").min())
    said, size = c("lesion_state"), c("size_um")
    guessed = (
        pl.when(size > 0)
        .then(pl.lit("present"))
        .when(size == 0)
        .then(pl.lit("absent"))
        .otherwise(pl.lit("not_assessed"))
    )
    counted = (
        pl.when(size > 0).then(size)
        .when((size == 0) | (said == "absent")).then(0.0)
        .when(said == "too_small").then(p["too_small_um"])
    )  # fmt: skip
    is_gone = (c("counted") == 0) | ((c("nodal_fl") == "Y") & (c("counted") < p["normal_node_um"]))
    is_there = c("counted").is_not_null() | (c("state") != "not_assessed")
    return (
        first.join(t["lesions"], on=LESION)
        .join(visits.select([*VISIT, "adt", "baseline_dt", "is_baseline", "in_series"]), on=SUBJECT)
        .filter(c("adt") >= c("first_dt"))
        .join(measured.select([*LESION, "visitnum", "size_um", "lesion_state", "slice_um", "method"]),
              on=[*LESION, "visitnum"], how="left")
        .with_columns(counted=counted, state=said.fill_null(guessed))
        .with_columns(gone=pl.when(is_gone).then(True).when(is_there).then(False))
        .join(t["irradiated"], on=LESION, how="left")
        .with_columns(is_irradiated=(c("first_fraction_dt") < c("adt")).fill_null(False))
        .sort([*LESION, *ORDER])
    )  # fmt: skip


def grown(size: pl.Expr, nadir: pl.Expr, p: Numbers) -> pl.Expr:
    more = size - nadir
    return ((more >= p["pd_min_increase_um"]) & (more * 100 >= nadir * p["pd_min_increase_pct"])).fill_null(False)


def lowest_before(size: pl.Expr) -> pl.Expr:
    return size.cum_min().forward_fill().shift()


def followed_lesions(visits: pl.LazyFrame, adtr: pl.LazyFrame, p: Numbers) -> pl.LazyFrame:
    """The lesions of the baseline with their role: targets are at most five, two an organ, the largest."""
    spoilt = (
        adtr.filter(
            c("is_irradiated") & (c("first_fraction_dt") < c("baseline_dt")) & (c("adt") <= c("baseline_dt"))
        )
        .with_columns(nadir=lowest_before(c("counted")).over(LESION))
        .filter(c("is_baseline") & ~grown(c("counted"), c("nadir"), p))
        .select(LESION).unique().with_columns(spoilt=True)
    )  # fmt: skip
    least = (
        pl.when(c("nodal_fl") == "Y").then(p["min_node_target_um"])
        .when(c("method") == "xray").then(p["min_xray_target_um"])
        .when(c("method") == "bone_scan").then(None)
        .when(c("slice_um") > p["max_slice_um"])
        .then(pl.max_horizontal(pl.lit(p["min_target_um"]), c("slice_um") * p["thick_slice_factor"]))
        .otherwise(p["min_target_um"])
    )  # fmt: skip
    can = c("declared") & c("measurable_fl").ne_missing("N") & c("spoilt").is_null() & (c("counted") >= least)
    rank = pl.int_range(1, pl.len() + 1)
    return (
        adtr.filter(c("is_baseline") & c("gone").ne_missing(True))
        .join(spoilt, on=LESION, how="left")
        .with_columns(declared=(c("lesion_role") == "target").fill_null(False))
        .with_columns(can=can.fill_null(False))
        .sort(["declared", "counted", "lesion_id"], descending=[True, True, False], nulls_last=True)
        .with_columns(organ_rank=rank.over([SUBJECT, "can", "organ"]))
        .with_columns(may=c("can") & (c("organ_rank") <= p["max_targets_per_organ"]))
        .with_columns(rank=rank.over([SUBJECT, "may"]))
        .select(*LESION, is_target=c("may") & (c("rank") <= p["max_targets"]))
    )


def new_lesions(adtr: pl.LazyFrame, roles: pl.LazyFrame, p: Numbers) -> pl.LazyFrame:
    """One row per assessment at which a lesion is new: certain, or doubtful and not confirmed."""
    small_node = (c("nodal_fl") == "Y") & (c("counted") < p["min_node_target_um"])
    doubt = (c("state") == "equivocal") | (c("method") == "bone_scan").fill_null(False) | small_node.fill_null(False)
    by_node = (c("nodal_fl") == "Y") & ((c("next_gone") == False) | (c("last_gone") == False))  # noqa: E712
    certain = (~c("doubt")).cast(pl.Int32)
    later = certain.cum_sum(reverse=True).over([*LESION, "n_gone"]) - certain > 0
    sure = ~c("doubt") | by_node.fill_null(False) | later
    return (
        adtr.filter(c("in_series")).join(roles, on=LESION, how="anti")
        .with_columns(
            doubt=doubt,
            next_gone=c("gone").backward_fill().shift(-1).over(LESION),
            last_gone=c("gone").forward_fill().shift().over(LESION),
            n_gone=c("gone").fill_null(False).cast(pl.Int32).cum_sum().over(LESION),
        )
        .filter(~c("is_baseline") & (c("gone") == False))  # noqa: E712
        .with_columns(sure=sure)
        .filter(~c("is_irradiated"))
        .group_by(VISIT)
        .agg(new=pl.when(c("sure").any()).then(pl.lit("UNEQUIVOCAL")).otherwise(pl.lit("EQUIVOCAL")))
    )  # fmt: skip


def timepoints(
    t: dict[str, pl.LazyFrame], visits: pl.LazyFrame, adtr: pl.LazyFrame, roles: pl.LazyFrame, p: Numbers
) -> pl.LazyFrame:
    """One row per assessment after the baseline: target, non-target and overall response."""
    rows = adtr.join(roles, on=LESION)
    dark, left = c("is_irradiated"), c("gone") == False  # noqa: E712
    known = pl.when(~dark).then(c("counted"))
    target = rows.filter(c("is_target")).group_by(VISIT).agg(
        n=pl.len(), n_known=known.count(), measured=pl.when(known.count() > 0).then(known.sum()),
        n_seen=(left & ~dark & (c("counted").is_not_null() | (c("nodal_fl") == "N"))).sum(), is_left=left.any(),
    )  # fmt: skip
    stays = left & ~dark
    other = rows.filter(~c("is_target")).group_by(VISIT).agg(
        m=pl.len(), m_known=pl.when(~dark).then(c("gone")).count(), m_left=stays.any(),
        worse=(stays & (c("state") == "unequivocal_progression")).any(), there=(stays & (c("nodal_fl") == "N")).any(),
    )  # fmt: skip
    numbers, flags = ["n", "n_known", "n_seen", "m", "m_known"], ["is_left", "m_left", "worse", "there"]
    s = (
        visits.filter(c("in_series"))
        .join(target, on=VISIT, how="left").join(other, on=VISIT, how="left")
        .join(new_lesions(adtr, roles, p), on=VISIT, how="left")
        .with_columns(c(numbers).fill_null(0), c(flags).fill_null(False), c("new").fill_null("NO"))
        .with_columns(total=pl.when(c("n_known") == c("n")).then(c("measured")))
        .with_columns(all_gone=c("total").is_not_null() & ~c("is_left"), m_gone=(c("m_known") == c("m")) & ~c("m_left"))
        .sort([SUBJECT, *ORDER])
    )  # fmt: skip
    is_cr = (
        (c("n") + c("m") > 0)
        & ((c("n") == 0) | c("all_gone"))
        & ((c("m") == 0) | c("m_gone"))
        & (c("new") != "UNEQUIVOCAL")
    )
    s = s.with_columns(
        had_cr=is_cr.cum_max().shift().fill_null(False).over(SUBJECT),
        nadir=lowest_before(c("total")).over(SUBJECT), base=c("total").first().over(SUBJECT),
        visit_rank=pl.int_range(pl.len()).over(SUBJECT),
    )  # fmt: skip
    by_arithmetic = (
        pl.when(c("n") == 0).then(pl.lit("NA")).when(c("all_gone")).then(pl.lit("CR"))
        .when(grown(c("measured"), c("nadir"), p) | (c("had_cr") & (c("n_seen") > 0))).then(pl.lit("PD"))
        .when(c("n_known") < c("n")).then(pl.lit("NE"))
        .when(c("total") * 100 <= c("base") * p["pr_max_pct"]).then(pl.lit("PR")).otherwise(pl.lit("SD"))
    )  # fmt: skip
    nontarget = (
        pl.when(c("m") == 0).then(pl.lit("NA")).when(c("worse") | (c("had_cr") & c("there"))).then(pl.lit("PD"))
        .when(c("m_gone")).then(pl.lit("CR")).when(c("m_known") < c("m")).then(pl.lit("NE"))
        .otherwise(pl.lit("NON-CR/NON-PD"))
    )  # fmt: skip
    s = s.with_columns(target=by_arithmetic, nontarget=nontarget).filter(c("visit_rank") > 0)
    return continuing(s, p).join(t["timepoint_response"], on=["target", "nontarget", "new"])


def continuing(s: pl.LazyFrame, p: Numbers) -> pl.LazyFrame:
    """Stable by arithmetic after a confirmed partial response stays a partial response, until progression."""
    responds = c("target").is_in(["CR", "PR"])
    s = s.with_columns(
        n_other=(~c("target").is_in(["CR", "PR", "NE"])).cast(pl.Int32).cum_sum().over(SUBJECT),
        n_ne=(c("target") == "NE").cast(pl.Int32).cum_sum().over(SUBJECT),
    )
    run = [SUBJECT, "n_other"]
    first = s.filter(responds).group_by([*run, "n_ne"]).agg(since=c("adt").min())
    # with at most one missing assessment between: the run's own start, or that before the gap
    gap_before = first.with_columns(n_ne=c("n_ne") + 1).rename({"since": "since_gap"})
    s = s.join(first, on=[*run, "n_ne"], how="left").join(gap_before, on=[*run, "n_ne"], how="left")
    held = (c("adt") - pl.min_horizontal("since", "since_gap")).dt.total_days() >= p["confirmation_days"]
    s = s.with_columns(
        from_dt=c("adt").filter(responds & held).min().over(SUBJECT),
        until_dt=c("adt").filter(c("target") == "PD").min().over(SUBJECT),
    )
    stays = (c("target") == "SD") & (c("adt") > c("from_dt")) & (c("until_dt").is_null() | (c("adt") < c("until_dt")))
    return s.with_columns(target=pl.when(stays).then(pl.lit("PR")).otherwise(c("target")))


def best_responses(t: dict[str, pl.LazyFrame], visits: pl.LazyFrame, points: pl.LazyFrame, p: Numbers) -> pl.LazyFrame:
    """The best response of each subject up to the first progression and before any next therapy."""
    pd_dt = c("adt").filter(c("overall") == "PD").min().over(SUBJECT)
    late = (c("adt") - c("trtsdt")).dt.total_days() >= p["min_sd_days"]
    holds = c("overall").is_in(["CR", "PR", "PD"]) | (c("overall").is_in(["SD", "NON-CR/NON-PD"]) & late)
    best = (
        points.with_columns(pd_dt=pd_dt)
        .filter((c("adt") <= c("pd_dt")).fill_null(True) & (c("adt") < c("next_therapy_dt")).fill_null(True))
        .with_columns(code=pl.when(holds).then(c("overall")).otherwise(pl.lit("NE")))
        .join(t["response"], on="code", how="left").with_columns(c("worst_order").fill_null(100))
        .sort(["worst_order", "adt", "code"]).group_by(SUBJECT, maintain_order=True).first()
    )  # fmt: skip
    has_baseline = visits.filter(c("is_baseline")).select(SUBJECT).unique()
    return has_baseline.join(best.select([SUBJECT, "code"]), on=SUBJECT, how="left").with_columns(
        c("code").fill_null("NE")
    )
