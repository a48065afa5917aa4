-- one row per: linked subject, series and assessment after the baseline of the series
-- unit: mm
-- why: target, non-target and new lesions are judged apart, each with its reason; the table of RECIST joins them
-- source: RECIST 1.1, 4.3 and table 1; PROTOCOL, Target response (the order of the rules) and Contested points
with new_lesion as (
    select
        usubjid, series, visitnum, max(status) as status,
        list_sort(list(struct_pack(equivocal := status = 'EQUIVOCAL', lesion_id := lesion_id, reason := reason))) as reasons
    from assessed.new_lesions n
    anti join assessed.irradiated_lesions i on i.usubjid = n.usubjid and i.lesion_id = n.lesion_id and i.first_fraction_dt < n.adt
    group by usubjid, series, visitnum
),
state as (
    select
        t.*, coalesce(n.n_nontargets, 0) as n_nontargets, coalesce(n.n_assessed, 0) as n_nontargets_assessed,
        coalesce(n.all_gone_fl, 'N') as nontarget_gone_fl, n.progressed, n.seen,
        coalesce(w.status, 'NO') as new_lesion, w.reasons as new_lesion_reasons,
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
measured as (
    select
        s.*, p.sd_after_pr, p.pd_date, p.confirmation_days, p.disease_after_cr, p.pd_with_missing_target, p.pd_min_increase_pct,
        n_assessed < n_targets as is_incomplete,
        measured_mm - nadir_mm >= p.pd_min_increase_mm
        and (measured_mm - nadir_mm) * 100 >= nadir_mm * p.pd_min_increase_pct as is_grown,
        sum_mm * 100 <= baseline_mm * p.pr_max_pct as is_shrunk,
        -- as many as it takes to check the arithmetic
        case
            when measured_mm = measured_mm::decimal(18, 1) and nadir_mm = nadir_mm::decimal(18, 1)
                and baseline_mm = baseline_mm::decimal(18, 1) then 1 else 3
        end as digits
    from state s
    cross join study.protocol p
    where visit_rank > 1
),
component as (
    select
        *,
        case
            when n_targets = 0 then 'NA'
            when all_gone_fl = 'Y' then 'CR'
            when is_grown and (not is_incomplete or pd_with_missing_target = 'pd') then 'PD'
            when had_cr and n_seen > 0 and disease_after_cr = 'pd' then 'PD'
            when is_incomplete then 'NE'
            when is_shrunk then 'PR'
            else 'SD'
        end as by_arithmetic,
        case
            when n_nontargets = 0 then 'NA'
            when progressed is not null or (had_cr and seen is not null and disease_after_cr = 'pd') then 'PD'
            when nontarget_gone_fl = 'Y' then 'CR'
            when n_nontargets_assessed < n_nontargets then 'NE'
            else 'NON-CR/NON-PD'
        end as nontarget_response
    from measured
),
responder as (
    -- few have stable disease by arithmetic after a response; only they are looked at further
    select usubjid, series from component
    where by_arithmetic in ('CR', 'PR', 'SD')
    group by usubjid, series
    having max(adt) filter (by_arithmetic = 'SD') > min(adt) filter (by_arithmetic <> 'SD') and count(*) filter (by_arithmetic <> 'SD') > 1
),
placed as (
    select
        c.usubjid, c.series, c.adt, c.by_arithmetic, c.confirmation_days,
        count(*) filter (c.by_arithmetic not in ('CR', 'PR', 'NE')) over ordered as n_other,
        count(*) filter (c.by_arithmetic = 'NE') over ordered as n_ne
    from component c
    join responder using (usubjid, series)
    window ordered as (partition by c.usubjid, c.series order by c.adt, c.visitnum)
),
paired as (
    -- the first response before it with nothing but responses and at most one missing assessment between
    select
        *, min(adt) filter (by_arithmetic in ('CR', 'PR')) over (
            partition by usubjid, series, n_other order by n_ne range between 1 preceding and current row
        ) as since_dt
    from placed
),
confirmed as (
    select
        usubjid, series, min(adt) filter (by_arithmetic in ('CR', 'PR') and adt - since_dt >= confirmation_days) as from_dt,
        min(adt) filter (by_arithmetic = 'PD') as until_dt
    from paired group by usubjid, series
),
progressed as (
    select usubjid, series, min(adt) as first_pd_dt from component
    where disease_after_cr <> 'pd' and (by_arithmetic = 'PD' or nontarget_response = 'PD' or new_lesion = 'UNEQUIVOCAL')
    group by usubjid, series
),
corrected as (
    -- what is left after a complete response says that it was a partial one, by the reading that allows it
    select c.usubjid, c.series, max(c.adt) as disease_dt from component c
    left join progressed g using (usubjid, series)
    where c.disease_after_cr <> 'pd' and c.had_cr and (c.n_seen > 0 or c.seen is not null)
        and c.adt < coalesce(g.first_pd_dt, c.adt + 1)
    group by c.usubjid, c.series
),
judged as (
    select
        c.*, k.disease_dt, f.from_dt,
        coalesce(by_arithmetic = 'SD' and c.adt > f.from_dt and c.adt < coalesce(f.until_dt, c.adt + 1), false) as is_continuing,
        case when is_continuing and sd_after_pr = 'pr' then 'PR' else by_arithmetic end as target_response,
        had_cr and not coalesce(is_grown, false) and n_seen > 0 as is_target_back,
        had_cr and progressed is null and seen is not null as is_nontarget_back
    from component c
    left join confirmed f using (usubjid, series)
    left join corrected k using (usubjid, series)
)
select
    c.usubjid, c.series, c.visitnum,
    case when r.overall = 'PD' and c.pd_date = 'last' then c.last_dt else c.adt end as adt,
    c.target_response, c.nontarget_response, c.new_lesion,
    case when r.overall = 'CR' and c.adt < c.disease_dt then 'PR' else r.overall end as overall_response,
    case
        when n_targets = 0 then 'no target lesions at baseline'
        when target_response = 'CR' then 'all target lesions are absent, nodes of normal size'
        when n_assessed = 0 and target_response = 'NE' then 'no target lesion was assessed'
        else case
            when target_response = 'PD' and is_target_back then 'a target lesion is back after complete response; '
            when is_incomplete then printf('%d of %d target lesions assessed; ', n_assessed, n_targets)
            when is_continuing and target_response = 'PR' then printf('continuing partial response, confirmed on %s; ', c.from_dt)
            else ''
        end || coalesce(printf(
            'sum %.*f, nadir %.*f on %s: %+.*f mm%s; baseline %.*f', digits, measured_mm, digits, nadir_mm, nadir_dt,
            digits, measured_mm - nadir_mm,
            case
                when nadir_mm = 0 then ''
                -- what rounds to the bound has not reached it
                when measured_mm > nadir_mm and (measured_mm - nadir_mm) * 100 < nadir_mm * pd_min_increase_pct
                    and printf('%.1f', (measured_mm - nadir_mm) * 100 / nadir_mm) = pd_min_increase_pct::decimal(9, 1)::varchar
                    then printf(', just below %d %%', pd_min_increase_pct)
                else printf(', %+.1f %%', (measured_mm - nadir_mm) * 100 / nadir_mm)
            end, digits, baseline_mm
        ), 'a size is missing, so that there is no sum to compare')
    end as target_reason,
    case
        when n_nontargets = 0 then 'no non-target lesions'
        when progressed is not null then 'unequivocal progression of ' || progressed
        when nontarget_response = 'PD' then 'back after complete response: ' || seen
        when nontarget_response = 'CR' then 'all non-target lesions are absent, nodes of normal size'
        when nontarget_response = 'NE' then printf('%d of %d non-target lesions assessed', n_nontargets_assessed, n_nontargets)
        else 'present without unequivocal progression'
    end as nontarget_reason,
    coalesce(array_to_string([n.reason for n in c.new_lesion_reasons], '; '), 'no new lesion') as new_lesion_reason,
    printf('target %s, non-target %s, new lesion %s: %s', target_response, nontarget_response, lower(c.new_lesion), r.overall)
    || case when r.overall = 'CR' and c.adt < c.disease_dt then printf(', taken for PR: disease is seen on %s', c.disease_dt) else '' end
        as overall_reason,
    nullif(concat_ws(
        ', ',
        case when is_continuing then 'sd_after_pr' end,
        case when is_grown and is_incomplete then 'pd_with_missing_target' end,
        case when is_target_back or is_nontarget_back then 'disease_after_cr' end
    ), '') as contested
from judged c
join study.timepoint_response r
    on r.target = c.target_response and r.nontarget = c.nontarget_response and r.new_lesion = c.new_lesion
