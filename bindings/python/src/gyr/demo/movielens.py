"""MovieLens 100K: where it comes from, its time split, and the features of an event.

All features of an event are computed as of the event: windowed item counts from the events before it, and a user
history that ends a week earlier. The lag matters: ratings come in sessions of minutes, and a history that runs right up to
the event teaches a model the session instead of the taste.
"""

from __future__ import annotations

import gzip
import os
import pathlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

WHEEL = "recbole==1.2.1"  # carries the data set; downloaded alone, without its dependencies
WHEEL_FOLDER = "recbole/dataset_example/ml-100k/"
FILES = ("ml-100k.inter", "ml-100k.user", "ml-100k.item")

HISTORY = 50  # items per history
LAG_SECONDS = 7 * 86400
WINDOWS = (2000, 5000, 20000)  # events, for the windowed item counts
GRID = 500  # windows move in steps of this many events
POSITIVE = 4  # ratings from here on count as liked


@dataclass
class MovieLens:
    """Events sorted by time; ids as in the files."""

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray
    time: np.ndarray  # seconds since 1970
    users: pa.Table  # user_id, age, gender, occupation
    items: pa.Table  # item_id, title, year (null when unknown), genres

    def __len__(self) -> int:
        return len(self.user)

    @property
    def positive(self) -> np.ndarray:
        return self.rating >= POSITIVE


def locate(cache: pathlib.Path) -> pathlib.Path:
    """Folder with the files: GYR_ML100K, or the wheel's copy under `cache` (downloaded once)."""
    given = os.environ.get("GYR_ML100K")
    if given:
        return pathlib.Path(given)
    folder = cache / "ml-100k"
    if all((folder / f).exists() for f in FILES):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", WHEEL, "--no-deps", "--only-binary=:all:", "-q",
               "--disable-pip-version-check", "-d", str(cache)]
    subprocess.run(command, check=True)
    wheel = next(cache.glob("recbole-*.whl"))
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as z:
        for f in FILES:
            (folder / f).write_bytes(z.read(WHEEL_FOLDER + f))
    wheel.unlink()
    return folder


def _lines(folder: pathlib.Path, name: str) -> list[list[str]]:
    path = folder / name
    if path.exists():
        text = path.read_text(encoding="utf-8")
    elif (zipped := folder / (name + ".gz")).exists():
        text = gzip.decompress(zipped.read_bytes()).decode("utf-8")
    else:
        raise FileNotFoundError(f"{path}: not found, nor {name}.gz; point GYR_ML100K at a folder with {', '.join(FILES)}")
    return [line.split("\t") for line in text.splitlines()[1:]]


def load(folder: pathlib.Path) -> MovieLens:
    events = _lines(folder, FILES[0])
    columns = [np.array([e[c] for e in events], dtype=t) for c, t in ((0, "i8"), (1, "i8"), (2, "f4"), (3, "f8"))]
    order = np.argsort(columns[3], kind="stable")
    user, item, rating, time = (c[order] for c in columns)
    people = _lines(folder, FILES[1])
    films = _lines(folder, FILES[2])
    users = pa.table({
        "user_id": pa.array([int(p[0]) for p in people], pa.int64()),
        "age": pa.array([float(p[1]) for p in people], pa.float32()),
        "gender": [p[2] for p in people],
        "occupation": [p[3] for p in people],
    })
    items = pa.table({
        "item_id": pa.array([int(f[0]) for f in films], pa.int64()),
        "title": [f[1] for f in films],
        "year": pa.array([float(f[2]) if f[2].isdigit() else None for f in films], pa.float32()),
        "genres": pa.array([f[3].split() for f in films], pa.list_(pa.string())),
    })
    return MovieLens(user, item, rating, time.astype(np.int64), users, items)


