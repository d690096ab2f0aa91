"""The alert rules for Prometheus, as Prometheus itself reads and runs them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RULES = ROOT / "deploy/prometheus/llm-manager.rules.yml"
CASES = HERE / "alerts.yml"


def promtool(*arguments: str) -> str:
    """Return what promtool says. It fails the test if promtool finds a fault."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing; Debian's package prometheus has it")
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(RULES))


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(CASES))


def test_each_alert_is_tested_both_ways_and_in_the_documentation() -> None:
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    alerts = {rule["alert"] for rule in group["rules"]}
    cases = [
        case
        for test in yaml.safe_load(CASES.read_text("utf-8"))["tests"]
        for case in test["alert_rule_test"]
    ]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    is_quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert fires == is_quiet == alerts
    page = (ROOT / "docs/metrics.md").read_text("utf-8")
    assert {name for name in alerts if f"`{name}`" not in page} == set()
