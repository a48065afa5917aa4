-- one row per: linked subject, series, lesion that was not there at the baseline of the series, and assessment at which it is seen
-- unit: mm
-- why: what is doubtful at first sight and confirmed later is dated back to that first sight
-- source: RECIST 1.1, 4.3.5; PROTOCOL, New lesions (nodes by short axis, bone scan alone is equivocal)
with at_baseline as (
    -- after radiotherapy each lesion as last seen before it: planning imaging may be of one region alone
    select v.series, a.usubjid, a.lesion_id
    from assessed.series_visits v
    join assessed.adtr a on a.usubjid = v.usubjid and (a.visitnum = v.visitnum or (v.series = 'after_rt' and a.adt < v.adt))
    where v.baseline_fl = 'Y'
    group by v.series, a.usubjid, a.lesion_id
    having arg_max(a.gone_fl, a.adt) is distinct from 'Y'
),
sighting as (
    select
        v.series, v.baseline_fl as at_series_baseline, a.*, p.min_node_target_mm,
        lag(a.gone_fl ignore nulls) over looks as last_gone_fl,
        count(*) filter (a.gone_fl = 'Y') over looks as n_gone,
        case
            when a.lesion_state = 'equivocal' then 'not stated as unequivocal'
            when a.method = 'bone_scan' then 'on bone scan alone'
            -- a reader who is sure has seen more than the size
            when a.node_fl = 'Y' and a.counted_mm < p.min_node_target_mm and a.lesion_state <> 'unequivocal'
                then printf(
                    'node of %.*f mm, below %d mm', case when a.counted_mm = a.counted_mm::decimal(18, 1) then 1 else 3 end, a.counted_mm,
                    p.min_node_target_mm
                )
        end as doubt
    from assessed.series_visits v
    join assessed.adtr a using (usubjid, visitnum)
    anti join at_baseline using (series, usubjid, lesion_id)
    cross join study.protocol p
    window looks as (partition by v.series, a.usubjid, a.lesion_id order by a.adt, a.visitnum)
),
confirmed as (
    select
        *,
        -- a node is also confirmed by being pathological at two looks that follow each other, if the second is no doubt again
        min(case when doubt is null or (node_fl = 'Y' and last_gone_fl = 'N' and lesion_state <> 'equivocal') then adt end) over (
            -- what was gone in between has not been confirmed
            partition by series, usubjid, lesion_id, n_gone order by adt, visitnum rows between current row and unbounded following
        ) as confirmed_dt
    from sighting
    where at_series_baseline = 'N' and gone_fl = 'N'
)
select
    usubjid, series, lesion_id, visitnum, adt,
    case when doubt is null or confirmed_dt is not null then 'UNEQUIVOCAL' else 'EQUIVOCAL' end as status,
    case
        when doubt is null then printf('%s (%s) is new', lesion_id, anatomic_site)
        when confirmed_dt is not null
            then printf('%s (%s) is new, %s, confirmed on %s', lesion_id, anatomic_site, doubt, confirmed_dt)
        else printf('%s (%s) may be new: %s', lesion_id, anatomic_site, doubt)
    end as reason
from confirmed