class Features:
    """Time-consistent features over a MovieLens."""

    def __init__(self, data: MovieLens):
        self.data = data
        self.item_row = {int(i): r for r, i in enumerate(data.items["item_id"].to_numpy())}
        self.user_row = {int(u): r for r, u in enumerate(data.users["user_id"].to_numpy())}
        row = np.array([self.item_row[int(i)] for i in data.item])
        steps = len(data) // GRID
        self._cumulative = np.zeros((steps + 1, len(self.item_row)), np.float32)
        for g in range(steps):
            part = slice(g * GRID, (g + 1) * GRID)
            liked = row[part][data.positive[part]]
            self._cumulative[g + 1] = self._cumulative[g] + np.bincount(liked, minlength=len(self.item_row))
        self._likes: dict[int, np.ndarray] = {}
        for u in np.unique(data.user):
            self._likes[int(u)] = np.flatnonzero((data.user == u) & data.positive)

    def window_counts(self, window: int, at: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
        """Positives of the item in the last `window` events before event index `at` (on the grid); pairwise."""
        now = np.asarray(at) // GRID
        before = np.maximum(now - window // GRID, 0)
        scale = (window // GRID) / np.maximum(now - before, 1)  # early events have seen less than a whole window
        counts = self._cumulative[now, item_rows] - self._cumulative[before, item_rows]
        return (counts * scale).astype(np.float32)

    def lagged(self, at: np.ndarray) -> np.ndarray:
        """Event index where the history of event `at` ends: LAG_SECONDS before it."""
        time = self.data.time
        return np.minimum(np.searchsorted(time, time[at] - LAG_SECONDS, side="left"), at)

    def history(self, user: int, end: int) -> tuple[np.ndarray, int]:
        """The user's last HISTORY liked items among events before index `end`, and how many there were in all."""
        likes = self._likes.get(int(user), np.empty(0, int))
        n = int(np.searchsorted(likes, end))
        return self.data.item[likes[max(0, n - HISTORY):n]], n

    def rows(self, users: np.ndarray, items: np.ndarray, at: np.ndarray, history_end: np.ndarray) -> pa.Table:
        """Raw feature rows: user columns, item columns, counts, as of event index `at`."""
        histories, counts = [], np.empty(len(users), np.float32)
        memo: dict[tuple[int, int], tuple[np.ndarray, int]] = {}
        for r, key in enumerate(zip(users.tolist(), history_end.tolist())):
            if key not in memo:
                memo[key] = self.history(*key)
            histories.append(memo[key][0])
            counts[r] = memo[key][1]
        user_rows = pa.array([self.user_row[int(u)] for u in users])
        item_rows = np.array([self.item_row[int(i)] for i in items])
        table = self.data.users.drop(["user_id"]).take(user_rows)
        table = table.append_column("history", _list_array(histories))
        table = table.append_column("history_count", pa.array(counts))
        films = self.data.items.select(["item_id", "year", "genres"]).take(pa.array(item_rows))
        for name in films.column_names:
            table = table.append_column(name, films[name])
        for window in WINDOWS:
            table = table.append_column(f"count_{window}", pa.array(self.window_counts(window, at, item_rows)))
        return table.combine_chunks()

    def item_table(self, at: int) -> pa.Table:
        """The catalogue with its windowed counts as of event index `at`, and the time of the last event before."""
        table = self.data.items
        rows = np.arange(len(table))
        for window in WINDOWS:
            table = table.append_column(f"count_{window}", pa.array(self.window_counts(window, np.full(len(rows), at), rows)))
        updated = np.full(len(table), int(self.data.time[at - 1]) * 1_000_000)
        return table.append_column("updated", pa.array(updated, pa.timestamp("us")))

    def user_table(self, at: int) -> pa.Table:
        """Users as of event index `at`: raw columns, history, seen items, and the time of the last event before."""
        data = self.data
        ids = data.users["user_id"].to_numpy()
        histories, counts, seen = [], [], []
        for u in ids:
            items, n = self.history(int(u), at)
            histories.append(items)
            counts.append(float(n))
            seen.append(np.unique(data.item[:at][data.user[:at] == u]))
        table = data.users.append_column("history", _list_array(histories))
        table = table.append_column("history_count", pa.array(counts, pa.float32()))
        table = table.append_column("seen", _list_array(seen))
        updated = np.full(len(ids), int(data.time[at - 1]) * 1_000_000)
        return table.append_column("updated", pa.array(updated, pa.timestamp("us")))


def _list_array(lists: list[np.ndarray]) -> pa.Array:
    offsets = np.zeros(len(lists) + 1, np.int32)
    np.cumsum([len(x) for x in lists], out=offsets[1:])
    values = np.concatenate(lists) if lists else np.empty(0, np.int64)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.astype(np.int64)))
