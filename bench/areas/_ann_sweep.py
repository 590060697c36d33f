"""Recall against speed: a searcher's sweep over its own effort, and the speed at a wanted recall."""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np

from bench.areas._ann_data import recall

ROUNDS, LONGEST, BUDGET = 3, 9, 10  # rounds at least and at most, seconds after which no further one starts
RACERS = 2500  # queries of a race: the recall comes from all of them, the time from these
PATIENCE = 30  # seconds of a sweep after which it goes on to no further effort
HOPELESS = 0.002  # recall that an effort must add while below .9


@dataclasses.dataclass(eq=False)
class Point:
    effort: object
    recall: float
    seconds: float


@dataclasses.dataclass
class Side:
    """One variant answering one set of queries."""

    variant: object
    queries: np.ndarray
    truth: np.ndarray
    k: int
    allowed: object = None

    def once(self, effort, clock=time.process_time) -> tuple[np.ndarray, float]:
        start = clock()
        found = self.variant.search(self.queries, self.k, effort, self.allowed)
        return found, clock() - start

    def racer(self) -> Side:
        return dataclasses.replace(self, queries=self.queries[:RACERS])

    def recall(self, effort) -> float:
        return recall(self.once(effort)[0], self.truth)

    def sweep(self, enough: float, patience: float = PATIENCE) -> list[Point]:
        """A pass per effort, until the recall is enough; recall ascending."""
        ladders = self.variant.ladders(self.k)
        found = [p for ladder in ladders for p in self.climb(ladder, enough, patience / len(ladders))]
        return front(found) if len(ladders) > 1 else climbing(found)

    def climb(self, ladder: list, enough: float, patience: float) -> list[Point]:
        points: list[Point] = []
        for effort in ladder:
            try:
                found, seconds = self.once(effort)
            except RuntimeError:  # hnswlib: fewer than k found
                continue
            points.append(Point(effort, recall(found, self.truth), max(seconds, 1e-9)))
            stuck = len(points) > 2 and max(p.recall for p in points[-2:]) < min(0.9, points[-3].recall + HOPELESS)
            if points[-1].recall >= enough or sum(p.seconds for p in points) > patience or stuck:
                break
        return points


def climbing(points: list[Point]) -> list[Point]:
    """Without the points that find no more than a smaller effort did."""
    kept: list[Point] = []
    for p in points:
        if not kept or p.recall > kept[-1].recall:
            kept.append(p)
    return kept


def front(points: list[Point]) -> list[Point]:
    """Without the points that another one beats in recall and time."""
    return climbing(sorted(points, key=lambda p: (p.seconds, -p.recall)))


def around(points: list[Point], target: float) -> list[Point]:
    """The two points between which the target lies; one when the first is above it already; none when out of reach."""
    for i, p in enumerate(points):
        if p.recall >= target:
            return points[max(0, i - 1) : i + 1]
    return []


def speed(pair: list[Point], seconds: dict[Point, float], queries: int, target: float) -> float:
    """Queries per second, log-linear between the points, of a race that `queries` entered."""
    queries, last = min(queries, RACERS), pair[-1]
    if len(pair) == 1 or last.recall == pair[0].recall:
        return queries / seconds[last]
    share = (target - pair[0].recall) / (last.recall - pair[0].recall)
    return queries / math.exp((1 - share) * math.log(seconds[pair[0]]) + share * math.log(seconds[last]))


def race(work: list[tuple[Side, list[Point]]], clock=time.process_time) -> dict[Point, float]:
    """Best seconds of each point for RACERS queries; the sides take turns, so that a slow spell hits them all."""
    best: dict[Point, float] = {}
    work = [(side.racer(), points) for side, points in work]
    start = time.perf_counter()
    for turn in range(LONGEST):
        for side, points in work:
            for p in points:
                best[p] = min(best.get(p, math.inf), side.once(p.effort, clock)[1])
        took = time.perf_counter() - start
        if took > BUDGET and (turn + 1 >= ROUNDS or took > ROUNDS * BUDGET):
            break
    return best
