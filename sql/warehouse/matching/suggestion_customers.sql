-- grain: one row per payment and customer whose commitments it may belong to
-- description: Who paid, customers whose id the payment names or nearly names, and those with a rare word of their name in its reference. A word
--   that twenty share says nothing.
-- columns:
--   payment_id: payment
--   customer_id: customer
-- keep: no
with reference_words as (
    select distinct payment_id, unnest(string_split_regex(lower(strip_accents(reference)), '[^a-z]+')) as word,
    from matching.suggestion_payments
    where reference is not null
),

name_words as (
    select customer_id, unnest(list_distinct(string_split_regex(lower(strip_accents(customer_name)), '[^a-z]+'))) as word,
    from core.customers
    where customer_name <> customer_id
),

rare_words as (
    select word, customer_id,
    from name_words
    semi join reference_words using (word)
    where len(word) >= 4
    qualify count(*) over (partition by word) <= 20
)

select payment_id, customer_id,
from matching.suggestion_payments
union
select payment_id, customer_id,
from matching.suggestion_mentions
where kind = 'customer'
union
(
    select w.payment_id, r.customer_id,
    from reference_words as w
    inner join rare_words as r on w.word = r.word
    group by w.payment_id, r.customer_id
    qualify row_number() over (partition by w.payment_id order by count(*) desc, r.customer_id) <= 5
)
