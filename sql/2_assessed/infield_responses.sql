-- one row per: linked subject, irradiated lesion and assessment after its first fraction, by either centre
-- unit: mm; % for the isodose
-- why: each irradiated lesion has its own baseline and nadir; bone that cannot be measured is judged by the reported finding
-- source: PROTOCOL, After radiotherapy (series a)
with look as (
    select
        i.usubjid, i.lesion_id, i.anatomic_site, i.measurable_fl, i.target_id, i.rtsiteid, a.visitnum, a.adt, a.counted_mm, a.gone_fl,
        a.lesion_state, a.method, a.centre, a.source_file, a.source_row, a.adt > i.first_fraction_dt as is_after,
        -- its own baseline: the last scan before its own first fraction that shows it; planning imaging may be of one region alone
        max(a.adt) filter (a.adt <= i.first_fraction_dt and a.gone_fl is not null) over (partition by i.usubjid, i.lesion_id) as baseline_dt
    from assessed.irradiated_lesions i
    join assessed.adtr a using (usubjid, lesion_id)
),
scan as (
    select
        *,
        max(case when adt = baseline_dt then counted_mm end) over (partition by usubjid, lesion_id) as baseline_mm,
        min(counted_mm) over earlier as nadir_mm,
        arg_min(adt, counted_mm) over earlier as nadir_dt
    from look
    where is_after or adt = baseline_dt
    window earlier as (
        partition by usubjid, lesion_id order by adt, visitnum rows between unbounded preceding and 1 preceding
    )
),
restaging as (
    select i.lesion_id, i.anatomic_site, i.measurable_fl, r.*
    from assessed.irradiated_lesions i
    join harmonised.restagings r on r.usubjid = i.usubjid and r.centre = i.rtsiteid and r.target_id = i.target_id
    where r.rsdt > i.first_fraction_dt
),
same_examination as (
    -- the scan and what the radiotherapy centre wrote about it
    select r.usubjid, r.lesion_id, r.rsdt, s.visitnum
    from restaging r
    join scan s on s.usubjid = r.usubjid and s.lesion_id = r.lesion_id and s.is_after
    cross join study.protocol p
    where abs(s.adt - r.rsdt) <= p.restaging_match_days
    qualify row_number() over (partition by r.usubjid, r.lesion_id, r.rsdt order by abs(s.adt - r.rsdt), s.adt) = 1
        and row_number() over (partition by s.usubjid, s.lesion_id, s.visitnum order by abs(s.adt - r.rsdt), r.rsdt) = 1
),
assessment as (
    select
        coalesce(s.usubjid, r.usubjid) as usubjid, coalesce(s.lesion_id, r.lesion_id) as lesion_id,
        coalesce(s.anatomic_site, r.anatomic_site) as anatomic_site, coalesce(s.target_id, r.target_id) as target_id,
        coalesce(s.measurable_fl, r.measurable_fl) as measurable_fl, s.visitnum, coalesce(s.adt, r.rsdt) as adt, r.rsdt,
        coalesce(r.restaging_fl, 'N') as restaging_fl, r.response as reported_response, r.finding, r.method, r.field_relation,
        r.isodose_pct, s.counted_mm, s.gone_fl, s.lesion_state, s.baseline_mm, s.nadir_mm, s.nadir_dt,
        s.method as scan_method,
        -- a recurrence outside the field says nothing about the lesion in it; gone on a bone scan is not gone (paper, Table II)
        case
            when coalesce(r.field_relation, 'in_field') in ('out', 'marginal') then null
            when f.infield_response = 'CR' and r.method = 'bone_scan' then upper(p.bone_scan_disappearance)
            else f.infield_response
        end as by_finding,
        coalesce(s.centre, r.centre) as centre, coalesce(s.source_file, r.source_file) as source_file,
        coalesce(s.source_row, r.source_row) as source_row
    from (select * from scan where is_after) s
    left join same_examination e using (usubjid, lesion_id, visitnum)
    full join restaging r on r.usubjid = s.usubjid and r.lesion_id = s.lesion_id and r.rsdt = e.rsdt
    left join study.finding f on f.code = r.finding
    cross join study.protocol p
),
in_words as (
    select
        a.*, p.pd_min_increase_mm, p.pd_min_increase_pct, p.pr_max_pct, p.bone_scan_disappearance,
        -- as many as it takes to check the arithmetic
        case
            when counted_mm = counted_mm::decimal(18, 1) and coalesce(nadir_mm = nadir_mm::decimal(18, 1), true)
                and coalesce(baseline_mm = baseline_mm::decimal(18, 1), true) then 1 else 3
        end as digits,
        (counted_mm - nadir_mm) * 100 / nullif(nadir_mm, 0) as change_pct,
        case
            when change_pct is null then ''
            -- what rounds to the bound has not reached it
            when change_pct < p.pd_min_increase_pct and printf('%.1f', change_pct) = p.pd_min_increase_pct::decimal(9, 1)::varchar
                then printf(', just below %d %%', p.pd_min_increase_pct)
            else printf(', %+.1f %%', change_pct)
        end as change
    from assessment a
    cross join study.protocol p
)
select
    usubjid, lesion_id, anatomic_site, target_id, visitnum, adt, rsdt, restaging_fl,
    case
        when measurable_fl = 'Y' or baseline_mm is not null then case
            when gone_fl = 'Y' then 'CR'
            when counted_mm - nadir_mm >= pd_min_increase_mm
                and (counted_mm - nadir_mm) * 100 >= nadir_mm * pd_min_increase_pct then 'PD'
            when counted_mm is null or baseline_mm is null then 'NE'
            when counted_mm * 100 <= baseline_mm * pr_max_pct then 'PR'
            else 'SD'
        end
        when by_finding is not null then by_finding
        when lesion_state = 'unequivocal_progression' then 'PD'
        when lesion_state = 'absent' then case scan_method when 'bone_scan' then upper(bone_scan_disappearance) else 'CR' end
        when lesion_state = 'present' then 'SD'
        else 'NE'
    end as response,
    reported_response, finding, method, field_relation, isodose_pct,
    case
        when counted_mm is not null and baseline_mm is not null
            then printf(
                '%.*f mm, baseline %.*f, nadir %.*f on %s: %+.*f mm%s',
                digits, counted_mm, digits, baseline_mm, digits, nadir_mm, nadir_dt, digits, counted_mm - nadir_mm, change
            ) || case when gone_fl = 'Y' and counted_mm > 0 then '; a node of normal size' else '' end
        when measurable_fl = 'Y' and gone_fl = 'Y' then case when counted_mm > 0 then 'a node of normal size' else 'absent' end
        when measurable_fl = 'Y' and counted_mm is not null
            then printf('%.*f mm, not measured before the first fraction', digits, counted_mm)
            || coalesce(printf('; nadir %.*f on %s: %+.*f mm%s', digits, nadir_mm, nadir_dt, digits, counted_mm - nadir_mm, change), '')
        when measurable_fl = 'Y' or baseline_mm is not null then 'not measured'
        when by_finding is not null then 'not measurable; the radiotherapy centre saw: ' || finding
            || case when finding = 'disappeared' and by_finding <> 'CR' then ' on bone scan, which counts as ' || by_finding else '' end
        else 'not measurable; the oncology centre saw: ' || coalesce(lesion_state, 'nothing')
            || case when lesion_state = 'absent' and scan_method = 'bone_scan' and bone_scan_disappearance <> 'cr'
                then ' on bone scan, which counts as ' || upper(bone_scan_disappearance) else '' end
    end as reason,
    centre, source_file, source_row, counted_mm as size_mm, baseline_mm
from in_words
