-- one row per: linked subject, series, lesion that was not there at the baseline of the series, and assessment at which it is seen
-- unit: mm
-- why: what is doubtful at first sight and confirmed later is dated back to that first sight
-- source: RECIST 1.1, 4.3.5; PROTOCOL, New lesions (nodes by short axis, bone scan alone is equivocal)
with at_baseline as (
    select v.series, a.usubjid, a.lesion_id
    from assessed.series_visits v
    join assessed.adtr a using (usubjid, visitnum)
    where v.baseline_fl = 'Y' and a.gone_fl is distinct from 'Y'
),
sighting as (
    select
        v.series, a.*, p.min_node_target_mm,
        case
            when a.lesion_state = 'equivocal' then 'stated as equivocal'
            when a.method = 'bone_scan' then 'on bone scan alone'
            when a.node_fl = 'Y' and a.counted_mm < p.min_node_target_mm
                then printf('node of %.1f mm, below %d mm', a.counted_mm, p.min_node_target_mm)
        end as doubt
    from assessed.series_visits v
    join assessed.adtr a using (usubjid, visitnum)
    anti join at_baseline using (series, usubjid, lesion_id)
    cross join study.protocol p
    where v.baseline_fl = 'N' and a.gone_fl = 'N'
),
confirmed as (
    select
        *,
        -- a node that is still pathological at the next look is confirmed by that look
        min(case when doubt is null or node_fl = 'Y' then adt end) over (
            partition by series, usubjid, lesion_id order by adt, visitnum rows between 1 following and unbounded following
        ) as confirmed_dt
    from sighting
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
