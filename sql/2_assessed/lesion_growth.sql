-- one row per: linked subject, lesion of the baseline and assessment at which that lesion itself has progressed
-- unit: mm
-- why: oligo-progression counts lesions; a sum of diameters says that there is progression, not where
-- source: RECIST 1.1, 4.3.1 applied to the single lesion; PROTOCOL, Oligo-progression
with baseline as (
    select usubjid, visitnum, baseline_fl, min(visitnum) filter (baseline_fl = 'Y') over (partition by usubjid) as from_visitnum
    from assessed.visits
),
followed as (
    -- from the baseline on: what a lesion did before the drug is not the drug's
    select
        a.*, v.baseline_fl,
        max(v.baseline_fl = 'Y' and a.gone_fl is distinct from 'Y') over (partition by a.usubjid, a.lesion_id) as at_baseline,
        min(a.counted_mm) over earlier as nadir_mm,
        arg_min(a.adt, a.counted_mm) over earlier as nadir_dt
    from assessed.adtr a
    join baseline v using (usubjid, visitnum)
    where a.visitnum >= v.from_visitnum
    window earlier as (
        partition by a.usubjid, a.lesion_id order by a.adt, a.visitnum rows between unbounded preceding and 1 preceding
    )
)
select
    f.usubjid, f.lesion_id, f.visitnum, f.adt,
    case
        when f.lesion_state = 'unequivocal_progression' then 'unequivocal progression of a lesion without measurement'
        else printf('%.1f mm, nadir %.1f mm on %s: +%.1f mm', f.counted_mm, f.nadir_mm, f.nadir_dt, f.counted_mm - f.nadir_mm)
    end as reason
from followed f
cross join study.protocol p
where f.at_baseline and f.baseline_fl = 'N'
    and (
        f.lesion_state = 'unequivocal_progression'
        or (
            f.counted_mm - f.nadir_mm >= p.pd_min_increase_mm
            and (f.counted_mm - f.nadir_mm) * 100 >= f.nadir_mm * p.pd_min_increase_pct
            -- a node that is still of normal size has not progressed
            and f.gone_fl = 'N'
        )
    )
