-- check: quarantine_says_why
-- stage: raw
-- message: Every row in quarantine must name its file and line, the rule it breaks and what is wrong.
select feed, file_name, line_number, rule, message,
from raw.quarantine
where not (
    coalesce(file_name, '') <> '' and coalesce(line_number, 0) > 0 and coalesce(rule, '') <> '' and coalesce(message, '') <> ''
)
