"""One user's four-stage call on the MovieLens bundle, one thread. gyr is measured through its C host. The peer is the
stack a Python service would be built of: features in dicts, Faiss for retrieval, numpy for towers and ranking model
(same shapes as the bundle's, random weights: only time is compared)."""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import time

import numpy as np

from bench.areas._peers import need

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "build/quickstart"
HOST = ROOT / "build/release/examples/c/example_recommend"
ROUNDS, CALLS, CANDIDATES, K = 5, 400, 200, 10


def dense(rng, *widths):
    return [(rng.normal(0, 0.1, (a, b)).astype(np.float32), np.zeros(b, np.float32)) for a, b in zip(widths, widths[1:])]


def mlp(layers, x):
    for i, (w, b) in enumerate(layers):
        x = x @ w + b
        if i + 1 < len(layers):
            np.maximum(x, 0, out=x)
    return x


class PythonStack:
    """features -> encode -> retrieve -> filter -> features -> score -> order, the way services write it by hand."""

    def __init__(self, faiss, data, features, begin: int, counts_at: int, vectors: np.ndarray):
        rng = np.random.default_rng(1)
        users = features.user_table(begin).to_pylist()
        items = features.item_table(counts_at).to_pylist()
        genres = {g: i for i, g in enumerate(sorted({g for item in items for g in item["genres"]}))}
        jobs = {o: i for i, o in enumerate(sorted({u["occupation"] for u in users}))}
        self.ids = np.array([item["item_id"] for item in items])
        self.row = {int(i): r for r, i in enumerate(self.ids)}
        self.users = {u["user_id"]: ([self.row[i] for i in u["history"]], min(int(u["age"] // 5), 14),
                                     int(u["gender"] == "M"), jobs[u["occupation"]],
                                     np.log1p(u["history_count"]) / 5, [self.row[i] for i in u["seen"]]) for u in users}
        self.item_genres = [[genres[g] for g in item["genres"]] for item in items]
        self.item_year = np.array([min(max(int(((item["year"] or 1995) - 1930) // 5), 0), 16) for item in items])
        counts = np.array([[item[f"count_{w}"] for w in (2000, 5000, 20000)] for item in items])
        self.item_dense = (np.log1p(counts) / 4).astype(np.float32)
        e = lambda n, d: rng.normal(0, 0.05, (n, d)).astype(np.float32)  # noqa: E731
        sizes = (len(items), 15, 2, len(jobs), len(genres), 17)
        self.tower = [e(n, 32) for n in sizes[:4]]
        self.tower_mlp = dense(rng, 32 * 4 + 1, 64, 32)
        self.rank = [e(n, 8) for n in sizes]
        self.bottom, self.top = dense(rng, 5, 32, 8), dense(rng, 8 + 28, 64, 32, 1)
        self.pairs = np.triu_indices(8, 1)
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(vectors)
        self.faiss = faiss

    def recommend(self, user: int):
        history, age, gender, job, activity, seen = self.users[user]
        item, ages, genders, jobs = self.tower
        bag = item[history].mean(0) if history else np.zeros(32, np.float32)
        query = mlp(self.tower_mlp, np.concatenate([bag, ages[age], genders[gender], jobs[job], [activity]]).astype(np.float32))
        not_seen = np.ones(len(self.ids), bool)
        not_seen[seen] = False
        selector = self.faiss.IDSelectorBitmap(np.packbits(not_seen, bitorder="little"))
        scores, rows = self.index.search(query[None], CANDIDATES, params=self.faiss.SearchParameters(sel=selector))
        keep = rows[0] >= 0
        rows, scores = rows[0][keep], scores[0][keep]
        item, ages, genders, jobs, genres, years = self.rank
        n = len(rows)
        x = np.empty((n, 5), np.float32)
        x[:, :3] = self.item_dense[rows]
        x[:, 3] = activity
        x[:, 4] = scores / 4
        v = np.empty((n, 8, 8), np.float32)
        v[:, 0] = mlp(self.bottom, x)
        v[:, 1] = item[history].mean(0) if history else 0
        v[:, 2], v[:, 3], v[:, 4] = ages[age], genders[gender], jobs[job]
        v[:, 5], v[:, 7] = item[rows], years[self.item_year[rows]]
        for i, r in enumerate(rows):
            g = self.item_genres[r]
            v[i, 6] = genres[g].mean(0) if g else 0
        dots = (v @ v.transpose(0, 2, 1))[:, self.pairs[0], self.pairs[1]]
        logit = mlp(self.top, np.concatenate([v[:, 0], dots], axis=1))[:, 0]
        best = np.argsort(-logit, kind="stable")[:K]
        return self.ids[rows[best]], logit[best]


def host_p50(seconds: float) -> dict:
    path = OUT / "bench-latency.json"
    subprocess.run([str(HOST), str(OUT / "movielens.gyr"), "--threads", "1", "--seconds", str(seconds), "--json", str(path)],
                   check=True, stdout=subprocess.DEVNULL)
    return json.loads(path.read_text())


def microseconds(call, arguments) -> list[float]:
    out = []
    for a in arguments:
        start = time.perf_counter_ns()
        call(a)
        out.append((time.perf_counter_ns() - start) / 1000)
    return out


def figures(say) -> list[dict]:
    if not (OUT / "movielens.gyr").exists() or not HOST.exists():
        raise SystemExit("run ./quickstart.sh first: it makes the bundle and the C host that this area measures")
    import gyr
    from gyr.demo import movielens, specs

    faiss, faiss_version = need("faiss-cpu", "faiss")
    faiss.omp_set_num_threads(1)
    say(f"peers: {faiss_version}, numpy {np.__version__}")
    data = movielens.load(movielens.locate(OUT))
    features = movielens.Features(data)
    begin, counts_at = int(0.9 * len(data)), int(0.8 * len(data))
    with gyr.Bundle.open(str(OUT / "movielens.gyr")) as bundle:
        workflow, model = bundle.workflow("features"), bundle.model("retrieval")
        vectors = np.ascontiguousarray(model.encode("item", workflow.transform(features.item_table(counts_at))))
        stack = PythonStack(faiss, data, features, begin, counts_at, vectors)
        users = np.random.default_rng(2).choice(data.users["user_id"].to_numpy(), CALLS).tolist()
        queries = [vectors[i : i + 1] for i in np.random.default_rng(3).integers(0, len(vectors), CALLS)]
        index = gyr.Index(dim=vectors.shape[1], metric="ip", kind="exact")
        index.upsert(data.items["item_id"].to_numpy(), vectors)
        runs: dict[str, list[float]] = {}

        def note(name: str, values: list[float], q: float = 50) -> None:
            runs.setdefault(name, []).append(float(np.percentile(values, q)))

        for _ in range(ROUNDS):  # interleaved, so that a noisy neighbour hits both
            host = host_p50(0.5)
            note("host p50", [host["p50"]])
            note("host p99", [host["p99"]])
            peer = microseconds(stack.recommend, users)
            note("stack p50", peer)
            note("stack p99", peer, 99)
            note("python p50", microseconds(lambda u: bundle.recommend([u], k=K), users))
            note("gyr search", microseconds(lambda q: index.search(q, k=CANDIDATES), queries))
            note("faiss search", microseconds(lambda q: stack.index.search(q, CANDIDATES), queries))
    m = {name: statistics.median(values) for name, values in runs.items()}
    peer = f"{faiss_version} + numpy"

    def lower(case, metric, mine, name, theirs):
        return {"case": case, "metric": metric, "gyr": round(mine, 2), "peer": name, "peer_value": round(theirs, 2),
                "better": "lower"}

    return [
        lower("movielens_one_user", "p50_us", m["host p50"], peer, m["stack p50"]),
        lower("movielens_one_user", "p99_us", m["host p99"], peer, m["stack p99"]),
        lower("movielens_one_user_python", "p50_us", m["python p50"], peer, m["stack p50"]),
        lower(f"search_1682x32_k{CANDIDATES}", "p50_us_from_python", m["gyr search"], faiss_version, m["faiss search"]),
    ]
