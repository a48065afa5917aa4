-- one row per: linked subject, series and lesion that is followed from the baseline of the series
-- unit: mm
-- why: the first line follows the lesions that the centre declared; after radiotherapy the lesions outside the field get roles anew
-- source: RECIST 1.1, 3.2 (at most 5 targets, 2 per organ); PROTOCOL, After radiotherapy (series b)
with series_visit as (
    select *, lead(adt) over (partition by usubjid, series order by adt, visitnum) as next_dt from assessed.series_visits
),
at_baseline as (
    select v.series, a.* from assessed.adtr a
    join series_visit v using (usubjid, visitnum)
    left join assessed.irradiated_lesions i using (usubjid, lesion_id)
    where v.baseline_fl = 'Y' and a.gone_fl is distinct from 'Y'
        -- what is irradiated before the next scan is judged in the field; what is irradiated later stays outside until then
        and (v.series = 'first_line' or i.lesion_id is null or i.first_fraction_dt > v.next_dt)
),
ranked as (
    select
        b.*, p.max_targets, p.max_targets_per_organ,
        case series
            when 'first_line' then b.lesion_role = 'target' and b.counted_mm > 0
            -- by its size now, whatever it was when the drug began
            else b.counted_mm >= case b.node_fl when 'Y' then p.min_node_target_mm else p.min_target_mm end
        end as can_be_target
    from at_baseline b
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
    case
        -- more targets than RECIST allows is a question to the centre, not a reason to drop what it measured
        when can_be_target and (series = 'first_line' or (organ_rank <= max_targets_per_organ and target_rank <= max_targets))
            then 'target'
        else 'non_target'
    end as series_role,
    anatomic_site, node_fl, visitnum as baseline_visitnum, adt as baseline_dt, counted_mm as baseline_mm
from overall
