"""gyr: an embedded recommender engine. Features, training, search and serving in one library."""
from . import metrics
from ._lib import Error, library_path
from ._values import ALWAYS
from .bundle import Bundle, BundleBuilder, Recommendations, StageTrace
from .cache import Cache, Tiers, redis_tier
from .index import Index, Selection
from .model import Model, Trainer
from .monitor import Monitor
from .runtime import Device, Progress, Runtime, Task, build_info, default_runtime, devices, hash64, version
from .table import DEADLINE, DEFAULT, ERROR, EXPIRED, MISSING, NULL, PRESENT, GetPlan, Rows, Table, UpsertStats
from .workflow import Workflow

__all__ = [
    "ALWAYS", "Bundle", "BundleBuilder", "Cache", "DEADLINE", "DEFAULT", "Device", "ERROR", "EXPIRED", "Error", "GetPlan",
    "Index", "MISSING", "Model", "Monitor", "NULL", "PRESENT", "Progress", "Recommendations", "Rows", "Runtime",
    "Selection", "StageTrace", "Table", "Task", "Tiers", "Trainer", "UpsertStats", "Workflow", "build_info", "default_runtime",
    "devices", "hash64", "library_path", "metrics", "redis_tier", "version",
]
