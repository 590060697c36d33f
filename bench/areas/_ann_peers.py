"""The peers of the area index: every variant builds, saves, loads and searches by the library's own means."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys

import numpy as np

from bench.areas._peers import need

EF10 = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 900, 1280)
EF100 = (100, 140, 200, 280, 400, 560, 800, 1120, 1600)
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
GRAPHS = {"m16": (16, 200), "m32": (32, 400)}  # links (twice as many on the base layer), candidates of the build


class Variant:
    """One library with one set of build parameters. `filters`: can search under a filter, `slow`: takes long at it."""

    library = ""
    filters = slow = False

    def __init__(self, name: str, parameters: str):
        self.name, self.parameters = f"{self.library}-{name}", parameters

    def ladders(self, k: int) -> list[list]:
        """Efforts to try, each list from little to much; several where there are two parameters."""
        return [list(EF10 if k <= 10 else EF100)]

    def release(self) -> None:
        """Gives its memory back before the next one is loaded."""
        self.index = self.graph = None

    def bytes_beside(self, data) -> int:
        """Memory that searching needs and that save() does not write."""
        return 0


class Hnswlib(Variant):
    library, filters, slow = "hnswlib", True, True

    def __init__(self, size: str):
        self.m, self.ef = GRAPHS[size]
        super().__init__(size, f"M={self.m}, efConstruction={self.ef}")

    def _empty(self, data):
        module, _ = need("hnswlib")
        return module.Index(space=data.metric, dim=data.base.shape[1])

    def build(self, data, threads: int, reusable: bool = False) -> None:
        self.index = self._empty(data)
        self.index.init_index(len(data.base), M=self.m, ef_construction=self.ef, random_seed=100,
                              allow_replace_deleted=reusable)
        self.index.set_num_threads(threads)
        self.index.add_items(self.first if reusable else data.base, np.arange(len(data.base)))

    def replace(self, data, threads: int) -> None:
        """Half of the items held other vectors; their slots are given to the final ones under fresh labels."""
        self.first = data.base.copy()
        self.first[data.half] = data.other
        self.build(data, threads, reusable=True)
        del self.first
        for label in data.half:
            self.index.mark_deleted(int(label))
        self.index.add_items(data.base[data.half], data.half + len(data.base), replace_deleted=True)

    def save(self, path: pathlib.Path) -> None:
        self.index.save_index(str(path))

    def load(self, path: pathlib.Path, data) -> None:
        self.index = self._empty(data)
        self.index.load_index(str(path), max_elements=len(data.base))
        self.n = len(data.base)

    def threads(self, n: int) -> None:
        self.count = n

    def search(self, queries, k: int, effort, allowed=None):
        self.index.set_ef(max(effort, k))
        chosen = {} if allowed is None else {"filter": allowed}
        return self.index.knn_query(queries, k, num_threads=self.count, **chosen)[0].astype(np.int64) % self.n

    def filter(self, ids, n: int):
        bits = np.zeros(2 * n, bool)
        bits[ids] = True
        return bits.tolist().__getitem__  # the cheapest callable there is


class Faiss(Variant):
    library, filters = "faiss", True

    def __init__(self, kind: str, size: str = ""):
        self.kind = kind
        if size:
            self.m, self.ef = GRAPHS[size]
        super().__init__(f"{kind}-{size}".strip("-"), f"M={self.m}, efConstruction={self.ef}" if size else "")
        if kind == "ivfpq":
            self.parameters = "IVF sqrt(n), PQ fast scan, refined"
        if kind in ("ivfsq8", "ivfflat"):
            self.parameters = f"IVF 4 sqrt(n), {'SQ8' if kind == 'ivfsq8' else 'Flat'}"

    def _new(self, faiss, data):
        d, n = data.base.shape[1], len(data.base)
        metric = faiss.METRIC_L2 if data.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        if self.kind == "flat":
            return faiss.IndexFlat(d, metric)
        if self.kind == "ivfpq":
            lists, parts = 2 ** round(np.log2(n) / 2), d // 8 if d > 128 else d // 2
            return faiss.index_factory(d, f"IVF{lists},PQ{parts}x4fs,RFlat", metric)
        if self.kind in ("ivfsq8", "ivfflat"):
            lists = 2 ** round(np.log2(n) / 2 + 2)
            return faiss.index_factory(d, f"IVF{lists},{'SQ8' if self.kind == 'ivfsq8' else 'Flat'}", metric)
        if self.kind == "sq8":
            index = faiss.IndexHNSWSQ(d, faiss.ScalarQuantizer.QT_8bit, self.m, metric)
        else:
            index = faiss.IndexHNSWFlat(d, self.m, metric)
        index.hnsw.efConstruction = self.ef
        return index

    def build(self, data, threads: int) -> None:
        faiss, _ = need("faiss-cpu", "faiss")
        faiss.omp_set_num_threads(threads)
        self.index = self._new(faiss, data)
        self.index.train(data.base)
        self.index.add(data.base)

    def save(self, path: pathlib.Path) -> None:
        need("faiss-cpu", "faiss")[0].write_index(self.index, str(path))

    def load(self, path: pathlib.Path, data) -> None:
        self.index = need("faiss-cpu", "faiss")[0].read_index(str(path))

    def threads(self, n: int) -> None:
        need("faiss-cpu", "faiss")[0].omp_set_num_threads(n)

    def ladders(self, k: int) -> list[list]:
        if self.kind == "flat":
            return [[0]]
        if self.kind == "ivfpq":
            return [[(probes, factor) for probes in PROBES] for factor in (4, 16)]
        if self.kind in ("ivfsq8", "ivfflat"):
            return [list(PROBES)]
        return super().ladders(k)

    def search(self, queries, k: int, effort, allowed=None):
        faiss, _ = need("faiss-cpu", "faiss")
        chosen = {} if allowed is None else {"sel": allowed}
        if self.kind == "ivfpq":
            inner = faiss.SearchParametersIVF(nprobe=effort[0], **chosen)
            p = faiss.IndexRefineSearchParameters(k_factor=effort[1], base_index_params=inner)
        elif self.kind in ("ivfsq8", "ivfflat"):
            p = faiss.SearchParametersIVF(nprobe=effort, **chosen)
        elif self.kind == "flat":
            p = faiss.SearchParameters(**chosen)
        else:
            p = faiss.SearchParametersHNSW(efSearch=effort, **chosen)
        return self.index.search(queries, k, params=p)[1]

    def filter(self, ids, n: int):
        bits = np.zeros(n, bool)
        bits[ids] = True
        self.bits = np.packbits(bits, bitorder="little")  # the selector borrows it
        return need("faiss-cpu", "faiss")[0].IDSelectorBitmap(self.bits)


class Usearch(Variant):
    library = "usearch"

    def __init__(self, dtype: str, size: str):
        self.dtype, (self.m, self.ef) = dtype, GRAPHS[size]
        super().__init__(f"{dtype}-{size}", f"{dtype}, M={self.m}, efConstruction={self.ef}")

    def _empty(self, data):
        need("usearch")
        from usearch.index import Index

        return Index(ndim=data.base.shape[1], metric="l2sq" if data.metric == "l2" else "ip", dtype=self.dtype,
                     connectivity=self.m, expansion_add=self.ef)

    def build(self, data, threads: int) -> None:
        self.index = self._empty(data)
        self.index.add(np.arange(len(data.base)), data.base, threads=threads)

    def save(self, path: pathlib.Path) -> None:
        self.index.save(str(path))

    def load(self, path: pathlib.Path, data) -> None:
        self.index = self._empty(data)
        self.index.load(str(path))

    def threads(self, n: int) -> None:
        self.count = n

    def search(self, queries, k: int, effort, allowed=None):
        self.index.expansion_search = effort
        return self.index.search(queries, k, threads=self.count).keys.astype(np.int64)


@contextlib.contextmanager
def quiet():
    """glass writes to standard output, where the figures belong."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


