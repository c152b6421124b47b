"""The asset graph as people see it in the UI. A change of it shows in the diff of golden/graph.txt; PTP_UPDATE_GOLDEN=1 rewrites it."""

import os
from pathlib import Path

import dagster as dg

from ptp_pipeline.build import build_defs

GOLDEN = Path(__file__).parent / "golden" / "graph.txt"


def test_the_asset_graph_is_the_one_written_down() -> None:
    defs = build_defs()
    dg.Definitions.validate_loadable(defs)
    specs = sorted(defs.resolve_all_asset_specs(), key=lambda s: s.key.path)
    reads = {spec.key.to_user_string(): ", ".join(sorted(dep.asset_key.to_user_string() for dep in spec.deps)) for spec in specs}
    checks = sorted(defs.resolve_asset_graph().asset_check_keys, key=str)
    lines = [f"{name} <- {what}".rstrip(" <-") for name, what in reads.items()]
    lines += [f"check {key.name} on {key.asset_key.to_user_string()}" for key in checks]
    text = "\n".join(lines) + "\n"
    if os.environ.get("PTP_UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_every_table_has_a_description_and_belongs_to_an_org() -> None:
    for spec in build_defs().resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.partitions_def is not None, spec.key


def test_every_check_of_the_graph_blocks_what_comes_after_it() -> None:
    graph = build_defs().resolve_asset_graph()
    assert len(graph.asset_check_keys) > 20
    assert all(graph.get_check_spec(key).blocking for key in graph.asset_check_keys)


def test_runs_take_few_steps_because_each_costs() -> None:
    plan = build_defs().resolve_job_def("run_org").graph.node_dict
    assert sorted(plan) == ["core", "intake", "ledger_snapshot", "matching", "outcomes", "published"]
