"""Alert rules and dashboards as files; scripts/dashboards_test.py asks a real Prometheus about them.

Needs PyYAML: run with the interpreter that `scripts/python_venv.py redis pyyaml` prints.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SCRIPTS))

import monitoring  # noqa: E402
import prometheus  # noqa: E402
from monitoring import PROMETHEUS, RULES  # noqa: E402

OPERATIONS = SCRIPTS.parent / "docs" / "OPERATIONS.md"
# What promtool may take at most, in seconds.
PATIENCE = 120


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Its answer; the test is skipped, loudly, where there is none."""
    try:
        program = prometheus.find() / "promtool"
    except prometheus.NotFound as problem:
        print(f"\nSKIPPED, NOT TESTED: alert rules and their tests: {problem}", file=sys.stderr)
        raise unittest.SkipTest(str(problem)) from None
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


class Alerts(unittest.TestCase):
    def test_promtool_accepts_configurations_and_rules(self) -> None:
        for command, files in (
            ("config", [PROMETHEUS / "prometheus.yml", PROMETHEUS / "cluster.yml"]),
            ("rules", sorted(RULES.glob("*.yml"))),
        ):
            done = promtool("check", command, *files)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alert_fires_and_stays_silent_as_its_tests_say(self) -> None:
        files = sorted((RULES / "tests").glob("*.yml"))
        self.assertTrue(files)

        done = promtool("test", "rules", *files)

        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alert_has_a_test_that_it_fires_and_one_that_it_does_not(self) -> None:
        fires, silent = set(), set()
        for file in (RULES / "tests").glob("*.yml"):
            for case in monitoring.load(file)["tests"]:
                for check in case["alert_rule_test"]:
                    (fires if check["exp_alerts"] else silent).add(check["alertname"])

        names = {alert["alert"] for alert in monitoring.alerts()}
        self.assertEqual(names - fires, set(), "no test shows that these fire")
        self.assertEqual(names - silent, set(), "no test shows that these stay silent")

    def test_every_alert_says_how_bad_it_is_and_where_its_runbook_is(self) -> None:
        headings = re.findall(r"^### (Streamgate\w+)$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
        names = [alert["alert"] for alert in monitoring.alerts()]
        for alert in monitoring.alerts():
            name = alert["alert"]
            with self.subTest(name):
                self.assertIn(alert["labels"]["severity"], ("critical", "warning"))
                self.assertEqual(
                    alert["annotations"]["runbook_url"], f"docs/OPERATIONS.md#{name.lower()}"
                )
                self.assertTrue(alert["annotations"]["summary"])
        self.assertEqual(sorted(names), sorted(headings), "alerts and the runbooks in docs/OPERATIONS.md differ")

    def test_compose_and_cluster_scrape_the_jobs_that_alerts_and_dashboards_know(self) -> None:
        for name in ("prometheus.yml", "cluster.yml"):
            jobs = [job["job_name"] for job in monitoring.load(PROMETHEUS / name)["scrape_configs"]]
            self.assertEqual(sorted(jobs), ["ingress", "proxy"], name)


class Finding(unittest.TestCase):
    def test_without_prometheus_and_without_apt_it_says_how_to_get_one(self) -> None:
        with tempfile.TemporaryDirectory() as empty, mock.patch.dict("os.environ", {"PATH": empty}):
            with self.assertRaises(prometheus.NotFound) as refusal:
                prometheus.find(Path(empty) / "tools")

        self.assertIn("apt install prometheus", str(refusal.exception))

    def test_what_is_on_path_is_taken(self) -> None:
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict("os.environ", {"PATH": folder}):
            for program in prometheus.PROGRAMS:
                (Path(folder) / program).touch(mode=0o755)

            self.assertEqual(prometheus.find(Path(folder) / "tools"), Path(folder))


class Dashboards(unittest.TestCase):
    def test_the_provisioned_source_is_the_one_that_every_panel_asks(self) -> None:
        sources = monitoring.load(monitoring.GRAFANA / "provisioning" / "datasources" / "prometheus.yml")
        known = [{"type": source["type"], "uid": source["uid"]} for source in sources["datasources"]]
        self.assertEqual(len(known), 1)
        for file, dashboard in monitoring.dashboards().items():
            asked = [panel["datasource"] for panel in monitoring.panels(dashboard)]
            asked += [target["datasource"] for panel in monitoring.panels(dashboard) for target in panel["targets"]]
            asked += [part["datasource"] for part in dashboard["templating"]["list"]]
            asked += [part["datasource"] for part in dashboard["annotations"]["list"]]
            self.assertEqual([source for source in asked if source not in known], [], file)

    def test_every_dashboard_and_every_panel_has_its_identity_and_says_what_it_shows(self) -> None:
        uids = [dashboard["uid"] for dashboard in monitoring.dashboards().values()]
        self.assertEqual(sorted(uids), ["streamgate-gateway", "streamgate-processes", "streamgate-streams"])
        for file, dashboard in monitoring.dashboards().items():
            ids = [panel["id"] for panel in dashboard["panels"]]
            self.assertEqual(len(set(ids)), len(ids), file)
            for panel in monitoring.panels(dashboard):
                where = f"{file}: {panel['title']}"
                self.assertTrue(panel["title"] and panel["description"], where)
                letters = [target["refId"] for target in panel["targets"]]
                self.assertTrue(letters and len(set(letters)) == len(letters), where)
                if len(letters) > 1:
                    self.assertTrue(all(target["legendFormat"] for target in panel["targets"]), where)

    def test_no_panel_lies_on_another_or_outside_the_page(self) -> None:
        for file, dashboard in monitoring.dashboards().items():
            taken: dict[tuple[int, int], str] = {}
            for panel in dashboard["panels"]:
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24, f"{file}: {panel['title']}")
                for x in range(place["x"], place["x"] + place["w"]):
                    for y in range(place["y"], place["y"] + place["h"]):
                        other = taken.setdefault((x, y), panel["title"])
                        self.assertEqual(other, panel["title"], f"{file}: both at {x}, {y}")

    def test_every_variable_in_a_query_is_one_of_the_dashboard_and_every_one_is_used(self) -> None:
        for file, dashboard in monitoring.dashboards().items():
            text = " ".join(target["expr"] for panel in monitoring.panels(dashboard) for target in panel["targets"])
            used = {name for name in re.findall(r"\$(\w+)", text) if not name.startswith("__")}
            self.assertEqual(used, {variable["name"] for variable in dashboard["templating"]["list"]}, file)


if __name__ == "__main__":
    unittest.main()