class Glass(Variant):
    """One graph per size, searched with each of its ways to look at vectors; the fastest counts. Its 4-bit codes answer
    nothing under inner product, none of its codes do on a CPU without AVX-512 (recall 0.001)."""

    library = "glass"
    WAYS = (("SQ8U", ""), ("SQ8U", "FP32"), ("SQ4U", "FP32"), ("FP32", ""))  # what it walks on, what it ends with

    def __init__(self, size: str):
        self.m, self.ef = GRAPHS[size]
        ways = ", ".join("+".join(filter(None, way)) for way in self.WAYS)
        super().__init__(size, f"R={2 * self.m}, L={self.ef}, {ways}")
        self.release()

    def build(self, data, threads: int) -> None:
        glass, _ = need("pyglass-portable", "glass")
        glass.set_num_threads(threads)
        with quiet():
            self.graph = glass.Index("HNSW", metric(data), R=2 * self.m, L=self.ef).build(data.base)

    def save(self, path: pathlib.Path) -> None:
        with quiet():
            self.graph.save(str(path))

    def release(self) -> None:
        """Gives its memory back before the next one is loaded."""
        self.graph = self.searchers = None

    def bytes_beside(self, data) -> int:
        return data.base.size  # of the first way

    def load(self, path: pathlib.Path, data) -> None:
        self.path, self.data, self.searchers = path, data, {}

    def searcher(self, way: tuple[str, str]):
        """Made of the vectors when it is first asked for, each with a graph of its own: they do not share one."""
        if way not in self.searchers:
            glass, _ = need("pyglass-portable", "glass")
            with quiet():
                graph = glass.Graph(str(self.path))
                self.searchers[way] = glass.Searcher(graph, self.data.base, metric(self.data), *way)
                self.searchers[way].optimize(1)
        return self.searchers[way]

    def threads(self, n: int) -> None:
        self.count = n

    def ladders(self, k: int) -> list[list]:
        for way in self.WAYS if self.searchers is not None else ():  # not while the clock runs
            self.searcher(way)
        return [[(way, ef) for ef in super(Glass, self).ladders(k)[0]] for way in self.WAYS]

    def search(self, queries, k: int, effort, allowed=None):
        way, ef = effort
        searcher = self.searcher(way)
        searcher.set_ef(ef)
        with quiet():
            found = searcher.batch_search(queries, k, num_threads=self.count)
        return np.asarray(found[0] if isinstance(found, tuple) else found, np.int64).reshape(-1, k)


