-- one row per: linked subject
-- unit: year, day
-- why: everything that tables group by, once
-- source: CDISC ADaM ADSL; Paper, Table I
with history as (
    select
        usubjid,
        bool_or(prtrt = 'nephrectomy') as nephrectomy,
        bool_or(prtrt = 'metastasectomy' and anatomic_site = 'lung') as metastasectomy_lung
    from harmonised.surgeries group by usubjid
),
declared as (
    select
        usubjid,
        max(ieorres) filter (ietestcd = 'prior_therapy') as prior_rt_fl,
        max(ieorres) filter (ietestcd = 'prior_immunotherapy') as prior_io_fl
    from harmonised.criteria group by usubjid
),
site_count as (
    select
        usubjid, count(*) filter (oligo_fl = 'Y') as n_oligo_sites, count(*) filter (treated_fl = 'Y') as n_treated_sites
    from derived.subject_sites group by usubjid
),
treatment as (
    select
        usubjid, arg_max(technique, struct_pack(dose := dose_gy, id := target_id)) as technique,
        max(stereotactic_fl) as stereotactic_fl
    from derived.treated_sites group by usubjid
),
srt as (
    select usubjid, max(adt) as restagingdt, max(avalc) as srt_response from assessed.adrs where paramcd = 'SRTRESP' group by usubjid
)
select
    s.usubjid, s.siteid, s.rtsiteid, s.age_years, s.sex, s.histology, s.ecog,
    case when h.nephrectomy then 'Y' else 'N' end as nephrectomy_fl,
    case when h.metastasectomy_lung then 'Y' else 'N' end as metastasectomy_lung_fl,
    c.prior_rt_fl, c.prior_io_fl,
    e.status as eligibility,
    case e.status when 'eligible' then 'Y' else 'N' end as eligible_fl,
    d.trtsdt, d.trtedt, b.bor, b.cbor, p.oligodt, p.oligo_pattern, p.n_progressing, p.n_new,
    coalesce(n.n_oligo_sites, 0) as n_oligo_sites, coalesce(n.n_treated_sites, 0) as n_treated_sites,
    f.rtstdt, d.rtendt, t.technique, t.stereotactic_fl, r.restagingdt, r.srt_response, p.seconddt, p.second_pattern, p.new_lesion_fl,
    case x.drug_state when 'kept' then 0 else x.days_off end as interrupted_days, x.reason as interruption_reason,
    case when x.dose_after_mg = x.dose_before_mg then 'Y' when x.dose_after_mg is not null then 'N' end as same_dose_fl,
    d.next_therapy_dt, d.death_dt, d.fudt, p.last_assessed_dt
from assessed.subject_dates d
join harmonised.subjects s using (usubjid)
join assessed.progressions p using (usubjid)
-- radiotherapy for pain before the oligo-progression is not its treatment
left join assessed.oligo_courses f using (usubjid)
left join validated.eligibility e using (usubjid)
left join assessed.best_responses b using (usubjid)
left join history h using (usubjid)
left join declared c using (usubjid)
left join site_count n using (usubjid)
left join treatment t using (usubjid)
left join derived.drug_around_rt x using (usubjid)
left join srt r using (usubjid)
