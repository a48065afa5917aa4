-- one row per: patient and criterion
-- why: for a patient who is not eligible one declaration, drawn by lot, is the other way round
with drawn as (select code from world.codes where list = 'criterion' and code <> 'prior_immunotherapy'),
criterion as (
    select
        code, code in ('histology_confirmed', 'first_line', 'adequate_function') as inclusion,
        row_number() over (order by code) - 1 as lot, (select count(*) from drawn) as n_lots
    from drawn
    union all
    select 'prior_immunotherapy', false, -1, 1
)
select
    p.onc_centre as centre, p.onc_no as subject_no, p.usubjid, c.code as ietestcd,
    case when c.inclusion <> (p.eligible is not distinct from 'N' and c.lot = floor(world.draw(p.patient, 'criterion') * c.n_lots))
        then 'Y' else 'N' end as ieorres
from world.patients p cross join criterion c
