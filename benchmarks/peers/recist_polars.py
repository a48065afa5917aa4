"""RECIST responses in polars, as lazy plans over expressions: one of the peers.

Reads frames of the harmonised tables (sizes in whole micrometres, so that no threshold meets a binary fraction) and
returns the rows of `assessed.timepoint_responses` and `assessed.best_responses`: both series, reasons in words,
confirmed response. The contested points are read as the protocol's defaults say; no lesion splits or merges.
"""

import polars as pl
import recist_polars_lesions as lesions
from recist_polars_lesions import FIRST, Numbers, Tables, both, done, grown, looks
from recist_polars_words import SERIES, VISIT, c, explained


def derive(frames: dict[str, pl.DataFrame], p: Numbers) -> tuple[pl.DataFrame, pl.DataFrame]:
    t = lesions.numbered({name: frame.lazy() for name, frame in frames.items()})
    courses = done(lesions.delivered_courses(t))
    dates = done(lesions.subject_dates(t, courses))
    visits = done(lesions.visits_of(t, dates))
    adtr = done(lesions.assessments(t, visits, p))
    new = done(lesions.new_lesions(t, adtr, p))
    irradiated = done(lesions.irradiated_lesions(t, courses, visits, adtr, new, p))
    roles = lesions.followed_lesions(t, visits, adtr, irradiated, p)
    points = done(timepoints(t, visits, adtr, roles, new, irradiated, p))
    best = best_responses(t, dates, visits, points, p)
    named = points.drop("v").join(t["subjects"], on="s").drop("s")
    found = pl.collect_all([named, best.join(t["subjects"], on="s").drop("s")])
    return found[0], found[1]


def states(
    t: Tables, visits: pl.LazyFrame, adtr: pl.LazyFrame, roles: pl.LazyFrame, new: pl.LazyFrame,
    irradiated: pl.LazyFrame,
) -> tuple[pl.LazyFrame, pl.LazyFrame]:  # fmt: skip
    """One row per series and visit: counts and sum of the targets, counts of the others, new lesions; and, for the
    words, the non-target lesions that are seen."""
    dark = c("rt_dt").is_not_null() & (c("rt_dt") < c("adt"))
    rows = looks(adtr).join(roles, on=["series", "l"]).join(irradiated, on="l", how="left").with_columns(dark=dark)
    is_t, lit = c("is_target"), ~c("dark")
    left = (c("gone") == False).fill_null(False)  # noqa: E712
    node_free = c("nodal_fl") == "N"
    seen = c("counted").is_not_null() | node_free
    known = pl.when(lit).then(c("counted"))
    rows = rows.with_columns(
        known=pl.when(is_t).then(known), t_seen=is_t & left & lit & seen.fill_null(False), t_left=is_t & left,
        m_known=~is_t & lit & c("gone").is_not_null(), m_left=~is_t & lit & left,
    ).with_columns(
        m_worse=c("m_left") & (c("state") == "unequivocal_progression"),
        m_there=c("m_left") & node_free.fill_null(False),
    )  # fmt: skip
    rows = done(
        rows.select(
            *VISIT, "l", "look_dt", "is_target", "known", "t_seen", "t_left", "m_known", "m_left", "m_worse", "m_there"
        )
    )
    found = rows.group_by(VISIT).agg(
        all=pl.len(), n=is_t.sum(), n_known=c("known").count(), measured=c("known").sum(), n_seen=c("t_seen").sum(),
        t_left=c("t_left").any(), m_known=c("m_known").sum(), m_left=c("m_left").any(), worse=c("m_worse").any(),
        there=c("m_there").any(), sum_dt=c("look_dt").filter(is_t).max(),
    )  # fmt: skip
    newly = (
        new.join(irradiated, on="l", how="left").filter((c("rt_dt") < c("adt")).fill_null(False).not_())
        .sort("sure", "l", descending=[True, False]).group_by(VISIT, maintain_order=True)
        .agg(sure=c("sure").any(), new_lesion_reason=c("reason").str.join("; "))
    )  # fmt: skip
    flags, numbers = ["t_left", "m_left", "worse", "there"], ["all", "n", "n_known", "n_seen", "m_known"]
    status = pl.when(c("sure")).then(pl.lit("UNEQUIVOCAL")).when(~c("sure")).then(pl.lit("EQUIVOCAL"))
    joined = (
        both(visits.drop("visitnum")).join(visits.select("v", "visitnum"), on="v")
        .join(found, on=VISIT, how="left").join(newly, on=VISIT, how="left")
        .with_columns(c(numbers).fill_null(0), c(flags).fill_null(False), new_lesion=status.fill_null(pl.lit("NO")))
        .with_columns(
            m=c("all") - c("n"), measured=pl.when(c("n_known") > 0).then(c("measured")),
            total=pl.when((c("n_known") == c("n")) & (c("n") > 0)).then(c("measured")),
        )
        .with_columns(
            t_gone=c("total").is_not_null() & ~c("t_left"),
            m_gone=(c("m_known") == c("m")) & ~c("m_left") & (c("m") > 0),
        )
        .sort("series", "v")
    )  # fmt: skip
    words = rows.filter("m_left", c("m_worse") | c("m_there")).select(*VISIT, "l", "m_worse", "m_there")
    return joined, words.join(t["lesions"].select("l", "lesion_id"), on="l").sort("l")


