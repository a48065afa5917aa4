-- one row per: read, record of TU and place of the body that its words name
select
    r.read_id, t.lesion_id, t.lesion_role, coalesce(t.tuloc, 'no TULOC, ' || t.lesion_id) as tuloc, coalesce(l.nodal_fl, 'N') as node_fl,
    case when t.lesion_role = 'target' then coalesce(l.measurable_fl, 'Y') end as measurable_fl,
    coalesce(l.organ, t.tuloc, t.lesion_id) as organ, t.visit, t.dt, l.list_order, t.eval, t.evalid, t.source_row
from raw.tumours t
cross join raw.given g
join raw.reads r
    on r.usubjid = t.usubjid
    -- by what both files say of the reader
    and (r.eval is not distinct from t.eval or not (g.tu_eval and g.tr_eval))
    and (r.evalid is not distinct from t.evalid or not (g.tu_evalid and g.tr_evalid))
left join study.body_location l on contains(t.tuloc, l.code)
where t.problem is null
