"""The vector index beside faiss-cpu, hnswlib, usearch and what else installs, on one core.

Each graph peer is built at M=16/efConstruction=200 and M=32/400 and counts with the better one; every library sweeps
its own search parameter, all queries in one call, CPU time, interpolated at the recall. gyr and the peer of a line take
turns in one process, so gyr's figure differs from line to line by what the machine did meanwhile. What was built is
kept in build/bench-index and used again. Bytes are those by which a fresh process grows when it loads the index and
searches it (_ann_memory.py), not those of the file. Environment:

    GYR_LIBRARY, GYR_BENCH_GYR   the library under test; options of its index, stored=int16 unless set, as in degree=32
    GYR_BENCH_CASES              parts of case names, comma between them: only those (fashion_mnist,gowalla_64_qps)
    GYR_BENCH_PEERS              beginnings of the variants' names: only those (hnswlib,faiss-sq8-m16)
    GYR_BENCH_N                  vectors of recs_1m_64 (recs_N_64 then)
    GYR_BENCH_REBUILD            1 or beginnings of the variants' names: builds them again (gyr,hnswlib-m16)
    GYR_BENCH_BUILD=0            leaves peers out that are not built yet
    GYR_BENCH_BUILD_THREADS      2; builds on another number are compared in CPU seconds
"""

from __future__ import annotations

import os
import time

import numpy as np

from bench.areas import _ann_data, _ann_memory, _ann_peers, _ann_store
from bench.areas._ann_gyr import Gyr
from bench.areas._ann_sweep import Side, around, race, speed
from bench.areas._memory import random_lines

FILTERS = {"filter50pct_r95": 0.5, "filter10pct_r95": 0.1, "filter1pct_r95": 0.01, "filter01pct_r95": 0.001}
QPS = {"qps_r95_k10": (10, 0.95), "qps_r99_k10": (10, 0.99), "qps_r95_k100": (100, 0.95)}
TARGETS = {("fashion_mnist_qps_r95_k10", "hnswlib"): 5, ("fashion_mnist_qps_r95_k10", "best"): 2,
           ("recs_1m_64_qps_r95_k10", "hnswlib"): 3, ("recs_1m_64_qps_r95_k10", "best"): 2.5,
           ("fashion_mnist_qps_r99_k10", "best"): 2, ("recs_1m_64_qps_r99_k10", "best"): 2,
           ("recs_1m_64_build", "hnswlib"): 3, ("fashion_mnist_bytes", "hnswlib"): 1 / 0.6,
           ("recs_1m_64_bytes", "hnswlib"): 1 / 0.6, ("gowalla_64_bytes", "hnswlib"): 1 / 0.6}


def wanted(case: str) -> bool:
    parts = [p for p in os.environ.get("GYR_BENCH_CASES", "").split(",") if p]
    return not parts or any(p in case for p in parts)


