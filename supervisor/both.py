"""What both processes import anyway: once, before the zygote is forked, and not in each of them.

That is a tenth of the work of a start, and pages that the two go on sharing. Nothing belongs here
that one of them could do without: the other would wait for it. A test looks after that.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import mmap
import pathlib
import pickle
import platform
import random
import resource
import struct
import termios
import threading

from ..shared import ledger, meminfo, orders, parking, records, samples, spool
from ..worker import zygote

MODULES = (
    dt, hashlib, json, logging, mmap, pathlib, pickle, platform, random, resource, struct,
    termios, threading, ledger, meminfo, orders, parking, records, samples, spool, zygote,
)  # fmt: skip
