-- one row per: subject of an oncology centre
-- unit: year
-- why: only linked subjects are assessed; the radiotherapy centre comes from its crosswalk
-- source: CDISC SDTM DM; PROTOCOL, Linking
with known as (
    select
        usubjid, any_value(link_state) as link_state, min(birth_year) as birth_year,
        min(centre) filter (centre_kind = 'radiotherapy') as rtsiteid
    from harmonised.links group by usubjid
)
select
    s.usubjid, s.centre as siteid, k.rtsiteid, s.sex, s.age_years, s.histology, s.ecog, k.birth_year, k.link_state,
    s.centre, s.delivery_id, s.file_sha256, s.source_file, s.source_row
from staged.subjects s
join known k using (usubjid)
-- a subject that two oncology centres send is a conflict; the first keeps its row so that the finding has a place
qualify row_number() over (partition by s.usubjid order by s.centre, s.source_file, s.source_row) = 1