class Bench:
    """All cases of one data set. `lines`: (case, variant) -> metric, gyr's value, the peer's value, which is better."""

    def __init__(self, say, data: _ann_data.Data, versions: dict[str, str], kind: str = ""):
        self.say, self.data, self.versions, self.kind = say, data, versions, kind
        self.lines: dict[tuple[str, str], tuple[str, float, float, str]] = {}
        self.library: dict[str, str] = {}
        self.gyr = Gyr(kind)
        self.gyr_memory: float | None = None  # bytes per vector
        self.gyr_facts = _ann_store.get(say, data, self.gyr, self.gyr.version)
        self.gyr.threads(1)
        self.mine = {k: self.side(self.gyr, k) for k in (10, 100)}
        self.curves = {k: side.sweep(self.enough(k)) for k, side in self.mine.items() if self.ks(k)}
        for k, curve in self.curves.items():
            self.tell(self.gyr, k, curve)

    def name(self, case: str) -> str:
        return f"{self.data.name}_{self.kind}_{case}" if self.kind else f"{self.data.name}_{case}"

    def ks(self, k: int) -> bool:
        others = k == 10 and any(wanted(self.name(c)) for c in ("build", "bytes", "open", "replace_half_recall",
                                                                "limit_r95_k10"))
        return others or any(wanted(self.name(c + t)) for c, (kk, _) in QPS.items() if kk == k for t in ("", "_2t"))

    def enough(self, k: int) -> float:
        return max(r for kk, r in QPS.values() if kk == k)

    def side(self, variant, k: int) -> Side:
        return Side(variant, self.data.queries, self.data.truth, k)

    def tell(self, variant, k: int, curve) -> None:
        points = ", ".join(f"{p.recall:.3f} {len(self.data.queries) / p.seconds:.0f}/s @{p.effort}" for p in curve)
        self.say(f"{self.data.name} k={k} {variant.name}: {points.replace('@(', '@ (')}")

    def peer(self, variant) -> None:
        version = self.versions[variant.library]
        if os.environ.get("GYR_BENCH_BUILD") == "0" and not _ann_store.built(self.data, variant, version):
            self.say(f"{self.data.name}: {variant.name} is not built, left out")
            return
        filters = {case: share for case, share in FILTERS.items() if variant.filters and wanted(self.name(case))}
        if variant.name == "faiss-flat" and not filters:
            return
        facts = _ann_store.get(self.say, self.data, variant, version)
        self.library[variant.name] = variant.library
        variant.threads(1)
        if variant.name != "faiss-flat":  # exact search is a peer under filters only
            for k in self.curves:
                self.search(variant, k)
            self.build(variant, facts)
            self.open(variant)
        for case, share in filters.items():
            self.filter(variant, case, share)

    def search(self, variant, k: int) -> None:
        theirs = self.side(variant, k)
        curve = theirs.sweep(self.enough(k))
        self.tell(variant, k, curve)
        cases = {c: r for c, (kk, r) in QPS.items() if kk == k}
        pairs = {c: (around(self.curves[k], r), around(curve, r)) for c, r in cases.items()}
        timed = race([(self.mine[k], unique(p for a, b in pairs.values() if b for p in a)),
                      (theirs, unique(p for _, b in pairs.values() for p in b))])
        for case, (a, b) in pairs.items():
            self.compare(case, variant, cases[case], a, b, timed, curve)
        if k == 10:
            self.two_threads(variant, theirs, *pairs["qps_r95_k10"], curve)

    def compare(self, case, variant, target, mine, theirs, timed, curve, metric="qps", queries=None) -> None:
        if not theirs:
            best = curve[-1].recall if curve else 0
            self.say(f"{self.name(case)}: {variant.name} has no figure, max recall {best:.3f}")
        elif not mine:
            self.say(f"{self.name(case)}: gyr has no figure, recall {target} is out of its reach")
        else:
            n = queries or len(self.data.queries)
            ours, peers = speed(mine, timed, n, target), speed(theirs, timed, n, target)
            self.say(f"{self.name(case)}: gyr {ours:.0f}/s, {variant.name} {peers:.0f}/s, {ours / peers:.2f}x")
            self.lines[self.name(case), variant.name] = (metric, ours, peers, "higher")

    def two_threads(self, variant, theirs: Side, a, b, curve) -> None:
        if not wanted(self.name("qps_r95_k10_2t")) or not a or not b:
            return
        for v in (self.gyr, variant):
            v.threads(2)
        timed = race([(self.mine[10], a), (theirs, b)], time.perf_counter)
        self.compare("qps_r95_k10_2t", variant, 0.95, a, b, timed, curve, "qps (wall)")
        for v in (self.gyr, variant):
            v.threads(1)

    def build(self, variant, facts: dict) -> None:
        """Wall clock where both were built on two threads of an idle machine, else CPU seconds."""
        clean = all(f["idle"] and f["threads"] == 2 for f in (facts, self.gyr_facts))
        metric = "seconds" if clean else "cpu_seconds"
        self.lines[self.name("build"), variant.name] = (metric, self.gyr_facts[metric], facts[metric], "lower")
        if wanted(self.name("bytes")):
            self.memory(variant, facts)

    def open(self, variant) -> None:
        """From nothing to the first answer, the file in the page cache, in the library's own way of loading."""
        if not wanted(case := self.name("open")):
            return

        def once(v) -> float:
            effort = v.ladders(10)[0][0]
            start = time.perf_counter()
            v.load(self.data.folder / f"{v.name}.index", self.data)
            v.threads(1)
            v.search(self.data.queries[:1], 10, effort)
            return 1000 * (time.perf_counter() - start)

        mine, theirs = (float(np.median([once(v) for _ in range(3)])) for v in (self.gyr, variant))
        self.say(f"{case}: gyr {mine:.1f} ms, {variant.name} {theirs:.1f} ms")
        self.lines[case, variant.name] = ("ms to the first answer", mine, theirs, "lower")

    def memory(self, variant, facts: dict) -> None:
        """Of the loaded and searched index; what the files take is told beside it."""
        n, case = len(self.data.base), self.name("bytes")
        if self.gyr_memory is None:
            self.gyr_memory = _ann_memory.of(self.data, self.gyr) / n
            self.say(f"{case}: gyr {self.gyr_memory:.1f} a vector in memory, {self.gyr.bytes() / n:.1f} by info(), "
                     f"{self.gyr_facts['bytes'] / n:.1f} in the file")
        theirs = _ann_memory.of(self.data, variant) / n
        self.say(f"{case}: {variant.name} {theirs:.1f} a vector in memory, {facts['bytes'] / n:.1f} in the file")
        self.lines[case, variant.name] = ("bytes per vector", self.gyr_memory, theirs, "lower")

    def filter(self, variant, case: str, share: float) -> None:
        n = 100 if variant.slow else min(500, len(self.data.queries))  # slow: a Python function per node
        truth, ids = self.data.filtered_truth(share, 10), self.data.allowed(share)
        sides = [Side(v, self.data.queries[:n], truth[:n], 10, v.filter(ids, len(self.data.base)))
                 for v in (self.gyr, variant)]
        curves = [s.sweep(0.95, patience=10) for s in sides]  # a graph that visits what the filter forbids is slow
        pairs = [around(c, 0.95) for c in curves]
        self.compare(case, variant, 0.95, *pairs, race(list(zip(sides, pairs))), curves[1], queries=n)

    def replace_half(self) -> None:
        """Half of the items deleted and put in again with other vectors: recall at the effort that gave .95 fresh."""
        case = self.name("replace_half_recall")
        peers = [v for v in _ann_peers.variants() if v.name == "hnswlib-m16" and v.library in self.versions]
        if not wanted(case) or not peers:
            return
        shares = {}
        for v, version in ((self.gyr, self.gyr.version), (peers[0], self.versions["hnswlib"])):
            ready = all(_ann_store.built(self.data, v, version, suffix) for suffix in ("", "-replaced"))
            if os.environ.get("GYR_BENCH_BUILD") == "0" and v is not self.gyr and not ready:
                return self.say(f"{case}: {v.name} is not built, left out")
            _ann_store.get(self.say, self.data, v, version)
            v.threads(1)
            side = self.side(v, 10)
            curve = side.sweep(0.95)
            effort, fresh = curve[-1].effort, curve[-1].recall
            facts = _ann_store.get(self.say, self.data, v, version, "-replaced", v.replace)
            v.threads(1)
            after = side.recall(effort)
            self.say(f"{case}: {v.name} effort {effort}: fresh {fresh:.4f}, after {after:.4f} "
                     f"({facts['cpu_seconds']:.0f} CPU s for building and replacing)")
            shares[v.name] = after / fresh
        self.library[peers[0].name] = "hnswlib"
        self.lines[case, peers[0].name] = ("after / fresh", shares[self.gyr.name], shares[peers[0].name], "higher")

    def latency(self) -> None:
        at = around(self.curves.get(10, []), 0.95)
        if not at:
            return
        took = self.gyr.latencies(self.data.queries[:1000], 10, at[-1].effort)
        p50, p99 = np.percentile(took, [50, 99])
        self.say(f"{self.data.name}: gyr, one query a call, recall {at[-1].recall:.3f}: p50 {p50:.0f} us, "
                 f"p99 {p99:.0f} us")

    def limit(self) -> None:
        """Queries a second, beside those if nothing took time but reading the touched codes, a line at a time."""
        at = around(self.curves.get(10, []), 0.95)
        case = self.name("limit_r95_k10")
        if not at or not wanted(case):
            return
        racer = self.mine[10].racer()
        touched = self.gyr.bytes_touched(lambda: racer.once(at[-1].effort))
        if touched is None:
            self.say(f"{case}: left out, the engine does not tell how many codes it touches")
            return
        n, self.library["limit"] = len(racer.queries), "limit"
        seconds, rate = race([(racer, at[-1:])])[at[-1]], random_lines(_ann_data.CACHE)
        self.say(f"{case}: {touched / n:.0f} bytes of codes a query, recall {at[-1].recall:.3f}; random lines of 64 "
                 f"bytes: {rate / 1e9:.1f} GB/s; {touched / rate / seconds:.2f} of the limit")
        self.lines[case, "limit"] = ("qps", n / seconds, n / (touched / rate), "higher")

    def figures(self) -> list[dict]:
        """The better variant of each library, then the best of all."""
        out = []
        chosen = {}  # library -> variant at recall .95, what build and bytes speak of
        cases = sorted({c for c, _ in self.lines}, key=lambda c: (not c.endswith("qps_r95_k10"), c))
        for case in cases:
            lines = {v: line for (c, v), line in self.lines.items() if c == case}
            gain = {v: (m / p if better == "lower" else p / m) for v, (_, m, p, better) in lines.items()}
            best = {}
            for v in lines:
                of = self.library[v]
                if of not in best or gain[v] > gain[best[of]]:
                    best[of] = v
            if case == self.name("qps_r95_k10"):
                chosen = dict(best)
            elif case in (self.name("build"), self.name("bytes")):
                best = {of: chosen.get(of, v) for of, v in best.items()}
            if not wanted(case):
                continue
            shown = sorted(best.items())
            if len(shown) > 1 and "limit" not in best:
                shown.append(("best", max(best.values(), key=lambda v: gain[v])))
            for peer, v in shown:
                metric, mine, theirs, better = lines[v]
                out.append({"case": case, "metric": metric, "gyr": round(mine, 4), "peer": peer,
                            "peer_value": round(theirs, 4), "better": better, "target": TARGETS.get((case, peer)),
                            "variant": v})
        return out


