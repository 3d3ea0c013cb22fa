"""Asks a real Prometheus every query of every panel and every alert, while the real services work.

    make dashboards-test                      make dashboards-test ARGS=--keep

`stack run` starts the stack; this puts a little load on it and scrapes it as deploy/prometheus says. A query must return numbers, an alert must evaluate, and the metrics, labels and variables that they
name must be there. Needs Prometheus (see scripts/prometheus.py); PyYAML comes from the pinned package in `.venv`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import prometheus
import python_venv
from callers import Load
from ports import free_port

# How long Prometheus may take until it has seen enough for every query.
PATIENCE = 60
# What Grafana fills in; the window is many scrapes, as Grafana's is.
VARIABLES = {"__rate_interval": "10s", "__range": "60s", "__interval": "10s"}


def main() -> int:
    options = _arguments()
    try:
        folder = prometheus.find()
    except prometheus.NotFound as problem:
        skip = options.skip_without_prometheus
        print(f"dashboards test {'SKIPPED, NOTHING WAS TESTED' if skip else 'failed'}: {problem}")
        return 0 if skip else 1
    try:
        _continue_with_yaml()
        with tempfile.TemporaryDirectory() as data:
            run(folder / "prometheus", Path(data), options.keep)
    except (TimeoutError, python_venv.Unavailable, AssertionError) as problem:
        print(f"dashboards test failed: {problem}")
        return 1
    print("dashboards test passed")
    return 0


def run(program: Path, data: Path, keep: bool) -> None:
    """Starts Prometheus and the load, asks everything, stops both."""
    server = Server(program, data)
    try:
        server.wait_until_ready()
        with Load(os.environ["INGRESS_URL"], int(os.environ["REDIS_URL"].rpartition(":")[2])):
            ask_everything(server)
            if keep:
                print(f"Prometheus is at {server.url}; Ctrl-C stops everything")
                signal.pause()
    except KeyboardInterrupt:
        print()
    finally:
        server.process.terminate()
        server.process.wait()


class Server:
    """A Prometheus with the configuration of deploy/, except for where its targets are."""

    def __init__(self, program: Path, data: Path) -> None:
        import monitoring
        import yaml

        targets = {"ingress": os.environ["INGRESS_ADMIN_URL"], "proxy": os.environ["PROXY_URL"]}
        config = monitoring.load(monitoring.PROMETHEUS / "prometheus.yml")
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(monitoring.PROMETHEUS / pattern) for pattern in config["rule_files"]]
        for job in config["scrape_configs"]:
            for discovery in [key for key in job if key.endswith("_sd_configs")]:
                del job[discovery]
            job["static_configs"] = [{"targets": [targets[job["job_name"]].removeprefix("http://")]}]
        file = data / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [
            program,
            f"--config.file={file}",
            f"--storage.tsdb.path={data / 'prometheus'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]
        self._log = data / "prometheus.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"Prometheus at {self.url} does not get ready:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def get(self, path: str, **parameters: str) -> dict:
        """The data of an answer; an error is none."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with _open(url) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters or path}: {json.load(error)['error']}") from None

    def result(self, expression: str) -> list[dict]:
        """The series of a query at this moment whose value is a number."""
        result = self.get("query", query=expression)["result"]
        return [series for series in result if not math.isnan(float(series["value"][1]))]

    def has_series(self, selector: str) -> bool:
        """True if it has ever seen one."""
        return bool(self.get("series", **{"match[]": selector}))

    def _is_ready(self) -> bool:
        try:
            with _open(f"{self.url}/-/ready"):
                return True
        except OSError:
            return False


def ask_everything(server: Server) -> None:
    """Every question, again and again until it is answered or time is over."""
    import monitoring

    questions = [(query.where, lambda query=query: _panel(server, query)) for query in monitoring.queries()]
    questions += [(rule["alert"], lambda rule=rule: _alert(server, rule)) for rule in monitoring.alerts()]
    questions += [
        (f"{file}: ${variable['name']}", lambda query=variable["query"]["query"]: _variable(server, query))
        for file, dashboard in monitoring.dashboards().items()
        for variable in dashboard["templating"]["list"]
    ]
    questions.append(("the rules as Prometheus evaluates them", lambda: _rules(server, len(monitoring.alerts()))))
    deadline = time.monotonic() + PATIENCE
    open_questions = questions
    while open_questions:
        answered = [(where, ask, ask()) for where, ask in open_questions]
        open_questions = [(where, ask) for where, ask, problem in answered if problem]
        if time.monotonic() > deadline:
            problems = "\n".join(f"  {where}: {problem}" for where, _, problem in answered if problem)
            raise AssertionError(f"after {PATIENCE} s under load\n{problems}")
        time.sleep(0.5)
    print(f"asked {len(questions)} questions, and all were answered")


def _panel(server: Server, query) -> str | None:
    """A query returns numbers with the labels that its legend names."""
    expression = _filled(query.expression)
    result = server.result(expression)
    if not result:
        return f"no data for {expression}"
    missing = [label for label in re.findall(r"{{\s*(\w+)\s*}}", query.legend) if label not in result[0]["metric"]]
    return f"no label {missing} for the legend {query.legend!r} of {expression}" if missing else None


def _alert(server: Server, rule: dict) -> str | None:
    """An alert's expression evaluates, and what it looks at is there."""
    import monitoring

    server.get("query", query=rule["expr"])
    for name, matchers in monitoring.selectors(rule["expr"]):
        # Which status or reason there is, depends on what went wrong; that there is one, does not.
        anything = re.sub(r'\b(status|reason)(=~|=|!=|!~)"[^"]*"', r'\1!=""', matchers)
        if not server.has_series(name + anything):
            return f"there is no {name}{anything}"
    return None


def _variable(server: Server, query: str) -> str | None:
    """`label_values(selector, label)` has values."""
    selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()
    series = server.get("series", **{"match[]": _filled(selector)})
    return None if any(label in labels for labels in series) else f"no values of {query}"


def _rules(server: Server, expected: int) -> str | None:
    """Prometheus itself has evaluated every rule without an error."""
    rules = [rule for group in server.get("rules")["groups"] for rule in group["rules"]]
    broken = [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in rules if rule["health"] != "ok"]
    if len(rules) != expected:
        return f"{len(rules)} rules instead of {expected}"
    return ", ".join(broken) or None


def _filled(expression: str) -> str:
    """As Grafana sends it, with `All` chosen everywhere."""
    return re.sub(r"\$(\w+)", lambda variable: VARIABLES.get(variable[1], ".*"), expression)


def _open(url: str):
    # Never through a proxy: this is our own child.
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10)


def _continue_with_yaml() -> None:
    """Starts over in the project's environment, which has PyYAML."""
    python = python_venv.ensure("pyyaml")
    if Path(sys.prefix).resolve() != python_venv.VENV.resolve():
        sys.stdout.flush()
        os.execv(python, [str(python), *sys.argv])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skip-without-prometheus", action="store_true", help="no Prometheus is no failure")
    parser.add_argument("--keep", action="store_true", help="go on until Ctrl-C, to look around")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
