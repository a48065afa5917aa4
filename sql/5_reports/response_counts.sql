-- one row per: response basis and group
-- why: one count of responses that every table of responses is made from
-- source: PROTOCOL, Statistics and figures (denominator: all, not evaluable included)
with response as (
    select 'first_line' as response_basis, 'centre' as grouping, siteid as group_key, bor as response from derived.adsl where eligible_fl = 'Y'
    union all
    select 'first_line', 'centre', rtsiteid, bor from derived.adsl where eligible_fl = 'Y'
    union all
    select 'after_srt', 'centre', siteid, srt_response from derived.adsl where eligible_fl = 'Y' and rtstdt is not null
    union all
    select 'after_srt', 'centre', rtsiteid, srt_response from derived.adsl where eligible_fl = 'Y' and rtstdt is not null
    union all
    select 'first_line', 'all', 'patients', bor from derived.adsl where eligible_fl = 'Y'
    union all
    select 'after_srt', 'all', 'patients', srt_response from derived.adsl where eligible_fl = 'Y' and rtstdt is not null
    union all
    select 'after_srt', unnest(['anatomic_site', 'all']), unnest([t.anatomic_site, 'anatomic_sites']), t.response
    from derived.treated_sites t
    join derived.adsl s using (usubjid)
    where s.eligible_fl = 'Y'
    union all
    select 'after_srt', 'all', 'lesions', r.response
    from assessed.irradiated_lesions i
    join derived.adsl s using (usubjid)
    left join derived.treated_sites t on t.usubjid = i.usubjid and t.rtsiteid = i.rtsiteid and t.target_id = i.target_id
    -- each lesion at the restaging of its own target
    left join assessed.infield_responses r on r.usubjid = i.usubjid and r.lesion_id = i.lesion_id and r.rsdt = t.restagingdt
    where s.eligible_fl = 'Y'
)
select
    response_basis, grouping, group_key, count(*) as n,
    count(*) filter (response = 'CR') as n_cr,
    count(*) filter (response = 'PR') as n_pr,
    count(*) filter (response in ('SD', 'NON-CR/NON-PD')) as n_sd,
    count(*) filter (response = 'PD') as n_pd,
    count(*) filter (coalesce(response, 'NE') in ('NE', 'NA')) as n_ne
from response
where group_key is not null
group by response_basis, grouping, group_key