IVF_CASES = (*QPS, "build", "bytes", "open")  # gyr's inverted file beside Faiss'


def ivf_figures(say, name: str, versions: dict[str, str]) -> list[dict]:
    if "faiss" not in versions or not any(wanted(f"{name}_ivf_{c}") for c in IVF_CASES):
        return []
    bench = Bench(say, _ann_data.load(name), versions, "ivf")
    for variant in _ann_peers.variants():
        if variant.name.startswith("faiss-ivf"):
            bench.peer(variant)
        variant.release()
    return bench.figures()


def unique(points) -> list:
    return list(dict.fromkeys(points))


def figures(say) -> list[dict]:
    versions = _ann_peers.versions(say)
    say(f"peers: {', '.join(versions.values())}, numpy {np.__version__}; left out: symphonyqg (not on PyPI)")
    out = []
    for name in _ann_data.names():
        cases = (*QPS, "qps_r95_k10_2t", "build", "bytes", "open", *FILTERS, "replace_half_recall", "limit_r95_k10")
        if not any(wanted(f"{name}_{c}") for c in (*cases, *(f"ivf_{c}" for c in IVF_CASES))):
            continue
        if why := _ann_data.missing(name):
            say(f"{name}: skipped, {why}")
            continue
        out += ivf_figures(say, name, versions)
        if not any(wanted(f"{name}_{c}") for c in cases):
            continue
        bench = Bench(say, _ann_data.load(name), versions)
        bench.latency()
        bench.limit()
        for variant in _ann_peers.variants():
            if variant.library in versions:
                bench.peer(variant)
            variant.release()
        bench.replace_half()
        out += bench.figures()
    return out
