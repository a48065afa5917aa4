-- one row per: linked subject, lesion of the baseline and assessment at which that lesion itself has progressed
-- unit: mm
-- why: oligo-progression counts lesions; a sum of diameters says that there is progression, not where
-- source: RECIST 1.1, 4.3.1 applied to the single lesion, and 4.3.2 (a whole is compared with what has become it); PROTOCOL, Oligo-progression
with candidate as (
    -- no nadir is below the smallest size, so that most lesions need not be followed from visit to visit
    select usubjid, lesion_id from assessed.adtr
    group by usubjid, lesion_id
    having bool_or(lesion_state = 'unequivocal_progression')
        or max(counted_mm) - min(counted_mm) >= (select pd_min_increase_mm from study.protocol)
),
baseline as (
    select usubjid, visitnum, baseline_fl, min(visitnum) filter (baseline_fl = 'Y') over (partition by usubjid) as from_visitnum
    from assessed.visits
),
absorbed as (
    -- merged: its size counts for another lesion
    select distinct a.usubjid, a.visitnum, c.lesion_id, a.lesion_id as absorbed_id, a.adt
    from assessed.adtr a
    join assessed.lesion_parts m on m.usubjid = a.usubjid and m.lesion_id = a.lesion_id and m.kind = 'whole' and m.carries_fl = 'N'
    join assessed.lesion_parts c on c.usubjid = m.usubjid and c.part_id = m.part_id and c.carries_fl = 'Y'
    where a.lesion_state = 'merged'
),
absorbed_nadir as (
    select m.usubjid, m.visitnum, m.lesion_id, m.absorbed_id, min(a.counted_mm) as nadir_mm
    from absorbed m
    join assessed.visits v on v.usubjid = m.usubjid and v.baseline_fl = 'Y'
    left join assessed.adtr a
        on a.usubjid = m.usubjid and a.lesion_id = m.absorbed_id and a.visitnum >= v.visitnum and a.adt < m.adt and a.lesion_state <> 'merged'
    group by m.usubjid, m.visitnum, m.lesion_id, m.absorbed_id
),
together as (
    -- what was never measured leaves the whole without a measure to compare it with
    select usubjid, visitnum, lesion_id, case when count(nadir_mm) = count(*) then sum(nadir_mm) end as others_mm
    from absorbed_nadir group by usubjid, visitnum, lesion_id
),
whole as (
    select
        t.*, min(a.counted_mm) over earlier as whole_mm, arg_min(a.adt, a.counted_mm) over earlier as whole_dt
    from together t
    join assessed.adtr a using (usubjid, visitnum, lesion_id)
    window earlier as (partition by t.usubjid, t.lesion_id order by a.adt, t.visitnum rows between unbounded preceding and 1 preceding)
),
followed as (
    -- from the baseline on: what a lesion did before the drug is not the drug's
    select
        a.*, v.baseline_fl, w.visitnum is not null as is_whole, w.others_mm, w.whole_mm, w.whole_dt,
        case when w.visitnum is null and a.lesion_state <> 'merged' then a.counted_mm end as own_mm,
        max(v.baseline_fl = 'Y' and a.gone_fl is distinct from 'Y') over (partition by a.usubjid, a.lesion_id) as at_baseline,
        min(own_mm) over earlier as alone_mm,
        arg_min(a.adt, own_mm) over earlier as alone_dt
    from assessed.adtr a
    semi join candidate using (usubjid, lesion_id)
    join baseline v using (usubjid, visitnum)
    left join whole w on w.usubjid = a.usubjid and w.visitnum = a.visitnum and w.lesion_id = a.lesion_id
    where a.visitnum >= v.from_visitnum
    window earlier as (
        partition by a.usubjid, a.lesion_id order by a.adt, a.visitnum rows between unbounded preceding and 1 preceding
    )
),
compared as (
    select
        *, is_whole and coalesce(whole_mm <= alone_mm + others_mm, whole_mm is not null) as is_below,
        case when is_below then whole_mm when is_whole then alone_mm + others_mm else alone_mm end as nadir_mm,
        case when is_below then whole_dt else alone_dt end as nadir_dt,
        -- as many as it takes to check the arithmetic
        case when counted_mm = counted_mm::decimal(18, 1) and nadir_mm = nadir_mm::decimal(18, 1) then 1 else 3 end as digits
    from followed
    where at_baseline and baseline_fl = 'N'
)
select
    f.usubjid, f.lesion_id, f.visitnum, f.adt,
    case
        when f.lesion_state = 'unequivocal_progression' then 'unequivocal progression of a lesion without measurement'
        else printf(
            '%.*f mm, nadir %.*f mm on %s: +%.*f mm%s', digits, f.counted_mm, digits, f.nadir_mm, f.nadir_dt, digits,
            f.counted_mm - f.nadir_mm, coalesce(printf(', +%.1f %%', (f.counted_mm - f.nadir_mm) * 100 / nullif(f.nadir_mm, 0)), '')
        )
    end as reason
from compared f
cross join study.protocol p
where f.lesion_state = 'unequivocal_progression'
    or (
        f.counted_mm - f.nadir_mm >= p.pd_min_increase_mm
        and (f.counted_mm - f.nadir_mm) * 100 >= f.nadir_mm * p.pd_min_increase_pct
        -- a node that is still of normal size has not progressed
        and f.gone_fl = 'N'
    )
