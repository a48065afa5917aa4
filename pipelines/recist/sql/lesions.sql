-- one row per: read and lesion
-- why: the first record of a lesion says what it is; later ones that agree say nothing new
select
    r.read_id, t.lesion_id, t.lesion_role, coalesce(t.tuloc, 'no TULOC, ' || t.lesion_id) as tuloc, coalesce(l.nodal_fl, 'N') as node_fl,
    case when t.lesion_role = 'target' then coalesce(l.measurable_fl, 'Y') end as measurable_fl,
    coalesce(l.organ, t.tuloc, t.lesion_id) as organ, t.visit, t.dt, t.source_row
from raw.tumours t
cross join raw.given g
join raw.reads r
    on r.usubjid = t.usubjid
    -- by what both files say of the reader
    and (r.eval is not distinct from t.eval or not (g.tu_eval and g.tr_eval))
    and (r.evalid is not distinct from t.evalid or not (g.tu_evalid and g.tr_evalid))
left join study.body_location l on contains(t.tuloc, l.code)
where t.problem is null
qualify row_number() over (
    partition by r.read_id, t.lesion_id
    order by t.visit nulls last, t.dt nulls last, l.list_order nulls last, t.lesion_role, t.tuloc, t.eval, t.evalid, t.source_row
) = 1
