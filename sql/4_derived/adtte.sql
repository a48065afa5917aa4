-- one row per: eligible subject and endpoint; LOCALCTRL: and irradiated lesion
-- unit: day (adt - startdt) and month, unrounded
-- why: an endpoint is declared in study/endpoints; a new one needs no change here
-- source: CDISC ADaM ADTTE; PROTOCOL, Endpoints
select
    t.usubjid, s.siteid, s.rtsiteid, t.lesion_id, t.paramcd, e.param, t.startdt, t.adt,
    t.adt - t.startdt as aval_days,
    (t.adt - t.startdt) / p.days_per_month as aval_months,
    t.cnsr,
    case t.cnsr when 0 then e.description end as evntdesc,
    case when t.cnsr > 0 then e.description end as cnsdtdsc,
    coalesce(l.srcdom, d.srcdom) as srcdom, coalesce(l.srcvar, d.srcvar) as srcvar, coalesce(l.srcseq, d.srcseq) as srcseq
from derived.endpoint_times t
join derived.adsl s using (usubjid)
join study.endpoints e
    on e.paramcd = t.paramcd and e.date_name = t.date_name and e.role = case t.cnsr when 0 then 'event' else 'censor' end
left join derived.lesion_dates l on l.usubjid = t.usubjid and l.lesion_id = t.lesion_id and l.date_name = t.date_name
left join derived.dates d on d.usubjid = t.usubjid and d.date_name = t.date_name
cross join study.protocol p
where t.analysis = 'main'
