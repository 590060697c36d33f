"""Data sets of the area index with their exact neighbours, kept in build/bench-index as .npy: base [n, d], queries,
truth [queries, 100], `other` (what the replaced half held before) and `half` (the ids that are replaced)."""

from __future__ import annotations

import dataclasses
import gzip
import os
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / "build/bench-index"
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
VERSION = "v1"  # of the generators below: another one makes everything again
K = 100


@dataclasses.dataclass
class Data:
    name: str
    metric: str  # "l2" or "ip"
    base: np.ndarray
    queries: np.ndarray
    truth: np.ndarray
    half: np.ndarray
    other: np.ndarray

    @property
    def folder(self) -> pathlib.Path:
        return CACHE / f"{self.name}-{VERSION}"

    def allowed(self, share: float) -> np.ndarray:
        """Ids of a random filter, ascending."""
        rng = np.random.default_rng([20250102, int(1e6 * share)])
        return np.sort(rng.choice(len(self.base), int(len(self.base) * share), replace=False))

    def filtered_truth(self, share: float, k: int) -> np.ndarray:
        ids = self.allowed(share)
        return kept(self.folder / f"truth-{share}-{k}.npy",
                    lambda: ids[exact(self.base[ids], self.queries, k, self.metric)])


def kept(path: pathlib.Path, make) -> np.ndarray:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        np.save(part, make())
        part.rename(path)
    return np.load(path)


def exact(base: np.ndarray, queries: np.ndarray, k: int, metric: str) -> np.ndarray:
    """Row numbers of the k best, best first: float32 products of blocks, the winners of each block kept."""
    best, scores = np.zeros((len(queries), 0), np.int64), np.zeros((len(queries), 0), np.float32)
    for at in range(0, len(base), 16384):
        block = base[at : at + 16384]
        bias = -0.5 * np.einsum("ij,ij->i", block, block) if metric == "l2" else 0
        parts = [top(queries[q : q + 2000] @ block.T + bias, k) for q in range(0, len(queries), 2000)]
        best = np.hstack([best, at + np.vstack([rows for rows, _ in parts])])
        scores = np.hstack([scores, np.vstack([s for _, s in parts])])
        few, scores = top(scores, k)
        best = np.take_along_axis(best, few, 1)
    return np.take_along_axis(best, np.argsort(-scores, axis=1, kind="stable"), 1)


def top(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of the k largest of each row, in no order."""
    k = min(k, scores.shape[1])
    few = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k :]
    return few, np.take_along_axis(scores, few, 1)


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true neighbours found; an id that is answered twice counts once."""
    k = found.shape[1]
    row = np.arange(len(found))[:, None] << 40
    return np.intersect1d(found + row, truth[: len(found), :k] + row).size / found.size


def fashion_mnist():
    def images(part: str) -> np.ndarray:
        raw = gzip.decompress((FASHION / f"{part}-images-idx3-ubyte.gz").read_bytes())
        return np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784).astype(np.float32)

    def other(half, rng):  # mirrored
        return base[half].reshape(-1, 28, 28)[:, :, ::-1].reshape(-1, 784)

    base = images("train")
    return base, images("t10k"), other


def recs(n: int):
    """Mixture of 2,000 Gaussians with log-normal norms: what item factors of a large catalogue look like."""
    rng = np.random.default_rng(20250101)
    d, clusters = 64, 2000
    s = (1 + np.arange(d, dtype=np.float32)) ** -0.3
    centres = s * rng.standard_normal((clusters, d), np.float32)
    weights = (np.arange(clusters) + 1.0) ** -0.7
    weights /= weights.sum()

    def unit(v):
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    def items(n, rng):
        v = centres[rng.choice(clusters, n, p=weights)] + np.float32(0.7) * s * rng.standard_normal((n, d), np.float32)
        return (unit(v) * np.exp(np.float32(0.3) * rng.standard_normal((n, 1), np.float32))).astype(np.float32)

    q = 1000
    share = rng.uniform(0.2, 1, (q, 3)).astype(np.float32)
    mixed = (centres[rng.choice(clusters, (q, 3), p=weights)] * share[:, :, None]).sum(1)
    queries = unit(mixed + np.float32(0.4) * s * rng.standard_normal((q, d), np.float32)).astype(np.float32)
    return items(n, rng), queries, lambda half, rng: items(len(half), rng)


