-- one row per: centre and patient that it knows (identification log of the oncology centre, crosswalk of the other)
select onc_centre as centre, onc_no as subject_no, usubjid, sex, birth_year, null as link_token from world.patients
union all
select rt_centre, rt_no, usubjid, sex, birth_year, null from world.patients
