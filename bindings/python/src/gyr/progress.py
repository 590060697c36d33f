"""Progress bars over gyr tasks: a thread polls, the work runs where it was called."""

from __future__ import annotations

import math
import threading

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import gyr


class Watcher:
    """`with Watcher(console) as watch: ...; watch("train", task)` shows the task until the next one."""

    def __init__(self, console: Console | None = None):
        self._progress = Progress(TextColumn("{task.description:<28}"), BarColumn(), TextColumn("{task.fields[note]}"),
                                  TimeElapsedColumn(), console=console)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._current: tuple[str, gyr.Task, int] | None = None
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> Watcher:
        self._progress.start()
        self._thread.start()
        return self

    def __exit__(self, *unused) -> None:
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._finish()
        self._progress.stop()

    def __call__(self, name: str, task: gyr.Task) -> None:
        with self._lock:
            self._finish()
            self._current = (name, task, self._progress.add_task(name, total=None, note=""))

    def _finish(self) -> None:
        if self._current:
            self._update()
            self._progress.update(self._current[2], total=1, completed=1)
            self._progress.stop_task(self._current[2])
            self._current = None

    def _poll(self) -> None:
        while not self._stop.wait(0.1):
            with self._lock:
                if self._current:
                    self._update()

    def _update(self) -> None:
        _, task, row = self._current
        p = task.progress()
        note = p.phase + ("" if math.isnan(p.loss) else f"  loss {p.loss:.4f}")
        self._progress.update(row, total=p.total or None, completed=p.done, note=note)
