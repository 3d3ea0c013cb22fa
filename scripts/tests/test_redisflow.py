"""`redisflow demo` on a real terminal, beside a Redis of its own as `make redisflow` starts it."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import termios
import time
import unittest
from fcntl import ioctl
from pathlib import Path

import tools

import cargo
import redis_server

OPEN, CLOSE = "\x1b[?1049h", "\x1b[?1049l"
PATIENCE = 60


class Terminal:
    """A terminal with a program on it."""

    def __init__(self, command: list[str | Path], env: dict[str, str]) -> None:
        self.output = ""
        self.width = 120
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                os.execve(command[0], [str(part) for part in command], env)
            finally:
                os._exit(127)
        self.resize()
        self.before = termios.tcgetattr(self.master)[:4]

    def resize(self) -> None:
        """Another width: the view is drawn as a whole, not only what has changed."""
        self.width ^= 1
        ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, self.width, 0, 0))

    def until(self, what: str, text: str) -> None:
        """Reads until the text is shown."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown():
            if time.monotonic() > deadline:
                raise AssertionError(f"never {what}: {text!r} in {self.shown()[-3000:]}")
            self.output = ""
            self.resize()
            drawn = time.monotonic() + 0.5
            while (left := drawn - time.monotonic()) > 0:
                self._read(left)

    def shown(self) -> str:
        """What was written, with a space for each jump of the cursor."""
        jumps = re.sub(r"\x1b\[[\d;]*H", " ", self.output)
        return re.sub(r" +", " ", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", jumps))

    def _read(self, patience: float) -> bool:
        """Reads what comes within this time; false if nothing came, or the program has gone."""
        if not select.select([self.master], [], [], patience)[0]:
            return False
        try:
            self.output += os.read(self.master, 65536).decode(errors="replace")
        except OSError:
            return False
        return True

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        """Waits for the end of the program; its exit code, or minus its signal."""
        deadline = time.monotonic() + PATIENCE
        while not (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            self._read(0.1)
        while self._read(0.1):
            pass
        return os.waitstatus_to_exitcode(ended[1])

    def close(self) -> None:
        os.close(self.master)


class Demo(unittest.TestCase):
    def start(self) -> Terminal:
        stack = cargo.binaries("debug") / "stack"
        env = {
            "PATH": os.environ["PATH"],
            "TERM": "xterm-256color",
            "STREAMGATE_TEST_REDIS_SERVER": str(redis_server.find()),
        }
        paces = ("--first", "700ms", "--second", "1s", "--work", "20ms")
        terminal = Terminal([stack, "redis", "--", "redisflow", "demo", *paces], env)
        self.addCleanup(terminal.close)
        terminal.until("a view", "RedisFlow: redisflow:stream")
        return terminal

    def assert_restored(self, terminal: Terminal) -> None:
        self.assertIn(CLOSE, terminal.output)
        self.assertNotIn(OPEN, terminal.output)
        self.assertEqual(termios.tcgetattr(terminal.master)[:4], terminal.before)

    def test_keys_kill_and_restart_a_consumer_and_end_the_demo(self) -> None:
        terminal = self.start()
        terminal.until("work", "INFO done")
        self.assertNotEqual(termios.tcgetattr(terminal.master)[:4], terminal.before, "keys come one by one")

        terminal.press("1")
        terminal.until("a killed consumer", "consumer-1 ended: signal: 9 (SIGKILL)")
        terminal.press("b")
        terminal.until("a burst", "burst: Message #40 of 40 at once")
        terminal.press("1")
        terminal.until("its restart", "consumer-1 runs, process")
        terminal.output = ""
        terminal.press("q")

        self.assertEqual(terminal.end(), 0)
        self.assert_restored(terminal)

    def test_ctrl_c_and_sigterm_restore_the_terminal(self) -> None:
        for name, end in (("Ctrl-C", None), ("SIGTERM", signal.SIGTERM)):
            with self.subTest(end=name):
                terminal = self.start()
                terminal.until("work", "INFO done")

                terminal.output = ""
                if end is None:
                    terminal.press("\x03")
                else:
                    os.kill(terminal.pid, end)

                self.assertEqual(terminal.end(), 0, terminal.output)
                self.assert_restored(terminal)


if __name__ == "__main__":
    unittest.main()