def timepoints(
    t: Tables, visits: pl.LazyFrame, adtr: pl.LazyFrame, roles: pl.LazyFrame, new: pl.LazyFrame,
    irradiated: pl.LazyFrame, p: Numbers,
) -> pl.LazyFrame:  # fmt: skip
    """One row per series and visit after its baseline: every response with its reason."""
    s, words = states(t, visits, adtr, roles, new, irradiated)
    is_cr = (
        (c("all") > 0) & ((c("n") == 0) | c("t_gone")) & ((c("m") == 0) | c("m_gone"))
        & (c("new_lesion") != "UNEQUIVOCAL")
    )  # fmt: skip
    before = c("lowest").forward_fill().shift().over(SERIES)
    s = (
        s.with_columns(lowest=c("total").cum_min().over(SERIES), is_cr=is_cr)
        .with_columns(
            nadir=before, base=c("total").first().over(SERIES),
            # the day of the lowest sum: the first of its value
            lowest_dt=pl.when((c("total") < before).fill_null(c("total").is_not_null())).then(c("sum_dt")),
            had_cr=is_cr.cum_max().shift().over(SERIES),
        )
        .with_columns(nadir_dt=c("lowest_dt").forward_fill().shift().over(SERIES))
        .filter(c("had_cr").is_not_null())
        .with_columns(grown=grown(c("measured"), c("nadir"), p), incomplete=c("n_known") < c("n"))
    )  # fmt: skip
    target = (
        pl.when(c("n") == 0).then(pl.lit("NA")).when(c("t_gone")).then(pl.lit("CR"))
        .when(c("grown") | (c("had_cr") & (c("n_seen") > 0))).then(pl.lit("PD"))
        .when(c("incomplete")).then(pl.lit("NE"))
        .when(c("total") * 100 <= c("base") * p["pr_max_pct"]).then(pl.lit("PR")).otherwise(pl.lit("SD"))
    )  # fmt: skip
    nontarget = (
        pl.when(c("m") == 0).then(pl.lit("NA")).when(c("worse") | (c("had_cr") & c("there"))).then(pl.lit("PD"))
        .when(c("m_gone")).then(pl.lit("CR")).when(c("m_known") < c("m")).then(pl.lit("NE"))
        .otherwise(pl.lit("NON-CR/NON-PD"))
    )  # fmt: skip
    s = done(s.with_columns(target=target, nontarget=nontarget))
    s = s.join(continuing(s, p), on=SERIES, how="left").with_columns(
        stays=((c("target") == "SD") & (c("adt") > c("from_dt"))).fill_null(False)
        & (c("adt") < c("until_dt")).fill_null(True)
    )
    s = s.with_columns(target=pl.when("stays").then(pl.lit("PR")).otherwise("target"))
    table = t["timepoint_response"].with_columns(
        overall_reason=pl.format(
            "target {}, non-target {}, new lesion {}: {}",
            "target", "nontarget", c("new_lesion").str.to_lowercase(), "overall",
        )
    )  # fmt: skip
    s = s.join(table, on=["target", "nontarget", "new_lesion"])
    return explained(s, words, p)


def continuing(s: pl.LazyFrame, p: Numbers) -> pl.LazyFrame:
    """One row per subject and series with stable disease by arithmetic after a partial response: the day from which a
    confirmed response goes on, and that of progression."""
    is_sd, responds = c("target") == "SD", c("target").is_in(["CR", "PR"])
    who = s.group_by(SERIES).agg(
        late=c("adt").filter(is_sd).max(), early=c("adt").filter(c("target") == "PR").min(), n=responds.sum()
    )
    few = s.join(who.filter(c("late") > c("early"), c("n") > 1), on=SERIES, how="semi").sort("v")
    counts = few.with_columns(
        n_other=(~c("target").is_in(["CR", "PR", "NE"])).cum_sum().over(SERIES),
        n_ne=(c("target") == "NE").cum_sum().over(SERIES),
    )
    run = [*SERIES, "n_other"]
    first = counts.filter(responds).group_by(*run, "n_ne").agg(since=c("adt").min())
    # with at most one missing assessment between: the run's own start, or that before the gap
    gap_before = first.with_columns(n_ne=c("n_ne") + 1).rename({"since": "since_gap"})
    both_starts = counts.join(first, on=[*run, "n_ne"], how="left").join(gap_before, on=[*run, "n_ne"], how="left")
    held = (c("adt") - pl.min_horizontal("since", "since_gap")).dt.total_days() >= p["confirmation_days"]
    return both_starts.group_by(SERIES).agg(
        from_dt=c("adt").filter(responds & held).min(), until_dt=c("adt").filter(c("target") == "PD").min()
    )


