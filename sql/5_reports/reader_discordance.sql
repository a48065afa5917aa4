-- one row per: independent reader and response (PD: first progression)
-- unit: %; day
-- why: whether who reads the images changes the result; progressions also by who sees them first
-- source: Cohen's kappa, unweighted; Amit et al., Eur J Cancer 2011;47:1772 (early and late discrepancy rates)
with pair as (
    select
        *, paramcd = 'PD' and agree_fl = 'N' and days_later < 0 as is_earlier,
        paramcd = 'PD' and agree_fl = 'N' and days_later > 0 as is_later
    from derived.reader_pairs
),
chance as (
    -- pairs that would agree by chance, times n
    select eval, evalid, paramcd, sum(n_own * n_reader) as n_chance
    from (
        select eval, evalid, paramcd, code, count(*) filter (is_own) as n_own, count(*) filter (not is_own) as n_reader
        from (
            select eval, evalid, paramcd, avalc as code, true as is_own from pair where agree_fl is not null
            union all
            select eval, evalid, paramcd, reader_avalc, false from pair where agree_fl is not null
        )
        group by eval, evalid, paramcd, code
    )
    where paramcd <> 'PD'
    group by eval, evalid, paramcd
),
counted as (
    select
        eval, evalid, paramcd, count(agree_fl) as n, count(*) filter (agree_fl = 'Y') as n_agree, count(*) filter (agree_fl = 'N') as n_disagree,
        count(*) filter (avalc is not null and reader_avalc is null) as n_centre_only,
        count(*) filter (avalc is null and reader_avalc is not null) as n_reader_only,
        count(*) filter (is_earlier) as n_earlier, count(*) filter (is_later) as n_later,
        count(days_later) as n_both, median(days_later) as median_days_later
    from pair group by eval, evalid, paramcd
)
select
    eval, evalid, paramcd, n, n_agree, n_disagree, 100.0 * n_agree / nullif(n, 0) as pct_agree,
    (n * n_agree - n_chance)::double / nullif(n * n - n_chance, 0) as kappa,
    n_centre_only, n_reader_only,
    case when paramcd = 'PD' then n_earlier end as n_reader_earlier, case when paramcd = 'PD' then n_later end as n_reader_later,
    median_days_later,
    case when paramcd = 'PD' then 100.0 * (n_centre_only + n_later) / nullif(n_both + n_centre_only, 0) end as early_discrepancy_pct,
    case when paramcd = 'PD'
        then 100.0 * (n_reader_only + n_earlier) / nullif(n_centre_only + n_reader_only + n_earlier + n_later, 0) end as late_discrepancy_pct
from counted
left join chance using (eval, evalid, paramcd)
