"""The words' half of `recist_polars`: numbers as C prints them, and the reasons of the responses."""

import polars as pl

c = pl.col
Numbers = dict[str, float]
VISIT, SERIES = ["series", "v"], ["s", "series"]


def mm(um: pl.Expr) -> pl.Expr:
    """Millimetres as the nearest binary number; by a plain number polars would multiply with its reciprocal."""
    return um / pl.when(um.is_not_null()).then(1000.0)


def printed(x: pl.Expr) -> pl.Expr:
    """A positive number with one decimal, rounded as C prints it: by the exact value of the binary number.

    Ten times a number is eight times and twice it, both exact; what their sum loses says on which side of a tie it is.
    """
    times_ten, lost = x * 10, x * 2 - (x * 10 - x * 8)
    floor = times_ten.floor()
    part = times_ten - floor
    up = (part > 0.5) | ((part == 0.5) & ((lost > 0) | ((lost == 0) & (floor % 2 == 1))))
    # nothing is said where the number is none (divided by 0)
    tenths = floor.cast(pl.Int64, strict=False) + up.cast(pl.Int64)
    return pl.format("{}.{}", tenths // 10, tenths % 10)


def size(um: pl.Expr, in_tenths: pl.Expr) -> pl.Expr:
    """Micrometres as millimetres, with one decimal or all three."""
    whole = um.cast(pl.Int64)
    tenths = pl.format("{}.{}", whole // 1000, whole % 1000 // 100)
    return pl.when(in_tenths).then(tenths).otherwise(
        pl.format("{}.{}", whole // 1000, (whole % 1000).cast(pl.String).str.zfill(3))
    )  # fmt: skip


def explained(s: pl.LazyFrame, words: pl.LazyFrame, p: Numbers) -> pl.LazyFrame:
    """The responses with their reasons in words, as `assessed.timepoint_responses` has them."""
    worse = words.filter("m_worse").group_by(VISIT, maintain_order=True).agg(progressed=c("lesion_id").str.join(", "))
    back = s.filter("had_cr", "there", ~c("worse")).select(VISIT)
    there = words.filter("m_there").join(back, on=VISIT, how="semi")
    there = there.group_by(VISIT, maintain_order=True).agg(seen=c("lesion_id").str.join(", "))
    s = s.join(worse, on=VISIT, how="left").join(there, on=VISIT, how="left")
    t_back = c("had_cr") & ~c("grown") & (c("n_seen") > 0)
    m_back = c("had_cr") & ~c("worse") & c("there")
    more = c("measured") - c("nadir")
    sign = pl.when(more < 0).then(pl.lit("-")).otherwise(pl.lit("+"))
    share = printed((mm(more * 100) / mm(c("nadir"))).abs())
    bound = p["pd_min_increase_pct"]
    below = (more > 0) & (more * 100 < c("nadir") * bound) & (share == f"{bound:.1f}")
    share = (
        pl.when(c("nadir") > 0)
        .then(pl.when(below).then(pl.lit(f", just below {bound:.0f} %")).otherwise(pl.format(", {}{} %", sign, share)))
    )  # fmt: skip
    prefix = (
        pl.when((c("target") == "PD") & t_back).then(pl.lit("a target lesion is back after complete response; "))
        .when("incomplete").then(pl.format("{} of {} target lesions assessed; ", "n_known", "n"))
        .when(c("stays") & (c("target") == "PR"))
        .then(pl.format("continuing partial response, confirmed on {}; ", "from_dt")).otherwise(pl.lit(""))
    )  # fmt: skip
    in_tenths = pl.all_horizontal(c(name) % 100 == 0 for name in ("measured", "nadir", "base"))
    sums = pl.format(
        "{}sum {}, nadir {} on {}: {}{} mm{}; baseline {}", prefix, size(c("measured"), in_tenths),
        size(c("nadir"), in_tenths), "nadir_dt", sign, size(more.abs(), in_tenths), share.fill_null(pl.lit("")),
        size(c("base"), in_tenths),
    )  # fmt: skip
    return s.select(
        *SERIES, "v", "visitnum", "adt", target_response="target", nontarget_response="nontarget",
        new_lesion="new_lesion", overall_response="overall",
        target_reason=pl.when(c("n") == 0).then(pl.lit("no target lesions at baseline"))
        .when(c("target") == "CR").then(pl.lit("all target lesions are absent, nodes of normal size"))
        .when((c("n_known") == 0) & (c("target") == "NE")).then(pl.lit("no target lesion was assessed"))
        .otherwise(sums.fill_null(prefix + "a size is missing, so that there is no sum to compare")),
        nontarget_reason=pl.when(c("m") == 0).then(pl.lit("no non-target lesions"))
        .when("worse").then(pl.format("unequivocal progression of {}", "progressed"))
        .when(c("nontarget") == "PD").then(pl.format("back after complete response: {}", "seen"))
        .when(c("nontarget") == "CR").then(pl.lit("all non-target lesions are absent, nodes of normal size"))
        .when(c("nontarget") == "NE").then(pl.format("{} of {} non-target lesions assessed", "m_known", "m"))
        .otherwise(pl.lit("present without unequivocal progression")),
        new_lesion_reason=c("new_lesion_reason").fill_null(pl.lit("no new lesion")),
        overall_reason="overall_reason",
        contested=pl.when(c("stays") | (c("grown") & c("incomplete")) | t_back | m_back).then(
            pl.concat_str(
                pl.when("stays").then(pl.lit("sd_after_pr")),
                pl.when(c("grown") & c("incomplete")).then(pl.lit("pd_with_missing_target")),
                pl.when(t_back | m_back).then(pl.lit("disease_after_cr")), separator=", ", ignore_nulls=True,
            )
        ),
    )  # fmt: skip
