"""The one partition dimension: an org. Days are not partitions; a run answers for one as_of and converges."""

import dagster as dg

ORGS = "org"
orgs_partitions = dg.DynamicPartitionsDefinition(name=ORGS)
