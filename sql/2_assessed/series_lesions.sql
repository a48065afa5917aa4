-- one row per: linked subject, series and lesion that is followed from the baseline of the series
-- unit: mm
-- why: of the lesions that the centre declared as targets those that may be; after radiotherapy the lesions outside the field get roles anew
-- source: RECIST 1.1, 3.1 (measurable) and 3.2 (at most 5 targets, 2 per organ, the largest); PROTOCOL, Baseline and After radiotherapy (series b)
with series_visit as (
    select *, lead(adt) over (partition by usubjid, series order by adt, visitnum) as next_dt from assessed.series_visits
),
irradiated_before as (
    -- not measurable, unless it has grown since by the rule for a progression
    select i.usubjid, i.lesion_id, a.counted_mm, min(a.counted_mm) over earlier as nadir_mm, a.visitnum, v.visitnum as baseline_visitnum
    from assessed.irradiated_lesions i
    join series_visit v on v.usubjid = i.usubjid and v.series = 'first_line' and v.baseline_fl = 'Y' and v.adt > i.first_fraction_dt
    join assessed.adtr a on a.usubjid = i.usubjid and a.lesion_id = i.lesion_id and a.adt > i.first_fraction_dt and a.adt <= v.adt
    window earlier as (
        partition by i.usubjid, i.lesion_id order by a.adt, a.visitnum rows between unbounded preceding and 1 preceding
    )
),
no_longer_measurable as (
    select b.usubjid, b.lesion_id from irradiated_before b
    cross join study.protocol p
    where b.visitnum = b.baseline_visitnum and not coalesce(
        b.counted_mm - b.nadir_mm >= p.pd_min_increase_mm and (b.counted_mm - b.nadir_mm) * 100 >= b.nadir_mm * p.pd_min_increase_pct, false
    )
),
last_look as (
    -- after radiotherapy each lesion as last seen before it: planning imaging may be of one region alone
    select v.series, v.next_dt, a.* from assessed.adtr a
    join series_visit v on v.usubjid = a.usubjid
        and (a.visitnum = v.visitnum or (v.series = 'after_rt' and a.adt < v.adt and a.gone_fl is not null))
    where v.baseline_fl = 'Y'
    qualify row_number() over (partition by v.series, a.usubjid, a.lesion_id order by a.gone_fl is null, a.adt desc) = 1
),
at_baseline as (
    select l.* from last_look l
    left join assessed.irradiated_lesions i using (usubjid, lesion_id)
    where l.gone_fl is distinct from 'Y'
        -- what is irradiated before the next scan is judged in the field; what is irradiated later stays outside until then
        and (l.series = 'first_line' or i.lesion_id is null or i.first_fraction_dt > l.next_dt)
),
ranked as (
    select
        b.*, p.max_targets, p.max_targets_per_organ,
        -- after radiotherapy by its size then, whatever it was when the drug began
        (b.series <> 'first_line' or (b.lesion_role = 'target' and b.measurable_fl is distinct from 'N' and n.lesion_id is null))
        and coalesce(b.counted_mm >= case
            when b.node_fl = 'Y' then p.min_node_target_mm
            when b.method = 'xray' then p.min_xray_target_mm
            when b.method = 'bone_scan' then null
            when b.slice_mm > p.max_slice_mm then greatest(p.min_target_mm, b.slice_mm * p.thick_slice_factor)
            else p.min_target_mm
        end, false) as can_be_target
    from at_baseline b
    left join no_longer_measurable n on n.usubjid = b.usubjid and n.lesion_id = b.lesion_id and b.series = 'first_line'
    cross join study.protocol p
),
within_organ as (
    select
        *, row_number() over (
            partition by usubjid, series, can_be_target, organ order by lesion_role = 'target' desc, counted_mm desc, lesion_id
        ) as organ_rank
    from ranked
),
overall as (
    select
        *, row_number() over (
            partition by usubjid, series, can_be_target and organ_rank <= max_targets_per_organ
            order by lesion_role = 'target' desc, counted_mm desc, lesion_id
        ) as target_rank
    from within_organ
)
select
    usubjid, series, lesion_id,
    -- what a centre declared beyond that is followed as non-target; a rule asks about it
    case when can_be_target and organ_rank <= max_targets_per_organ and target_rank <= max_targets then 'target' else 'non_target' end
        as series_role,
    anatomic_site, node_fl, visitnum as baseline_visitnum, adt as baseline_dt, counted_mm as baseline_mm
from overall
