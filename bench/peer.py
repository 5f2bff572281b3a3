"""A program that takes training steps on request, for bench/compare_step.py: bench_step or torch_step.py.

It says one line of JSON when it is ready; for every line "N" it takes N steps and answers with one line of JSON:
"seconds" of each step, "row" of all of them where that is not their sum, and its memory.
"""

import json
import os
import re
import select
import statistics
import subprocess
import time


class PeerFailed(Exception):
    """Why a peer gives no times; `out_of_memory` where that was it."""

    def __init__(self, reason):
        super().__init__(reason)
        self.out_of_memory = reason.startswith("out of memory")


def reason_in(log, code):
    """What the log of a process that ended with `code` (negative: a signal, None: unknown) says of the end."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in reversed(lines):
        if re.search(r"out of memory|OutOfMemory|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED", line, re.IGNORECASE):
            return "out of memory: " + line[:200]
    for line in reversed(lines):
        if re.match(r"[\w.]*(Error|Exception|Interrupt)\b|bench_step: ", line):
            return line[:200]
    end = "" if code is None else "ended by signal %d" % -code if code < 0 else "ended with code %d" % code
    return ": ".join(text for text in (end, lines[-1][:200] if lines else "") if text) or "ended and said nothing"


class Peer:
    def __init__(self, name, command, log, until=None):
        """`log`: the file that its errors go to; `until`: time.monotonic() after which nothing is waited for."""
        self.name, self.log, self.until = name, log, until
        self.rounds = []  # of every row that counts: its seconds and those of its steps
        self.memory = {}  # as the last answer said
        self.buffer = b""
        with open(log, "w", encoding="utf-8") as errors:
            errors.write(" ".join(command) + "\n")
            errors.flush()
            self.begin = errors.tell()
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        self.ready = self.answer()

    def answer(self):
        """The next line of JSON; other lines are what libraries say, and go by."""
        while True:
            line, separator, rest = self.buffer.partition(b"\n")
            if separator:
                self.buffer = rest
                if line.startswith(b"{"):
                    return json.loads(line)
                continue
            wait = None if self.until is None else max(0, self.until - time.monotonic())
            if not select.select([self.process.stdout], [], [], wait)[0]:
                self.stop()
                raise PeerFailed("no answer within the time that was left")
            more = os.read(self.process.stdout.fileno(), 65536)
            if not more:
                raise self.failure()
            self.buffer += more

    def failure(self):
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            code = None
        self.stop()
        with open(self.log, encoding="utf-8", errors="replace") as log:
            log.seek(self.begin)
            return PeerFailed(reason_in(log.read(), code))

    def row(self, steps, keep=True):
        """Takes a row of steps; the seconds of the row."""
        try:
            self.process.stdin.write(b"%d\n" % steps)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.failure() from None
        answer = self.answer()
        row = answer.get("row", sum(answer["seconds"]))
        self.memory = {key: value for key, value in answer.items() if key not in ("row", "seconds")}
        if keep:
            self.rounds.append((row / steps, statistics.median(answer["seconds"])))
        return row

    def seconds_in_rows(self):
        """Of one step, as a row of them takes it: the median over the rows."""
        return statistics.median(row for row, _ in self.rounds)

    def seconds_per_step(self):
        return statistics.median(step for _, step in self.rounds)

    def close(self):
        try:
            self.process.stdin.close()
            self.process.wait(timeout=60)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            pass
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
