import gc
import os
import pickle
import subprocess
import sys
import threading

import pytest

import gyr
from gyr import _lib, runtime as module


def test_version_and_hash():
    assert gyr.version() == "0.1.0"
    # XXH3-64, seed 0, of the empty input: the algorithm's published vector.
    assert gyr.hash64(b"") == 0x2D06800538D394C2
    assert gyr.hash64(-1) == gyr.hash64(b"\xff" * 8)
    assert gyr.hash64("é") == gyr.hash64("é".encode())


def test_runtime_info_and_close():
    with gyr.Runtime(threads=2, memory_budget=1 << 30) as made:
        info = made.info()
        assert info["threads"] == 2 and info["memory_budget"] == 1 << 30
        assert info["cores"] >= 1 and info["simd"]
    with pytest.raises(ValueError, match="closed"):
        made.info()
    made.close()


def test_the_default_runtime_is_shared():
    found = []
    threads = [threading.Thread(target=lambda: found.append(gyr.default_runtime())) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert all(each is found[0] for each in found)


def test_bad_options_are_errors_with_a_message():
    with pytest.raises(gyr.Error) as caught:
        gyr.Runtime(device="no-such-device")
    assert caught.value.status.startswith("GYR_E_") and "no-such-device" in caught.value.message
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.status, copy.code, copy.message) == (caught.value.status, caught.value.code, caught.value.message)


def test_log_hook_is_freed_with_its_runtime():
    before = len(module._hooks)
    made = gyr.Runtime(threads=1, log=lambda *_: None, log_level="debug")
    assert len(module._hooks) == before + 1
    del made
    gc.collect()
    assert len(module._hooks) == before


def test_task():
    task = gyr.Task(timeout=5)
    progress = task.progress()
    assert progress.done == 0 and progress.loss != progress.loss
    task.cancel()
    task.set_timeout(None)


def test_handles_may_die_in_any_order_and_at_exit():
    code = "import gyr; r = gyr.Runtime(threads=3); t = gyr.Task(); r.close(); gyr.default_runtime(); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "GYR_LIBRARY": gyr.library_path})
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")


def test_a_forked_child_gets_a_runtime_of_its_own():
    code = ("import os, gyr; first = gyr.default_runtime(); pid = os.fork()\n"
            "if pid == 0: os._exit(0 if gyr.default_runtime() is not first and gyr.default_runtime().info() else 1)\n"
            "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "GYR_LIBRARY": gyr.library_path})
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_wrong_library_is_refused_at_import():
    done = subprocess.run([sys.executable, "-c", "import gyr"], capture_output=True, text=True, env=os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "GYR_LIBRARY": "/nonexistent/libgyr.so"})
    assert done.returncode and "GYR_LIBRARY" in done.stderr and "/nonexistent/libgyr.so" in done.stderr


def test_a_missing_function_fails_on_use():
    with pytest.raises(gyr.Error, match="gyr_from_the_future") as caught:
        _lib._missing("gyr_from_the_future")()
    assert caught.value.status == "GYR_E_UNSUPPORTED"
