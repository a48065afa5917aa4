-- one row per: irradiated target and lesion of the oncology centre
-- why: by the label of the referral, or by its labels joined by `+`; without one, every lesion at that anatomic site
--     (narrowed in assessed.irradiated_lesions)
-- source: PROTOCOL, Linking; FORMATS, Radiotherapy centres
select
    t.usubjid, t.centre, t.target_id, l.lesion_id,
    case when t.lesion_label is null then 'anatomic_site' else 'label' end as link_basis
from harmonised.targets t
join harmonised.lesions l
    on l.usubjid = t.usubjid
    and (
        l.lesion_id = t.lesion_label
        or list_contains(list_transform(string_split(t.lesion_label, '+'), lambda x: trim(x)), l.lesion_id)
        or (t.lesion_label is null and l.anatomic_site = t.anatomic_site)
    )
