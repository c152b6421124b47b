-- grain: one row per pair of texts that are compared, by how
-- description: How alike the words of payments are to the ids and names of their candidates. The pairs are made here; the likeness is put in by
--   warehouse/suggestions.py, a whole column at once.
-- columns:
--   how: id (character by character) or name (word by word)
--   left_text: what the payment says
--   right_text: what the candidate is called
--   likeness: 0 to 100, rounded down
-- keep: no
with ids as (
    select w.folded as left_text, n.folded as right_text,
    from matching.suggestion_candidates as c
    inner join matching.suggestion_words as w on c.payment_id = w.payment_id
    inner join matching.suggestion_names as n on c.commitment_id = n.commitment_id and c.version = n.version
    where not w.is_known and w.source <> 'customer_id'
    union
    select w.folded, translate(upper(c.customer_id), 'OQILSBZ-_/.# ', '0011582'),
    from matching.suggestion_candidates as c
    inner join matching.suggestion_words as w on c.payment_id = w.payment_id
    where w.source = 'customer_id'
),

names as (
    select distinct p.reference as left_text, k.customer_name as right_text,
    from matching.suggestion_candidates as c
    inner join matching.suggestion_payments as p on c.payment_id = p.payment_id
    inner join core.customers as k on c.customer_id = k.customer_id
    where regexp_matches(p.reference, '[[:alpha:]]{4}') and len(k.customer_name) >= 5 and k.customer_name <> k.customer_id
)

select 'id' as how, left_text, right_text, 0::integer as likeness,
from ids
where abs(len(left_text) - len(right_text)) <= 2
union all
select 'name', left_text, right_text, 0,
from names
