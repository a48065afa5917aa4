-- one row per: patient and lesion, with its size at oligo-progression, at restaging and at second progression
-- unit: mm; NULL where the lesion is not measurable or not there yet
-- why: growth is over the lesion's own nadir and large enough that the target sum progresses too
with lesion_nadir as (
    select patient, lesion_id, min(diameter_mm) as nadir_mm, any_value(settled_mm) as settled_mm
    from world.early group by patient, lesion_id
),
sum_nadir as (
    select patient, min(sum_mm) as sum_nadir_mm
    from (
        select patient, trdt, sum(diameter_mm) as sum_mm
        from world.early where lesion_role = 'target' group by patient, trdt
    ) group by patient
),
growing as (
    select patient, count(*) as n_growing from world.disease where progressing and lesion_role = 'target' group by patient
),
oligo as (
    select
        d.*, s.*,
        case
            when not d.is_measurable then null
            when d.seen = 'oligo' then world.half(case when d.anatomic_site = 'node' then regrown_min_mm else new_min_mm end
                + new_spread_mm * world.draw(d.patient || d.lesion_id, 'size'))
            when d.seen = 'baseline' and d.progressing then greatest(s.regrown_min_mm, world.half_up(n.nadir_mm + greatest(
                s.growth_mm, s.growth_share * n.nadir_mm,
                (s.sum_growth_share * t.sum_nadir_mm + s.sum_growth_mm) / g.n_growing)))
            when d.seen = 'baseline' then n.settled_mm
        end as oligo_mm
    from world.disease d
    left join lesion_nadir n using (patient, lesion_id)
    left join sum_nadir t using (patient)
    left join growing g using (patient)
    cross join world.story s
),
restaged as (
    select
        *,
        case
            when not irradiated or oligo_mm is null then oligo_mm
            when response = 'CR' then case when anatomic_site = 'node' then node_normal_mm else 0 end
            when response = 'PR' then greatest(
                case when anatomic_site = 'node' then node_floor_mm else floor_mm end,
                world.half(oligo_mm * (pr_min_share + pr_spread_share * world.draw(patient || lesion_id, 'depth'))))
            when response = 'SD' then world.half(oligo_mm * restaging_sd_share)
            when response = 'PD' then world.half_up(oligo_mm + greatest(growth_mm, growth_share * oligo_mm))
        end as restaging_mm
    from oligo
)
select
    patient, lesion_id, oligo_mm, restaging_mm,
    case
        when seen = 'second' then world.half(case when anatomic_site = 'node' then regrown_min_mm else new_min_mm end
            + new_spread_mm * world.draw(patient || lesion_id, 'size'))
        when relapses and is_measurable
            then greatest(regrown_min_mm, world.half_up(restaging_mm + greatest(growth_mm, growth_share * restaging_mm)))
        else restaging_mm
    end as second_mm
from restaged
