-- grain: one row per suggestion where a payment may belong, at most three per payment
-- description: For payments with money left over, and for those that name something unknown: commitments they may belong to, each with a score
--   and its reasons. Amount counts up to 40 points, the customer 20, an id in the text 30, the due date 10; below 30 nothing is suggested.
--   Nothing follows from a suggestion until a person accepts it.
-- columns:
--   payment_id: payment
--   rank: 1 is the best
--   commitment_id: commitment it may belong to
--   version: version in force on the day of the payment, or within a week of it
--   sequence: installment the amount or the date points at (NULL = none in particular)
--   score: 0 to 100
--   reasons: what speaks for it, in words
--   amount_minor: money that looks for a place (minor units)
--   customer_id: customer of the commitment
--   is_acceptable: whether a person may accept it as it stands; a payment never goes to another customer's commitment
--   correction: what to correct at the source first (NULL = it is acceptable)
--   note: how many payments were not looked at because there are too many (NULL = all were)
with paying as (
    select p.*, s.exponent, (10 ** s.exponent)::bigint as scale,
    from matching.suggestion_payments as p
    inner join ledger.currencies as s on p.currency = s.currency
),

pairs as (
    select
        c.*,
        p.customer_id as payer_id,
        p.currency,
        p.received_date,
        p.amount_minor,
        p.is_placed,
        p.exponent,
        p.scale,
        p.left_out,
        p.reference,
    from matching.suggestion_candidates as c
    inner join paying as p on c.payment_id = p.payment_id
),

open_amounts as (
    select commitment_id, version, sum(open_minor)::bigint as open_minor, count(*) as open_count,
    from matching.suggestion_dues
    group by all
),

totals as (
    select i.commitment_id, i.version, sum(i.amount_minor)::bigint as total_minor,
    from core.installments as i
    semi join open_amounts as o on i.commitment_id = o.commitment_id and i.version = o.version
    group by all
),

-- The nearest open line before and after the payment, of its amount and of any: four looks instead of all lines of a long plan.
of_amount as (
    select commitment_id, version, open_minor, due_date, min(sequence) as sequence,
    from matching.suggestion_dues
    group by all
),

of_day as (
    select commitment_id, version, due_date, min((sequence, open_minor)) as line,
    from matching.suggestion_dues
    group by all
),

equal_before as (
    select p.payment_id, p.commitment_id, d.sequence, d.due_date, p.received_date - d.due_date as days,
    from pairs as p
    asof inner join of_amount as d
        on p.commitment_id = d.commitment_id
        and p.version = d.version
        and p.amount_minor = d.open_minor
        and p.received_date >= d.due_date
),

equal_after as (
    select p.payment_id, p.commitment_id, d.sequence, d.due_date, d.due_date - p.received_date as days,
    from pairs as p
    asof inner join of_amount as d
        on p.commitment_id = d.commitment_id
        and p.version = d.version
        and p.amount_minor = d.open_minor
        and p.received_date <= d.due_date
),

any_before as (
    select p.payment_id, p.commitment_id, d.line, d.due_date, p.received_date - d.due_date as days,
    from pairs as p
    asof inner join of_day as d on p.commitment_id = d.commitment_id and p.version = d.version and p.received_date >= d.due_date
),

any_after as (
    select p.payment_id, p.commitment_id, d.line, d.due_date, d.due_date - p.received_date as days,
    from pairs as p
    asof inner join of_day as d on p.commitment_id = d.commitment_id and p.version = d.version and p.received_date <= d.due_date
),

-- of two as far away, the one that was due first
equal_lines as (
    select payment_id, commitment_id, arg_min((sequence, due_date, days), (days, due_date)) as line,
    from (from equal_before union all from equal_after)
    group by all
),

nearest_lines as (
    select payment_id, commitment_id, arg_min((line[1], due_date, days, line[2]), (days, due_date)) as line,
    from (from any_before union all from any_after)
    group by all
),

