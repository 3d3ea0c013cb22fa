"""The compose file of examples/events, checked without a container engine."""

from __future__ import annotations

import os
import unittest
from unittest import mock

import tools

COMPOSE = tools.ROOT / "examples/events/compose.yaml"
SECRETS = {"EVENTS_JWT_KEYS": "main:secret", "EVENTS_ADMIN_PASSWORD": "secret", "POSTGRES_PASSWORD": "secret"}


class Compose(unittest.TestCase):
    def test_a_compose_implementation_understands_it(self) -> None:
        podman_compose = tools.packages("podman-compose") / "podman-compose"

        # A dry run asks for no podman.
        with mock.patch.dict(os.environ, SECRETS):
            understood = tools.run(podman_compose, "--dry-run", "-f", COMPOSE, "config")

        for service in ("redis", "postgres", "api", "member", "consumer"):
            self.assertIn(f"\n  {service}:\n", understood)
        self.assertIn("postgres://events:secret@postgres/events", understood)

    def test_it_has_no_secret_of_its_own(self) -> None:
        services = tools.yaml().safe_load(COMPOSE.read_text())["services"]

        for name in ("EVENTS_JWT_KEYS", "EVENTS_ADMIN_PASSWORD"):
            self.assertRegex(services["api"]["environment"][name], r"^\$\{" + name + r":\?")
        self.assertIsNone(services["postgres"]["environment"]["POSTGRES_PASSWORD"])
        self.assertEqual([name for name, service in services.items() if "ports" in service], ["api"])


if __name__ == "__main__":
    unittest.main()
