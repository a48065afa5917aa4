-- one row per: query and answer that holds a reply to it which counts
-- why: an unknown word or two replies that differ say nothing; a reply that stands in the sheet since last time is not a new one
-- source: QUALITY, Findings and the life of a query (a centre answers by returning the list)
with given as (
    select
        query_id, centre, epoch, delivery_id, any_value(site_reply) as site_reply,
        min_by(struct_pack(site_comment, replied_by, replied_on), (source_file, length(source_row), source_row)) as more
    from staged.replies
    where site_reply in ('corrected', 'confirmed', 'cannot_obtain')
    group by query_id, centre, epoch, delivery_id
    having count(distinct site_reply) = 1
),
in_order as (
    select
        g.*, coalesce(f.cause_id, g.query_id) as cause_id, lag((g.site_reply, g.more)) over life as before,
        lag(g.epoch) over life as epoch_before
    from given g
    asof left join staged.failed_before f on f.query_id = g.query_id and g.epoch > f.epoch
    window life as (partition by g.query_id, g.centre order by g.epoch)
)
select
    query_id, centre, epoch, delivery_id, site_reply, more.site_comment as site_comment, more.replied_by as replied_by,
    more.replied_on as replied_on
from in_order o
where
    (site_reply, more) is distinct from before
    -- one reply stands beside all that has its root cause
    and not exists (
        select 1 from in_order e
        where
            e.cause_id = o.cause_id and e.centre = o.centre and e.query_id <> o.query_id and e.epoch < o.epoch
            and o.more.replied_on is not null and (e.site_reply, e.more) is not distinct from (o.site_reply, o.more)
    )
    -- what was settled since then is asked anew, with empty cells
    or more.replied_on is null and exists (
        select 1 from staged.failed_before f
        where f.query_id = o.query_id and f.failing_fl = 'N' and f.epoch >= o.epoch_before and f.epoch < o.epoch
    )