def best_responses(
    t: Tables, dates: pl.LazyFrame, visits: pl.LazyFrame, points: pl.LazyFrame, p: Numbers
) -> pl.LazyFrame:
    """One row per subject with a baseline: the best response, and the best that was confirmed."""
    value = c("value")
    pd_dt = c("adt").filter(value == "PD").min().over("s")
    firm = value.is_in(["CR", "PR"])
    rows = (
        points.filter(c("series") == FIRST).select("s", "v", "adt", value="overall_response")
        .join(dates.select("s", "trtsdt", "next_therapy_dt"), on="s").sort("v")
        .filter((c("adt") <= pd_dt).fill_null(True) & (c("adt") < c("next_therapy_dt")).fill_null(True))
        .with_columns(days=(c("adt") - c("trtsdt")).dt.total_days(), known=pl.when(value != "NE").then(value))
        .with_columns(
            late=(c("days") >= p["min_sd_days"]).fill_null(False), next=c("known").backward_fill().shift(-1).over("s"),
            n_ne=(value == "NE").cum_sum().over("s"), n_worse=(~value.is_in(["NE", "CR", "PR"])).cum_sum().over("s"),
            n_not_cr=(~value.is_in(["NE", "CR"])).cum_sum().over("s"),
        )
    )  # fmt: skip
    rows = done(rows)
    responses = rows.filter(firm).select("s", "v", "adt", "value", "n_ne", "n_worse", "n_not_cr")
    confirmed = (
        responses.join(responses, on="s", suffix="_b")
        .filter((c("adt_b") - c("adt")).dt.total_days() >= p["confirmation_days"])
        .filter(c("n_ne_b").cast(pl.Int32) - c("n_ne").cast(pl.Int32) <= 1)
        .group_by("v").agg(
            is_cr=((value == "CR") & (c("value_b") == "CR") & (c("n_not_cr_b") == c("n_not_cr"))).any(),
            is_pr=(c("n_worse_b") == c("n_worse")).any(),
        )
    )  # fmt: skip
    stable = value.is_in(["SD", "NON-CR/NON-PD"]) & c("late")
    plain = pl.when(firm | (value == "PD") | stable).then(value).otherwise(pl.lit("NE"))
    sure = (
        pl.when((value == "CR") & c("is_cr")).then(pl.lit("CR"))
        .when(firm & c("is_pr") & ~c("is_cr").fill_null(False)).then(pl.lit("PR"))
        .when((value == "PR") & (c("next") == "SD")).then(pl.lit("SD"))
        .when(firm).then(pl.when("late").then(pl.lit("SD")).otherwise(pl.lit("NE"))).otherwise(plain)
    )  # fmt: skip
    rows = rows.join(confirmed, on="v", how="left").with_columns(bor=plain, cbor=sure)
    found = []
    for kind in ("bor", "cbor"):
        ranked = rows.join(t["response"], left_on=kind, right_on="code")
        best = ranked.sort(c("worst_order").fill_null(100), "adt", kind).unique("s", keep="first", maintain_order=True)
        found.append(
            best.select(
                "s",
                kind,
                c("adt").alias(f"{kind}_dt"),
                c("days").alias(f"{kind}_days"),
                c("value").alias(f"{kind}_value"),
            )
        )
    first = pl.format("first {} on {}, {} days after start", "bor", "bor_dt", "bor_days")
    later = pl.format("first {} on {}, {} days after start", "cbor", "cbor_dt", "cbor_days")
    open_one = pl.format(
        "{} on {}, {} days after start, is not confirmed and counts as {}", "cbor_value", "cbor_dt", "cbor_days", "cbor"
    )
    weeks, days = int(p["min_sd_days"]), int(p["confirmation_days"])
    named = pl.when(c("cbor") == c("cbor_value")).then(pl.format("first {} on {}", "cbor", "cbor_dt"))
    named = named.otherwise(pl.format("{} on {} counts as {}", "cbor_value", "cbor_dt", "cbor"))
    sure_one = pl.format("{}, confirmed after at least {} days", named, pl.lit(days))
    none = pl.lit("no assessment counts")
    return (
        visits.filter(c("adt") == c("base")).select("s").unique()
        .join(found[0], on="s", how="left").join(found[1], on="s", how="left")
        .select(
            "s", c("bor").fill_null("NE"), "bor_dt",
            pl.when(c("bor").is_null()).then(none).when(c("bor") == "NE")
            .then(pl.lit(f"no response, progression or stable disease of at least {weeks} days")).otherwise(first)
            .alias("bor_reason"),
            c("cbor").fill_null("NE"), "cbor_dt",
            pl.when(c("cbor").is_null()).then(none).when(c("cbor").is_in(["CR", "PR"]))
            .then(sure_one)
            .when(c("cbor") == "NE").then(pl.lit(f"nothing confirmed, no stable disease of at least {weeks} days"))
            .when(c("cbor_value").is_in(["CR", "PR"])).then(open_one).otherwise(later).alias("cbor_reason"),
        )
    )  # fmt: skip
