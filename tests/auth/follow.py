"""A browser whose user agrees to everything: it follows the redirects of the address it is started with.

It adds its command line to the file that `THV_TEST_BROWSED` names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

if "THV_TEST_BROWSED" in os.environ:
    with Path(os.environ["THV_TEST_BROWSED"]).open("a", encoding="utf-8") as file:
        file.write(sys.argv[1] + "\n")
print("written by a browser")
with build_opener(ProxyHandler({})).open(sys.argv[1], timeout=60) as page:
    page.read()