def gowalla_64():
    """Item factors of gyr's own iALS, users folded in from their histories as queries."""
    import gyr
    import pyarrow as pa

    path = data_folder() / "gowalla/train.txt.gz"
    lists = [[int(x) for x in line.split()] for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    lists = [line for line in lists if len(line) > 1]
    reserved = 3  # codes 0..2 are not items
    histories = [[item + reserved for item in line[1:]] for line in lists]
    users = np.repeat([line[0] + reserved for line in lists], [len(h) for h in histories])
    items = np.concatenate(histories)
    columns = pa.table({"user": pa.array(users, pa.int64()), "item": pa.array(items, pa.int64())})
    sizes = {"user": int(users.max()) + 1, "item": int(items.max()) + 1}
    schema = {"columns": [{"name": c, "dtype": "int64", "tags": [c, "categorical"], "cardinality": sizes[c],
                           "domain": c} for c in columns.column_names]}
    spec = {"version": 1, "kind": "ials", "dim": 64, "epochs": 12, "seed": 1, "alpha": 0.01, "l2": 0.01, "user": "user",
            "item": "item"}
    model = gyr.Trainer(spec, schema).fit(columns).export()
    base = model.encode("item", pa.table({"item": pa.array(np.unique(items), pa.int64())}))
    chosen = np.random.default_rng(20250103).choice(len(histories), 2000, replace=False)
    asking = pa.array([histories[i] for i in chosen], pa.list_(pa.int64()))
    queries = model.encode("user", pa.table({"history": asking}))

    def other(half, rng):  # factors of other items, moved
        moved = base[rng.permutation(half)]
        return moved + np.float32(0.3) * base.std(0) * rng.standard_normal(moved.shape, np.float32)

    return base, queries, other


def groups_100k_32():
    """3,000 groups, narrow and wide, far from each other: what variants and near copies of items look like."""
    rng = np.random.default_rng(20250105)
    d, groups = 32, 3000
    centres = rng.standard_normal((groups, d), np.float32)
    spread = np.exp(rng.uniform(np.log(0.01), np.log(0.3), (groups, 1))).astype(np.float32)

    def items(n):
        of = rng.integers(0, groups, n)
        return centres[of] + spread[of] * rng.standard_normal((n, d), np.float32)

    return items(100_000), items(1000), lambda half, _: items(len(half))


def data_folder() -> pathlib.Path:
    return pathlib.Path(os.environ.get("GYR_DATA", ROOT.parent / "shared/data"))


def names() -> list[str]:
    n = int(os.environ.get("GYR_BENCH_N", 1_000_000))
    return ["fashion_mnist", "recs_1m_64" if n == 1_000_000 else f"recs_{n}_64", "gowalla_64", "groups_100k_32"]


def missing(name: str) -> str | None:
    if name == "fashion_mnist" and not FASHION.exists():
        return f"{FASHION} is missing: apt-get install dataset-fashion-mnist"
    if name == "gowalla_64" and not (data_folder() / "gowalla/train.txt.gz").exists():
        return f"{data_folder() / 'gowalla/train.txt.gz'} is missing (GYR_DATA names another folder of data)"
    return None


def load(name: str) -> Data:
    folder = CACHE / f"{name}-{VERSION}"
    if not (folder / "other.npy").exists():
        makers = {f.__name__: f for f in (fashion_mnist, gowalla_64, groups_100k_32)}
        n = 1_000_000 if name == "recs_1m_64" else int(name.split("_")[1]) if name.startswith("recs_") else 0
        base, queries, other = makers[name]() if name in makers else recs(n)
        rng = np.random.default_rng(20250104)
        half = np.sort(rng.choice(len(base), len(base) // 2, replace=False))
        for part, values in (("base", base), ("queries", queries), ("half", half), ("other", other(half, rng))):
            kept(folder / f"{part}.npy", lambda: np.ascontiguousarray(values))
    metric = "l2" if name in ("fashion_mnist", "groups_100k_32") else "ip"
    base, queries, half, other = (np.load(folder / f"{part}.npy") for part in ("base", "queries", "half", "other"))
    truth = kept(folder / f"truth-{K}.npy", lambda: exact(base, queries, K, metric))
    return Data(name, metric, base, queries, truth, half, other)
