#!/usr/bin/env python3
"""junit_totals.py FILE: prints passed and failed test cases of a JUnit file (ctest's or pytest's)."""
import sys
import xml.etree.ElementTree as ET

passed = failed = 0
for case in ET.parse(sys.argv[1]).iter("testcase"):
    if case.find("skipped") is not None or case.get("status") in ("disabled", "notrun"):
        continue
    if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
        failed += 1
    else:
        passed += 1
print(passed, failed)
