"""`stack up`, which is `make up`, with stand-ins for ingress and proxy and a real Redis server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SCRIPTS))

import redis_server  # noqa: E402
import cargo  # noqa: E402
from ports import free_port  # noqa: E402
from processes import Child, answers_ping, wait_until  # noqa: E402

STACK = cargo.binaries("debug") / "stack"

# Ready at once; answers every POST with a forecast; says when it was told to stop.
STAND_IN = """\
#!{python}
import http.server, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b"ready")

    def do_POST(self):
        self.answer(b'{{"city": "New York"}}', {status})

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        print("{name} served", self.path, flush=True)

def stop(*_):
    print("{name} was told to stop", flush=True)
    os._exit(0)

print("{name} starts", flush=True)
{when_told}
host, port = os.environ["{variable}"].rsplit(":", 1)
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


class Up:
    """`stack up` in a group of its own, as a terminal starts it, with all ports its own."""

    def __init__(self, folder: Path, options: list[str | Path] | None = None, **env: str) -> None:
        self.redis_port = free_port()
        self.env = {
            **os.environ,
            "REDIS_PORT": str(self.redis_port),
            "INGRESS_LISTEN": f"0.0.0.0:{free_port()}",
            "INGRESS_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            "PROXY_LISTEN": f"127.0.0.1:{free_port()}",
            **env,
        }
        if "REDIS_URL" not in env:
            self.env.pop("REDIS_URL", None)
        options = options or ["--bin-dir", folder, "--data-dir", folder / "redis"]
        command = [STACK, "up", *options]
        self.process = subprocess.Popen(
            command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.output = ""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.output += line

    def until(self, text: str) -> None:
        def ended() -> None:
            if self.process.poll() is not None:
                self.reader.join(5)
                if text not in self.output:
                    raise AssertionError(f"ended without {text!r}:\n{self.output}")

        wait_until(lambda: text in self.output, text, 30, ended)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.exit_code()
        self.process.stdout.close()

    def exit_code(self) -> int:
        code = self.process.wait(60)
        self.reader.join(5)
        return code


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def redis(port: int, command: str) -> str:
    """The raw answer to an inline command."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(4096).decode()


class UpTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name).resolve()
        self.stand_in("proxy", "PROXY_LISTEN")
        self.stand_in("ingress", "INGRESS_LISTEN")

    def stand_in(
        self, name: str, variable: str, when_told: str = "signal.signal(signal.SIGTERM, stop)", status: int = 200
    ) -> None:
        path = self.folder / name
        words = {"python": sys.executable, "name": name, "variable": variable, "when_told": when_told}
        path.write_text(STAND_IN.format(status=status, **words))
        path.chmod(0o755)

    def up(self, options: list[str | Path] | None = None, **env: str) -> Up:
        up = Up(self.folder, options, **env)
        self.addCleanup(up.end)
        return up

    def left(self, up: Up) -> list[str]:
        listing = subprocess.run(["ps", "-eo", "args"], stdout=subprocess.PIPE, text=True).stdout
        # The title that Redis gives itself does not name the folder.
        redis = ["redis"] if answers_ping(up.redis_port) else []
        return redis + [line for line in listing.splitlines() if str(self.folder) in line]

    def test_ctrl_c_stops_ingress_then_proxy_then_redis(self) -> None:
        up = self.up()
        up.until("Ctrl-C stops everything")
        self.assertTrue(answers_ping(up.redis_port))

        up.process.send_signal(signal.SIGINT)

        self.assertEqual(up.exit_code(), 0, up.output)
        order = re.findall(r"stopping (\w+)|(\w+) was told to stop", up.output)
        self.assertEqual([a or b for a, b in order], ["ingress", "ingress", "proxy", "proxy", "redis"], up.output)
        self.assertEqual(self.left(up), [])

    def test_it_shows_addresses_one_can_open_and_a_real_answer(self) -> None:
        up = self.up()

        up.until("Ctrl-C stops everything")

        port = up.env["INGRESS_LISTEN"].rsplit(":", 1)[1]
        self.assertIn(f"http://localhost:{port}/swagger", up.output)
        self.assertIn('"city": "New York"', up.output)
        self.assertNotIn("0.0.0.0", up.output)

    def test_each_run_makes_an_admin_token_and_shows_how_to_use_it(self) -> None:
        self.stand_in("proxy", "PROXY_LISTEN", "print('token', os.environ['ADMIN_TOKEN'], flush=True)")
        tokens = []
        for given in ("", "", "a-token-of-my-own"):
            up = self.up(ADMIN_TOKEN=given)
            up.until("Ctrl-C stops everything")
            tokens.append(re.search(r"token (\S+)", up.output)[1])
            shown = "$ADMIN_TOKEN" if given else tokens[-1]
            self.assertIn(f'/streams/weather-requests -H "authorization: Bearer {shown}"', up.output)
            up.end()

        self.assertEqual((len(set(tokens)), tokens[2]), (3, "a-token-of-my-own"))

    def test_with_api_keys_it_says_how_to_call_with_one(self) -> None:
        self.stand_in("ingress", "INGRESS_LISTEN", status=401)
        up = self.up(API_KEYS_FILE="keys")

        up.until("Ctrl-C stops everything")

        self.assertIn("Streamgate is up.", up.output)
        self.assertRegex(up.output, "curl -s .* -H 'authorization: Bearer KEY'")
        self.assertIn("API keys are on (keys)", up.output)
        self.assertIn(f"{self.folder}/ingress new-key NAME", up.output)

    def test_logs_carry_the_name_of_their_process(self) -> None:
        up = self.up()
        up.until("Ctrl-C stops everything")

        up.process.terminate()

        self.assertEqual(up.exit_code(), 0)
        self.assertRegex(up.output, r"(?m)^proxy   \| proxy was told to stop$")
        start = up.output.index("proxy   | proxy starts")
        self.assertLess(start, up.output.index("Streamgate is up."), "lines are shown from the start on")

    def test_a_child_that_dies_takes_the_rest_with_it(self) -> None:
        dies = "import threading; threading.Timer(1, lambda: (print('out of luck', flush=True), os._exit(3))).start()"
        self.stand_in("proxy", "PROXY_LISTEN", dies)

        up = self.up()

        self.assertEqual(up.exit_code(), 1)
        self.assertRegex(up.output, r"proxy ended by itself \(exit code 3\)")
        self.assertEqual(self.left(up), [])

    def test_a_child_that_cannot_start_is_named_with_its_last_words(self) -> None:
        self.stand_in("ingress", "INGRESS_LISTEN", "sys.exit('INGRESS_THREADS=0 must be at least 1')")

        up = self.up()

        self.assertEqual(up.exit_code(), 1)
        self.assertRegex(up.output, r"ingress \| INGRESS_THREADS=0 must be.*\ningress ended by itself \(exit code 1\)")
        self.assertEqual(self.left(up), [])

    def test_a_second_ctrl_c_kills(self) -> None:
        self.stand_in("ingress", "INGRESS_LISTEN", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
        up = self.up()
        up.until("Ctrl-C stops everything")

        up.process.send_signal(signal.SIGINT)
        up.until("stopping ingress")
        start = time.monotonic()
        up.process.send_signal(signal.SIGINT)

        self.assertEqual(up.exit_code(), 130)
        self.assertLess(time.monotonic() - start, 5)
        wait_until(lambda: not self.left(up), "the end of all", 5)

    def test_a_used_port_is_named_with_its_owner_and_the_way_out(self) -> None:
        first = self.up()
        first.until("Ctrl-C stops everything")

        second = self.up(REDIS_PORT=str(first.redis_port), INGRESS_LISTEN=first.env["INGRESS_LISTEN"])

        self.assertEqual(second.exit_code(), 1)
        self.assertRegex(second.output, rf"port {first.redis_port} is used by .*choose another: REDIS_PORT=\d+")
        self.assertIn(f"use that server: REDIS_URL=redis://127.0.0.1:{first.redis_port}", second.output)
        self.assertRegex(second.output, r"choose another: INGRESS_LISTEN=0\.0\.0\.0:\d+")
        if sys.platform == "linux":
            self.assertRegex(second.output, r"is used by \S+ \(process \d+\)")

    def test_a_running_redis_is_used_and_left_alone(self) -> None:
        first = self.up()
        first.until("Ctrl-C stops everything")

        second = self.up(REDIS_URL=f"redis://127.0.0.1:{first.redis_port}")
        second.until("Ctrl-C stops everything")
        second.process.send_signal(signal.SIGINT)

        self.assertEqual(second.exit_code(), 0)
        self.assertNotIn("starting Redis", second.output)
        self.assertTrue(answers_ping(first.redis_port))

    def test_what_redis_held_is_there_after_a_restart(self) -> None:
        first = self.up()
        first.until("Ctrl-C stops everything")
        redis(first.redis_port, "SET kept yes")
        first.process.terminate()
        first.exit_code()

        second = self.up()
        second.until("Ctrl-C stops everything")

        self.assertIn("yes", redis(second.redis_port, "GET kept"))
        self.assertIn("noeviction", redis(second.redis_port, "CONFIG GET maxmemory-policy"))

    def test_each_kind_of_server_has_its_own_data_and_refuses_that_of_a_newer_one(self) -> None:
        kind, version = redis_server.identify(redis_server.find())
        first = self.up()
        first.until("Ctrl-C stops everything")
        first.end()
        writer = self.folder / "redis" / kind / "written-by"
        self.assertEqual(writer.read_text(), "{}.{}\n".format(*version))
        writer.write_text("99.1\n")

        second = self.up()

        self.assertEqual(second.exit_code(), 1)
        self.assertRegex(second.output, rf"(?i){kind} 99\.1 wrote the data in .*/{kind}, and this is {kind} ")
        self.assertIn("newer server on PATH", second.output)

    def test_a_redis_url_that_leads_nowhere_is_told_at_once(self) -> None:
        up = self.up(REDIS_URL=f"redis://:hunter2@127.0.0.1:{free_port()}")

        self.assertEqual(up.exit_code(), 1)
        self.assertRegex(up.output, r"^check REDIS_URL: cannot reach 127\.0\.0\.1:\d+: Connection refused\n$")

    def test_settings_that_name_no_port_are_told_together_and_nothing_starts(self) -> None:
        port = free_port()
        same = {"INGRESS_LISTEN": f"0.0.0.0:{port}", "PROXY_LISTEN": f"127.0.0.1:{port}"}

        for value in ("70000", "none", "0", "-1"):
            up = self.up(REDIS_PORT=value, INGRESS_ADMIN_LISTEN="5009", **same)

            self.assertEqual(up.exit_code(), 1)
            self.assertEqual(
                up.output.splitlines(),
                [
                    "INGRESS_ADMIN_LISTEN=5009 is no address with a port, such as 127.0.0.1:5009",
                    f"INGRESS_LISTEN and PROXY_LISTEN both name port {port}: choose another for one",
                    f"REDIS_PORT={value} needs a port from 1 to 65535",
                ],
            )

    def test_an_address_of_another_machine_is_told(self) -> None:
        up = self.up(INGRESS_LISTEN=f"192.0.2.1:{free_port()}")

        self.assertEqual(up.exit_code(), 1)
        self.assertRegex(up.output, r"^INGRESS_LISTEN=192\.0\.2\.1:\d+: \w")

    def test_a_sample_request_that_fails_is_told_and_the_logs_go_on(self) -> None:
        self.stand_in("ingress", "INGRESS_LISTEN", status=503)
        up = self.up()

        up.until("Ctrl-C stops everything")

        self.assertIn("Streamgate is up, but the sample request failed.", up.output)
        self.assertIn("HTTP 503", up.output)
        up.process.terminate()
        self.assertEqual(up.exit_code(), 0)
        self.assertIn("proxy   | proxy was told to stop", up.output)

    def test_the_way_to_look_at_the_stream_fits_what_is_installed(self) -> None:
        programs = self.folder / "programs"
        programs.mkdir()
        (programs / "ps").symlink_to(shutil.which("ps"))
        server = str(redis_server.find())
        without = self.up(PATH=str(programs), STREAMGATE_TEST_REDIS_SERVER=server)
        without.until("Ctrl-C stops everything")
        self.assertNotIn("-cli", without.output)
        without.end()
        (programs / "valkey-cli").symlink_to(sys.executable)

        with_cli = self.up(PATH=str(programs), STREAMGATE_TEST_REDIS_SERVER=server)
        with_cli.until("Ctrl-C stops everything")

        self.assertIn("valkey-cli -u redis://127.0.0.1:", with_cli.output)

    def test_the_way_to_look_at_another_redis_names_its_url_unless_that_is_secret(self) -> None:
        programs = self.folder / "programs"
        programs.mkdir()
        (programs / "ps").symlink_to(shutil.which("ps"))
        (programs / "redis-cli").symlink_to(sys.executable)
        running = self.up()
        running.until("Ctrl-C stops everything")
        port = running.redis_port
        redis(port, "ACL SETUSER reader on >hunter2 +@all ~*")

        for login, shown in (("", f"redis://127.0.0.1:{port}"), ("reader:hunter2@", '"$REDIS_URL"')):
            up = self.up(PATH=str(programs), REDIS_URL=f"redis://{login}127.0.0.1:{port}")
            up.until("Ctrl-C stops everything")
            self.assertIn(f"redis-cli -u {shown} XREVRANGE weather-requests + - COUNT 1\n", up.output)
            self.assertEqual("In another shell, set REDIS_URL first, as here." in up.output, bool(login))
            self.assertNotIn("hunter2", up.output)
            up.end()

    def test_the_help_is_shown_where_make_passes_it(self) -> None:
        for option in ("--help", "-h"):
            up = self.up([option])

            self.assertEqual(up.exit_code(), 0)
            self.assertTrue(up.output.startswith("stack up [--bin-dir DIR]"), up.output)

    @unittest.skipUnless(sys.platform == "linux", "only Linux tells children of the end of their parent")
    def test_a_killed_up_leaves_nothing_behind(self) -> None:
        up = self.up()
        up.until("Ctrl-C stops everything")

        up.process.kill()

        wait_until(lambda: not self.left(up), "the end of all")
        again = self.up()
        again.until("Ctrl-C stops everything")

        records = [file.name for file in (self.folder / "redis").glob("run-*")]
        self.assertEqual(records, [f"run-{again.process.pid}"], "the killed one's is gone")

    def test_what_an_earlier_run_left_is_named_with_the_way_to_end_it(self) -> None:
        port = free_port()
        env = {**os.environ, "PROXY_LISTEN": f"127.0.0.1:{port}"}
        left = Child("proxy", [self.folder / "proxy"], env)
        self.addCleanup(left.process.stdout.close)
        self.addCleanup(left.stop)
        gone = subprocess.Popen(["true"])
        gone.wait()
        record = self.folder / "redis" / f"run-{gone.pid}"
        record.parent.mkdir()
        record.write_text(f"{left.process.pid} proxy\n{gone.pid} ingress\n")
        wait_until(lambda: _listens(port), "the one that was left")

        up = self.up(PROXY_LISTEN=f"127.0.0.1:{port}")

        self.assertEqual(up.exit_code(), 1)
        self.assertIn(f"an earlier run started that; end it with: kill {left.process.pid}\n", up.output)
        self.assertNotIn("stopped", up.output)

    def test_a_run_that_is_still_up_is_named_as_the_one_to_end(self) -> None:
        first = self.up()
        first.until("Ctrl-C stops everything")

        second = self.up(REDIS_PORT=str(first.redis_port), INGRESS_LISTEN=first.env["INGRESS_LISTEN"])
        second.exit_code()
        self.assertIn(f"end it with: kill {first.process.pid}\n", second.output)
        first.end()

        self.assertEqual(list((self.folder / "redis").glob("run-*")), [])

    def test_two_servers_never_share_a_data_folder(self) -> None:
        self.up().until("Ctrl-C stops everything")

        second = self.up()

        self.assertEqual(second.exit_code(), 1)
        self.assertIn("another Redis server is using", second.output)

    def cargo(self) -> Path:
        """A folder for PATH: a cargo that says what it is to build, and builds until it is stopped."""
        programs = self.folder / "programs"
        programs.mkdir()
        script = programs / "cargo"
        script.write_text(
            "#!/bin/sh\n"
            'echo "cargo $*"\nexec sleep 60\n'
        )
        script.chmod(0o755)
        return programs

    def test_a_build_that_is_stopped_says_what_to_do_next(self) -> None:
        up = self.up(["--data-dir", self.folder], PATH=f"{self.cargo()}:{os.environ['PATH']}")
        up.until("cargo build --locked --profile up -p ingress -p proxy\n")

        up.process.send_signal(signal.SIGINT)

        self.assertEqual(up.exit_code(), 0)
        self.assertIn("the build was stopped; run it again: it goes on where it stopped\n", up.output)


if __name__ == "__main__":
    unittest.main()
