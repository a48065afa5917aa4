-- one row per: linked subject, series and assessment after the baseline of the series
-- unit: mm
-- why: target, non-target and new lesions are judged apart, each with its reason; the table of RECIST joins them
-- source: RECIST 1.1, 4.3 and table 1; PROTOCOL, Target response (the order of the rules)
with new_lesion as (
    select
        usubjid, series, visitnum, max(status) as status, string_agg(reason, '; ' order by status desc, lesion_id) as reason
    from assessed.new_lesions n
    anti join assessed.irradiated_lesions i on i.usubjid = n.usubjid and i.lesion_id = n.lesion_id and i.first_fraction_dt < n.adt
    group by usubjid, series, visitnum
),
state as (
    select
        t.*, coalesce(n.n_nontargets, 0) as n_nontargets, coalesce(n.n_assessed, 0) as n_nontargets_assessed,
        coalesce(n.all_gone_fl, 'N') as nontarget_gone_fl, n.progressed, n.seen,
        coalesce(w.status, 'NO') as new_lesion, w.reason as new_lesion_reason,
        -- an earlier overall response was complete
        coalesce(bool_or(
            t.n_targets + coalesce(n.n_nontargets, 0) > 0
            and (t.n_targets = 0 or t.all_gone_fl = 'Y')
            and (n.n_nontargets is null or n.all_gone_fl = 'Y')
            and w.status is distinct from 'UNEQUIVOCAL'
        ) over (
            partition by t.usubjid, t.series order by t.adt, t.visitnum rows between unbounded preceding and 1 preceding
        ), false) as had_cr,
        row_number() over (partition by t.usubjid, t.series order by t.adt, t.visitnum) as visit_rank
    from assessed.target_sums t
    left join assessed.nontarget_states n using (usubjid, series, visitnum)
    left join new_lesion w using (usubjid, series, visitnum)
),
component as (
    select
        s.*,
        case
            when n_targets = 0 then 'NA'
            when all_gone_fl = 'Y' then 'CR'
            when measured_mm - nadir_mm >= p.pd_min_increase_mm
                and (measured_mm - nadir_mm) * 100 >= nadir_mm * p.pd_min_increase_pct then 'PD'
            when had_cr and n_seen > 0 then 'PD'
            when n_assessed < n_targets then 'NE'
            when sum_mm * 100 <= baseline_mm * p.pr_max_pct then 'PR'
            else 'SD'
        end as target_response,
        case
            when n_nontargets = 0 then 'NA'
            when progressed is not null or (had_cr and seen is not null) then 'PD'
            when nontarget_gone_fl = 'Y' then 'CR'
            when n_nontargets_assessed < n_nontargets then 'NE'
            else 'NON-CR/NON-PD'
        end as nontarget_response,
        printf('sum %.1f, nadir %.1f on %s: %+.1f mm%s; baseline %.1f', measured_mm, nadir_mm, nadir_dt, measured_mm - nadir_mm,
            case when nadir_mm > 0 then printf(', %+.1f %%', (measured_mm - nadir_mm) * 100 / nadir_mm) else '' end, baseline_mm
        ) as arithmetic
    from state s
    cross join study.protocol p
    where visit_rank > 1
)
select
    c.usubjid, c.series, c.visitnum, c.adt, c.target_response, c.nontarget_response, c.new_lesion,
    r.overall as overall_response,
    case
        when n_targets = 0 then 'no target lesions at baseline'
        when target_response = 'CR' then 'all target lesions are absent, nodes of normal size'
        when n_assessed = 0 then 'no target lesion was assessed'
        when n_assessed < n_targets then printf('%d of %d target lesions assessed; %s', n_assessed, n_targets, arithmetic)
        when target_response = 'PD' and had_cr and n_seen > 0 then 'a target lesion is back after complete response; ' || arithmetic
        else arithmetic
    end as target_reason,
    case
        when n_nontargets = 0 then 'no non-target lesions'
        when progressed is not null then 'unequivocal progression of ' || progressed
        when nontarget_response = 'PD' then 'back after complete response: ' || seen
        when nontarget_response = 'CR' then 'all non-target lesions are absent, nodes of normal size'
        when nontarget_response = 'NE' then printf('%d of %d non-target lesions assessed', n_nontargets_assessed, n_nontargets)
        else 'present without unequivocal progression'
    end as nontarget_reason,
    coalesce(c.new_lesion_reason, 'no new lesion') as new_lesion_reason,
    printf('target %s, non-target %s, new lesion %s: %s', target_response, nontarget_response, lower(c.new_lesion), r.overall)
        as overall_reason
from component c
join study.timepoint_response r
    on r.target = c.target_response and r.nontarget = c.nontarget_response and r.new_lesion = c.new_lesion
