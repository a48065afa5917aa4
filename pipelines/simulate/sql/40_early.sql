-- one row per: patient, baseline lesion and scan before oligo-progression
-- unit: mm (NULL: not measured); settled_mm is the size about which the lesion stays until it progresses
with shape as (
    select
        d.*, p.best_response_l1 as best, s.*,
        world.half(case
            when anatomic_site = 'node' then node_min_mm + node_spread_mm * world.draw(patient || lesion_id, 'size')
            when progressing then progressing_min_mm + progressing_spread_mm * world.draw(patient || lesion_id, 'size')
            else bystander_min_mm + bystander_spread_mm * world.draw(patient || lesion_id, 'size') end) as baseline_mm,
        case when anatomic_site = 'node' then node_floor_mm else floor_mm end as least_mm,
        p.oligo_progression
    from world.disease d join world.patients p using (patient) cross join world.story s
    where seen = 'baseline'
),
settled as (
    select
        *,
        case best
            when 'PD' then baseline_mm
            when 'CR' then case when anatomic_site = 'node' then node_normal_mm else 0 end
            when 'PR' then greatest(
                least_mm, world.half(baseline_mm * (pr_min_share + pr_spread_share * world.draw(patient, 'depth'))))
            else world.half(baseline_mm * (sd_min_share + sd_spread_share * world.draw(patient, 'depth')))
        end as settled_mm
    from shape
),
visit as (
    select
        v.*,
        -- the response shows at the second scan where there is one
        v.visitnum > 0 and v.visitnum >= least(2, max(v.visitnum) over (partition by v.patient)) as responded
    from world.scans v join world.patients p using (patient)
    where v.trdt < p.oligo_progression
)
select
    l.patient, l.lesion_id, l.lesion_role, v.visitnum, v.trdt, v.responded, l.settled_mm,
    case
        when not l.is_measurable then null
        when v.visitnum = 0 then l.baseline_mm
        when not v.responded and l.best in ('PR', 'CR')
            then world.noisy(l.baseline_mm * l.shrinking_share, l.noise_mm, l.patient || l.lesion_id, v.trdt)
        else world.noisy(l.settled_mm, l.noise_mm, l.patient || l.lesion_id, v.trdt)
    end as diameter_mm,
    case when v.responded and l.best = 'CR' and l.anatomic_site <> 'node' then 'absent' else 'present' end as lesion_state
from settled l join visit v using (patient)
