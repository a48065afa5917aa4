-- one row per: printed row of Tables I to III, subject and record of a hospital's file that it rests on
-- why: whoever doubts a count looks at the rows it was counted from
-- source: PROTOCOL, Every row carries where it came from
with eligible as (
    select * from derived.adsl where eligible_fl = 'Y'
),
person as (
    select s.usubjid, s.centre, s.source_file, s.source_row, e.* exclude (usubjid)
    from harmonised.subjects s join eligible e using (usubjid)
),
measured as (
    select usubjid, lesion_id, anatomic_site, adt, centre, source_file, source_row
    from assessed.adtr join eligible using (usubjid) where source_row is not null
),
target as (
    select t.usubjid, t.target_id, t.anatomic_site, t.centre, t.source_file, t.source_row, c.source_file as course_file, c.source_row as course_row
    from harmonised.targets t
    join eligible using (usubjid)
    left join harmonised.courses c on c.usubjid = t.usubjid and c.centre = t.centre and c.course_id = t.course_id
),
behind as (
    select
        unnest(['subjects', 'age', 'sex.' || sex, 'histology.' || histology, 'ecog.' || ecog, case nephrectomy_fl when 'N' then 'nephrectomy.N' end])
            as row_key,
        usubjid, centre, source_file, source_row
    from person
    union all
    select case s.prtrt when 'nephrectomy' then 'nephrectomy.Y' else 'metastasectomy_' || s.anatomic_site || '.Y' end, s.usubjid, s.centre, s.source_file,
        s.source_row
    from harmonised.surgeries s join eligible using (usubjid)
    union all
    select case ietestcd when 'prior_therapy' then 'prior_rt.' else 'prior_io.' end || ieorres, c.usubjid, c.centre, c.source_file, c.source_row
    from harmonised.criteria c join eligible using (usubjid) where ietestcd in ('prior_therapy', 'prior_immunotherapy')
    union all
    select 'first_line', x.usubjid, x.centre, x.source_file, x.source_row
    from harmonised.exposures x join eligible e on e.usubjid = x.usubjid and e.trtsdt = x.exstdt
    union all
    select 'baseline.' || l.anatomic_site, m.usubjid, m.centre, m.source_file, m.source_row
    from assessed.series_lesions l join measured m on m.usubjid = l.usubjid and m.lesion_id = l.lesion_id and m.adt = l.baseline_dt
    where l.series = 'first_line'
    union all
    select 'bor.' || b.bor, m.usubjid, m.centre, m.source_file, m.source_row
    from assessed.best_responses b join measured m on m.usubjid = b.usubjid and m.adt = b.bor_dt
    union all
    select unnest(['oligo_pattern.' || e.oligo_pattern, 'oligo.' || g.anatomic_site]), m.usubjid, m.centre, m.source_file, m.source_row
    from assessed.lesion_progressions g
    join eligible e using (usubjid)
    join measured m on m.usubjid = g.usubjid and m.lesion_id = g.lesion_id and m.adt = e.oligodt
    union all
    select unnest(['treated_sites', 'treated_sites.' || e.n_treated_sites, 'technique.' || e.technique]), t.usubjid, t.centre, t.source_file, t.source_row
    from target t join eligible e using (usubjid)
    union all
    select unnest(['dose', 'fractions', case e.stereotactic_fl when 'Y' then 'dose.' || a.dose_group end]), t.usubjid, t.centre, t.course_file, t.course_row
    from target t join eligible e using (usubjid) join study.anatomic_site a on a.code = t.anatomic_site
    union all
    select unnest(['srt.' || e.srt_response, 'srt.' || i.anatomic_site || '.' || r.response]), i.usubjid, i.centre, i.source_file, i.source_row
    from assessed.infield_responses i
    join eligible e using (usubjid)
    join assessed.srt_responses r on r.usubjid = i.usubjid and r.target_id = i.target_id and r.restagingdt = i.rsdt
    union all
    -- never restaged, so that the target itself stands for it
    select unnest([case e.srt_response when 'NE' then 'srt.NE' end, 'srt.' || t.anatomic_site || '.NE']), t.usubjid, t.centre, t.source_file, t.source_row
    from target t
    join eligible e using (usubjid)
    join assessed.srt_responses r on r.usubjid = t.usubjid and r.target_id = t.target_id and r.restagingdt is null
    union all
    select 'second_pattern.' || coalesce(p.second_pattern, 'unplaced'), usubjid, p.second_centre, p.second_source_file, p.second_source_row
    from assessed.progressions p join eligible using (usubjid)
    union all
    select unnest(['tox_any.' || g.toxicity_group, case when d.grade34_fl = 'Y' and w.after <= p.severe_grade_max::varchar then 'tox_g34.' || g.toxicity_group end]), a.usubjid, a.centre,
        a.source_file, a.source_row
    from harmonised.adverse_events a
    join study.toxicity_groups g on g.code = a.aedecod
    left join derived.merged_events m on m.usubjid = a.usubjid and m.aedecod = a.aedecod and m.aestdt = a.aestdt
    join derived.adae d on d.usubjid = a.usubjid and d.aedecod = a.aedecod and d.aestdt is not distinct from coalesce(m.event_dt, a.aestdt)
        and (a.aestdt is not null or d.centres = a.centre and d.aeendt is not distinct from a.aeendt)
    join derived.worst_grades w on w.usubjid = a.usubjid and w.term_level = 'group' and w.term = g.toxicity_group
    cross join study.protocol p
    where d.srt_window_fl = 'Y'
)
select distinct row_key, usubjid, centre, source_file, source_row from behind
where row_key is not null and source_row is not null