-- text ---------------------------------------------------------------------------------------------------------------

told as (
    select
        p.payment_id,
        p.commitment_id,
        case
            when w.is_known then if(lower(trim(w.written, '.#/-_')) = lower(n.name), 30, 0)
            -- what a word is like counts only for what it is most like
            when l.likeness >= 80 and l.likeness = max(l.likeness) over (partition by p.payment_id, w.source, w.written)
                then l.likeness * 28 // 100
            else 0
        end as points,
        'its ' || if(w.source = 'reference', 'reference ', w.source || ' ')
            || if(w.is_known, 'names ', '''' || w.written || ''' is close to ') || n.kind || ' ' || n.name as words,
    from pairs as p
    inner join matching.suggestion_words as w on p.payment_id = w.payment_id and w.source <> 'customer_id'
    inner join matching.suggestion_names as n on p.commitment_id = n.commitment_id and p.version = n.version
    left join matching.suggestion_likenesses as l on l.how = 'id' and w.folded = l.left_text and n.folded = l.right_text
),

texts as (
    select payment_id, commitment_id, max(points) as points, arg_max(words, (points, -len(words), words)) as words,
    from told
    where points > 0
    group by all
),

alike_customers as (
    select p.payment_id, p.commitment_id, max(l.likeness) as likeness, arg_max(w.written, (l.likeness, w.written)) as written,
    from pairs as p
    inner join matching.suggestion_words as w on p.payment_id = w.payment_id and w.source = 'customer_id'
    inner join matching.suggestion_likenesses as l
        on l.how = 'id'
        and w.folded = l.left_text
        and translate(upper(p.customer_id), 'OQILSBZ-_/.# ', '0011582') = l.right_text
    where l.likeness >= 80 and p.customer_id <> p.payer_id
    group by all
),

named_customers as (
    select p.payment_id, p.commitment_id, l.likeness, k.customer_name,
    from pairs as p
    inner join core.customers as k on p.customer_id = k.customer_id
    inner join matching.suggestion_likenesses as l
        on l.how = 'name' and p.reference = l.left_text and k.customer_name = l.right_text
    where l.likeness >= 85
),

-- points -------------------------------------------------------------------------------------------------------------

gathered as (
    select
        p.*,
        o.open_minor,
        t.total_minor,
        e.line as equal_line,
        n.line as nearest_line,
        coalesce(x.points, 0) as text_points,
        x.words as text_words,
        a.likeness as alike,
        a.written as alike_written,
        m.likeness as name_alike,
        m.customer_name,
        count(e.line) over (partition by p.payment_id, p.customer_id = p.payer_id) - if(e.line is null, 0, 1) as rivals,
        case
            when e.line is not null then 'installment'
            when o.open_minor = p.amount_minor then 'open'
            when t.total_minor = p.amount_minor then 'total'
            when abs(n.line[4] - p.amount_minor) * 50 <= n.line[4] then 'nearly'
        end as amount_fits,
    from pairs as p
    inner join open_amounts as o on p.commitment_id = o.commitment_id and p.version = o.version
    inner join totals as t on p.commitment_id = t.commitment_id and p.version = t.version
    left join equal_lines as e on p.payment_id = e.payment_id and p.commitment_id = e.commitment_id
    left join nearest_lines as n on p.payment_id = n.payment_id and p.commitment_id = n.commitment_id
    left join texts as x on p.payment_id = x.payment_id and p.commitment_id = x.commitment_id
    left join alike_customers as a on p.payment_id = a.payment_id and p.commitment_id = a.commitment_id
    left join named_customers as m on p.payment_id = m.payment_id and p.commitment_id = m.commitment_id
),

weighed as (
    select
        *,
        coalesce(equal_line[1], nearest_line[1]) as line_sequence,
        coalesce(equal_line[2], nearest_line[2]) as due_date,
        coalesce(equal_line[3], nearest_line[3]) as days,
        abs(nearest_line[4] - amount_minor) as difference_minor,
        case amount_fits
            -- one of many of that amount says little
            when 'installment' then case when rivals = 0 then 40 when rivals <= 2 then 30 else 20 end
            when 'open' then 40
            when 'total' then 30
            when 'nearly' then 20
            else 0
        end as amount_points,
        greatest(0, 10 - days // 3) as date_points,
        case
            when customer_id = payer_id then 20
            else greatest(coalesce(alike, 0), coalesce(name_alike, 0)) * 20 // 100
        end as customer_points,
    from gathered
),

scored as (
    select
        *,
        amount_points + date_points + customer_points + text_points as score,
        amount_fits in ('installment', 'nearly') or (amount_fits is null and date_points > 0) as is_one_line,
    from weighed
    -- what has its place is moved for a word of the payment alone
    where (not is_placed and amount_points + date_points + customer_points + text_points >= 30) or (is_placed and text_points >= 22)
),

ranked as (
    select
        *,
        row_number() over (
            partition by payment_id
            order by score desc, is_in_force desc, customer_id = payer_id desc, days, commitment_id, version
        ) as rank,
    from scored
)

select
    payment_id,
    rank::integer as rank,
    commitment_id,
    version::integer as version,
    case when is_one_line then line_sequence end::integer as sequence,
    least(score, 100)::integer as score,
    array_to_string(
        list_filter(
            [
                case
                    when amount_fits = 'installment'
                        then 'equals installment ' || line_sequence || ' due ' || strftime(due_date, '%-d %b %Y')
                            || if(rivals > 0, ' (and one of at least ' || rivals || ' other commitment' || if(rivals > 1, 's', '') || ')', '')
                    when amount_fits = 'open' then 'equals all that is open on it'
                    when amount_fits = 'total' then 'equals its total'
                    when amount_fits = 'nearly'
                        then difference_minor // scale
                            || if(exponent > 0, '.' || lpad((difference_minor % scale)::varchar, exponent, '0'), '') || ' ' || currency
                            || if(nearest_line[4] > amount_minor, ' less', ' more') || ' than installment ' || line_sequence || ' due '
                            || strftime(due_date, '%-d %b %Y')
                    when is_one_line then 'near installment ' || line_sequence || ' due ' || strftime(due_date, '%-d %b %Y')
                end,
                text_words,
                case
                    when customer_id = payer_id then 'of the same customer'
                    when name_alike >= coalesce(alike, 0)
                        then 'its reference ' || if(name_alike >= 95, 'names ', 'is close to the name of ') || 'customer ' || customer_id || ', '
                            || customer_name
                    when alike is not null then 'customer ''' || alike_written || ''' is close to ' || customer_id
                end
            ],
            lambda words: words is not null
        ),
        '; '
    ) as reasons,
    amount_minor,
    customer_id,
    is_in_force and customer_id = payer_id as is_acceptable,
    case
        when customer_id <> payer_id
            then 'It is of customer ' || customer_id || ', the payment of ' || payer_id || '. If ' || customer_id || ' paid, correct the customer at the'
                || ' source: a reversal of this row, and the payment again under a new id.'
        when effective_from > received_date
            then 'It is in force from ' || strftime(effective_from, '%-d %b %Y') || ', the payment came on ' || strftime(received_date, '%-d %b %Y')
                || '. If one of the two dates is wrong, correct it at the source.'
        when not is_in_force
            then 'It was in force until ' || strftime(effective_to - 1, '%-d %b %Y') || ', the payment came on '
                || strftime(received_date, '%-d %b %Y') || '. If one of the two dates is wrong, correct it at the source.'
    end as correction,
    case when left_out > 0 then 'Only the newest 500 payments were looked at; ' || left_out || ' older ones were not.' end as note,
from ranked
where rank <= 3
order by payment_id, rank
