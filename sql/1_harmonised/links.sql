-- one row per: identification-log or crosswalk row of a centre
-- why: a subject is linked when one oncology and one radiotherapy centre send its study code and agree on sex, birth year and token
-- source: ISO 7064 mod 37,36 (check character); PROTOCOL, Linking
with coded as (
    select
        l.usubjid, l.local_id, l.sex, l.birth_year, lower(l.link_token) as link_token,
        c.centre_kind, l.centre, l.delivery_id, l.file_sha256, l.source_file, l.source_row,
        '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ' as alphabet,
        list_transform(string_split(replace(l.usubjid, '-', ''), ''), lambda x: instr(alphabet, x) - 1) as digits,
        regexp_full_match(l.usubjid, '[0-9A-Z]+-[0-9A-Z]+-[0-9A-Z]+-[0-9A-Z]') as is_shaped,
        lower(split_part(l.usubjid, '-', 2)) in (select centre from study.centres where centre_kind = 'oncology') as is_of_a_centre
    from staged.links l
    join study.centres c using (centre)
    where l.usubjid is not null
),
checked as (
    -- each step: add the digit modulo 36 (0 stands for 36), then double modulo 37; the last sum leaves 1
    select
        * exclude (alphabet, digits),
        list_min(digits) >= 0 and (list_reduce(  -- noqa: PRS
            digits[:-2],
            lambda p, v: ((p + v - 1) % length(alphabet) + 1) * 2 % (length(alphabet) + 1),
            length(alphabet)
        ) + digits[-1]) % length(alphabet) = 1 as is_valid,
        -- two values differ where the smallest and the largest do, which costs far less than to count them
        min(usubjid) over local <> max(usubjid) over local as has_codes_of_local_id,
        link_token is not null and min(usubjid) over token <> max(usubjid) over token as has_codes_of_token,
        min(local_id) over own <> max(local_id) over own as has_local_ids
    from coded
    window local as (partition by centre, local_id), token as (partition by link_token), own as (partition by usubjid, centre)
),
agreed as (
    select
        usubjid,
        case
            when not bool_and(is_shaped) then 'the study code is not written as it is issued'
            when not bool_and(is_valid) then 'the check character does not fit the study code'
            when not bool_and(is_of_a_centre) then 'the study code names no oncology centre of this study'
            when bool_or(local_id is null) then 'the study code stands without a local identifier'
            when bool_or(has_codes_of_local_id) then 'one local identifier stands for two study codes'
            when min(centre) filter (centre_kind = 'oncology') <> max(centre) filter (centre_kind = 'oncology')
                then 'two oncology centres send this study code'
            when min(centre) filter (centre_kind = 'radiotherapy') <> max(centre) filter (centre_kind = 'radiotherapy')
                then 'two radiotherapy centres send this study code'
            when bool_or(has_local_ids) then 'two local identifiers of one centre stand for this study code'
            when bool_or(has_codes_of_token) then 'one person has two study codes (link token)'
            when min(link_token) <> max(link_token) then 'the centres disagree on the link token'
            when min(sex) <> max(sex) then 'the centres disagree on sex'
            when min(birth_year) <> max(birth_year) then 'the centres disagree on the birth year'
        end as conflict,
        -- who reads images follows no patient, and links nobody
        bool_or(centre_kind = 'oncology') and bool_or(centre_kind = 'radiotherapy') as is_of_both
    from checked group by usubjid
)
select
    c.usubjid, c.sex, c.birth_year, c.link_token, c.centre_kind,
    case when c.is_valid then 'Y' else 'N' end as check_fl,
    case when a.conflict is not null then 'conflict' when a.is_of_both then 'linked' else 'unlinked' end as link_state,
    coalesce(a.conflict, case when not a.is_of_both then 'only one kind of centre sends this study code' end) as link_reason,
    c.centre, c.delivery_id, c.file_sha256, c.source_file, c.source_row
from checked c
join agreed a using (usubjid)
