-- one row per: linked subject, parameter and assessment (INFIELD: and lesion)
-- why: every derived response in one place, each with the reported one beside it and a reason that a radiologist can check
-- source: CDISC ADaM ADRS; PROTOCOL, RECIST 1.1
with first_line as (
    select * from assessed.timepoint_responses where series = 'first_line'
),
reported as (
    -- by its visit, without a visit number by its date
    select r.usubjid, coalesce(r.visitnum, f.visitnum) as visitnum, any_value(r.overall_response) as overall_response
    from harmonised.responses r
    left join first_line f on f.usubjid = r.usubjid and f.adt = r.rsdt
    group by r.usubjid, coalesce(r.visitnum, f.visitnum)
),
patient_srt as (
    select
        usubjid, min(restagingdt) as adt,
        coalesce(arg_max(s.response, o.worst_order) filter (o.worst_order is not null), 'NE') as avalc,
        coalesce(arg_max(s.reported_response, w.worst_order) filter (w.worst_order is not null), any_value(s.reported_response)) as reported,
        string_agg(printf('%s (%s): %s', s.target_id, s.anatomic_site, s.response), '; ' order by s.target_id) as reason
    from assessed.srt_responses s
    left join study.response o on o.code = s.response
    left join study.response w on w.code = s.reported_response
    group by usubjid
),
parameter as (
    select usubjid, 'TRGRESP' as paramcd, adt, null as anatomic_site, null as lesion_id, target_response as avalc, null as reported,
        target_reason as reason
    from first_line
    union all
    select usubjid, 'NTRGRESP', adt, null, null, nontarget_response, null, nontarget_reason from first_line
    union all
    select usubjid, 'NEWLPROG', adt, null, null, new_lesion, null, new_lesion_reason from first_line
    union all
    select f.usubjid, 'OVRLRESP', f.adt, null, null, f.overall_response as avalc, r.overall_response as reported, f.overall_reason
    from first_line f left join reported r using (usubjid, visitnum)
    union all
    select usubjid, 'OVRLPRT', adt, null, null, overall_response, null, overall_reason
    from assessed.timepoint_responses where series = 'after_rt'
    union all
    select usubjid, 'BOR', bor_dt, null, null, bor, null, bor_reason from assessed.best_responses
    union all
    select usubjid, 'CBOR', cbor_dt, null, null, cbor, null, cbor_reason from assessed.best_responses
    union all
    select usubjid, 'INFIELD', adt, anatomic_site, lesion_id, response, reported_response, reason from assessed.infield_responses
    union all
    select usubjid, 'SRTRESP', adt, null, null, avalc, reported, reason from patient_srt
)
select usubjid, paramcd, adt, anatomic_site, lesion_id, 'derived' as eval, avalc, reported as reported_avalc, reason
from parameter
