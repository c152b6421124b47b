-- check: published_no_floating_point
-- stage: published
-- message: No published column may be a floating-point number: money and rates are exact decimals.
select table_name, column_name, data_type
from duckdb_columns()
where schema_name = 'published' and data_type in ('DOUBLE', 'FLOAT', 'HUGEINT')
