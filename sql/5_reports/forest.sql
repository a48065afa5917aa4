-- one row per: section of the forest and group, and one for all of the section
-- unit: %, with Clopper-Pearson limits
-- why: do centres and anatomic sites respond alike? each centre by the treatment that it gave
-- source: PROTOCOL, Statistics and figures (forest by centre and anatomic site)
with section as (
    select * from (values
        (1, 'Irradiated sites after radiotherapy', 'after_srt', 'anatomic_site', null, 'anatomic_sites'),
        (2, 'Patients after radiotherapy, by radiotherapy centre', 'after_srt', 'centre', 'radiotherapy', 'patients'),
        (3, 'Patients on the first line, by oncology centre', 'first_line', 'centre', 'oncology', 'patients')
    ) v (section_no, section, response_basis, grouping, centre_kind, whole)
),
place as (
    select 'anatomic_site' as grouping, null as centre_kind, code as group_key, label, list_order from study.anatomic_site
    union all
    select 'centre', centre_kind, centre, title, row_number() over (order by centre) from study.centres
),
line as (
    select s.section_no, s.section, s.response_basis, s.grouping, p.group_key, p.label, p.list_order, 'N' as whole_fl
    from section s
    join place p on p.grouping = s.grouping and p.centre_kind is not distinct from s.centre_kind
    union all
    select section_no, section, response_basis, 'all', whole, 'All', null, 'Y' from section
)
select
    row_number() over (order by l.section_no, l.list_order nulls last) as row_no, l.section, l.label, l.whole_fl,
    r.n_cr + r.n_pr as n_responders, r.n, r.orr_pct, r.orr_lcl, r.orr_ucl
from line l
join reports.response_rates r
    on r.response_basis = l.response_basis and r.grouping = l.grouping and r.group_key = l.group_key