def metric(data) -> str:
    return "L2" if data.metric == "l2" else "IP"


class Scann(Variant):
    library = "scann"

    def __init__(self):
        super().__init__("tree", "2 sqrt(n) leaves, 2 dimensions a block, reordered")

    def build(self, data, threads: int) -> None:
        scann, _ = need("scann")
        n = len(data.base)
        builder = scann.scann_ops_pybind.builder(data.base, 10, "squared_l2" if data.metric == "l2" else "dot_product")
        builder.set_n_training_threads(threads)
        builder.tree(num_leaves=int(2 * n**0.5), num_leaves_to_search=10, training_sample_size=min(n, 250_000))
        builder.score_ah(2, anisotropic_quantization_threshold=float("nan") if data.metric == "l2" else 0.2)
        self.index = builder.reorder(100).build()

    def save(self, path: pathlib.Path) -> None:
        path.mkdir()
        self.index.serialize(str(path), relative_path=True)

    def load(self, path: pathlib.Path, data) -> None:
        self.index = need("scann")[0].scann_ops_pybind.load_searcher(str(path))

    def threads(self, n: int) -> None:
        self.count = n

    def ladders(self, k: int) -> list[list]:
        return [[(leaves, factor) for leaves in PROBES] for factor in (5, 20)]

    def search(self, queries, k: int, effort, allowed=None):
        search = self.index.search_batched if self.count == 1 else self.index.search_batched_parallel
        leaves, factor = effort
        return search(queries, k, pre_reorder_num_neighbors=k * factor, leaves_to_search=leaves)[0].astype(np.int64)


DISTRIBUTIONS = {"hnswlib": ("hnswlib", "hnswlib"), "faiss": ("faiss-cpu", "faiss"), "usearch": ("usearch", "usearch"),
                 "glass": ("pyglass-portable", "glass"), "scann": ("scann", "scann")}


def versions(say) -> dict[str, str]:
    """Library -> distribution and version; those that do not install are left out with a line."""
    found = {}
    for library, names in DISTRIBUTIONS.items():
        try:
            found[library] = need(*names)[1]
        except (ImportError, OSError, subprocess.CalledProcessError) as problem:
            say(f"{library}: left out, {names[0]} does not install or load here ({problem})")
    return found


def variants() -> list[Variant]:
    """In the order in which they are measured; GYR_BENCH_PEERS keeps names that begin with one of its entries."""
    sizes = list(GRAPHS)
    every = [*(Hnswlib(s) for s in sizes), *(Faiss("hnsw", s) for s in sizes), *(Faiss("sq8", s) for s in sizes),
             Faiss("ivfpq"), Faiss("ivfsq8"), Faiss("ivfflat"), Faiss("flat"), *(Usearch(t, s) for t in ("f32", "bf16") for s in sizes),
             Usearch("i8", "m16"),  # finds a tenth to a half of the neighbours under ip and l2: once is enough
             *(Glass(s) for s in sizes), Scann()]
    wanted = [w for w in os.environ.get("GYR_BENCH_PEERS", "").split(",") if w]
    return [v for v in every if not wanted or any(v.name.startswith(w) for w in wanted)]
