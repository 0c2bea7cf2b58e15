"""Cases of files, what is mapped of them, locks on them, and databases in them."""

from __future__ import annotations

from recovery_cases import DIE, Case

_FOLDER = """
import os, pathlib, tempfile
folder = pathlib.Path(tempfile.mkdtemp()); path = folder / 'file'; path.write_text('0123456789')
"""

FILES = [
    Case(
        "a file that is read",
        f"{_FOLDER}f = open(path); f.read(3); raw = open(path, 'rb', buffering=0); raw.read(2)",
        "(f.read(2), raw.read(2), f.tell())",
        "('34', b'23', 5)",
        fatal=f"f.read(); raw.read()\n{DIE}",
    ),
    Case(
        "a file that is written",
        f"{_FOLDER}f = open(path, 'w'); f.write('abc'); f.flush(); f.write('def')",
        "f.write('!'); f.close(); path.read_text()",
        "'abcdef!'",
    ),
    Case(
        "a file that the fatal cell went on writing",
        f"{_FOLDER}f = open(path, 'w'); f.write('abc'); f.flush()",
        "f.write('!'); f.close(); path.read_text()",
        "'abc!st'",
        losses=("file was written to since, and that stays",),
        fatal=f"f.write('.st'); f.flush()\n{DIE}",
    ),
    Case(
        "a file that is appended to",
        f"{_FOLDER}f = open(path, 'a'); f.write('a'); f.flush()",
        "f.write('c'); f.close(); path.read_text()",
        "'0123456789abc'",
        losses=("file was written to since, and that stays",),
        fatal=f"f.write('b'); f.flush()\n{DIE}",
    ),
    Case(
        "temporary files and folders",
        """
import os, tempfile
anonymous = tempfile.TemporaryFile('w+'); named = tempfile.NamedTemporaryFile('w+')
folder = tempfile.TemporaryDirectory(); spooled = tempfile.SpooledTemporaryFile()
for f in (anonymous, named): f.write('kept'); f.flush()
spooled.write(b'kept')
""",
        """
anonymous.seek(0); spooled.seek(0)
there = os.path.exists(named.name), os.path.isdir(folder.name)
anonymous.read(), spooled.read(), there, open(named.name).read()
""",
        "('kept', b'kept', (True, True), 'kept')",
    ),
    Case(
        "a file that is gone",
        f"{_FOLDER}f = open(path); f.read(1); path.unlink()",
        "f.read()",
        "'123456789'",
    ),
    Case(
        "a folder that is open",
        f"{_FOLDER}fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)",
        "(os.listdir(fd), os.open('file', os.O_RDONLY, dir_fd=fd) > 2)",
        "(['file'], True)",
    ),
    Case(
        "mmap, private",
        f"{_FOLDER}import mmap\nf = open(path, 'rb')\n"
        "m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY); m[0] = 65",
        "(bytes(m), path.read_text())",
        "(b'A123456789', '0123456789')",
        fatal=f"m[1] = 66\n{DIE}",
    ),
    Case(
        "mmap, shared",
        f"{_FOLDER}import mmap\nf = open(path, 'r+b'); m = mmap.mmap(f.fileno(), 0); m[0] = 65",
        "bytes(m)",
        "b'AB23456789'",
        losses=("Shared memory",),
        fatal=f"m[1] = 66\n{DIE}",
    ),
    Case(
        "mmap, anonymous",
        "import mmap\nm = mmap.mmap(-1, 4096); m[0] = 65",
        "bytes(m[:2])",
        "b'AB'",
        losses=("Shared memory",),
        fatal=f"m[1] = 66\n{DIE}",
    ),
    Case(
        "numpy memmap",
        f"{_FOLDER}import numpy as np\n"
        "m = np.memmap(folder / 'm', 'int64', 'w+', shape=3); m[0] = 7",
        "m.tolist()",
        "[7, 8, 0]",
        losses=("Shared memory",),
        fatal=f"m[1] = 8\n{DIE}",
        needs=("numpy",),
    ),
    Case(
        "zip, gzip and csv in the middle",
        f"""{_FOLDER}
import csv, gzip, zipfile
with gzip.open(folder / 'g', 'wt') as g: g.write('one\\ntwo\\nthree\\n')
with zipfile.ZipFile(folder / 'z', 'w') as z: z.writestr('a', 'inside')
g = gzip.open(folder / 'g', 'rt'); first = g.readline(); z = zipfile.ZipFile(folder / 'z')
""",
        "(first, g.readline(), z.read('a'))",
        "('one\\n', 'two\\n', b'inside')",
        fatal=f"g.read(); z.read('a')\n{DIE}",
    ),
    Case(
        "logging to a file",
        f"{_FOLDER}import logging\nlog = logging.getLogger('own'); log.propagate = False\n"
        "log.addHandler(logging.FileHandler(folder / 'log')); log.warning('one')",
        "log.warning('three'); (folder / 'log').read_text()",
        "'one\\ntwo\\nthree\\n'",
        losses=("written to since",),
        fatal=f"log.warning('two')\n{DIE}",
    ),
]

_DATABASE = f"""{_FOLDER}
import sqlite3
db = sqlite3.connect(folder / 'db', isolation_level=None, timeout=0.1)
db.execute('create table t (x)'); db.execute('insert into t values (1)')
def others():
    with sqlite3.connect(folder / 'db', timeout=0.1) as other:
        ok = other.execute('pragma integrity_check').fetchone()[0]
        rows = [x for x, in other.execute('select x from t order by x')]
    other.close(); return ok, rows
def attempt(sql):
    try: return db.execute(sql).fetchall()
    except sqlite3.Error as error: return type(error).__name__
"""

DATABASES = [
    Case(
        "sqlite in memory",
        "import sqlite3\ndb = sqlite3.connect(':memory:'); db.execute('create table t (x)')\n"
        "db.execute('insert into t values (1)'); cursor = db.execute('select x from t')",
        "(cursor.fetchall(), db.execute('select count(*) from t').fetchone())",
        "([(1,)], (1,))",
        fatal=f"db.execute('delete from t')\n{DIE}",
    ),
    Case(
        "sqlite, idle",
        _DATABASE,
        "(attempt('insert into t values (2)'), attempt('select x from t'), others())",
        "([], [(1,), (2,)], ('ok', [1, 2]))",
    ),
    Case(
        "sqlite, idle, and written since",
        _DATABASE,
        "(attempt('insert into t values (2)'), attempt('select x from t'), others())",
        "([], [(1,), (9,), (2,)], ('ok', [1, 2, 9]))",
        losses=("written to since",),
        fatal=f"db.execute('insert into t values (9)')\n{DIE}",
    ),
    Case(
        "sqlite with an open transaction",
        f"{_DATABASE}db.execute('begin immediate'); db.execute('insert into t values (2)')",
        "(attempt('insert into t values (3)'), attempt('commit'), others())",
        "([], [], ('ok', [1, 2, 3]))",
    ),
    Case(
        "sqlite with a transaction that the fatal cell ended",
        f"{_DATABASE}db.execute('begin immediate'); db.execute('insert into t values (2)')",
        "(attempt('commit'), others())",
        "('OperationalError', ('ok', [1, 2]))",
        losses=("db was locked, and can only be read now",),
        fatal=f"db.execute('commit')\n{DIE}",
    ),
    Case(
        "sqlite, write-ahead log",
        f"{_DATABASE}db.execute('pragma journal_mode=wal'); db.execute('insert into t values (2)')",
        "(attempt('insert into t values (3)'), attempt('select max(x) from t'), others())",
        "([], [(3,)], ('ok', [1, 2, 3]))",
    ),
    Case(
        "sqlite, write-ahead log, and written since",
        f"{_DATABASE}db.execute('pragma journal_mode=wal'); db.execute('insert into t values (2)')",
        "(attempt('select count(*) from t'), others())",
        "([(3,)], ('ok', [1, 2, 9]))",
        losses=("written to since",),
        fatal=f"db.execute('insert into t values (9)')\n{DIE}",
    ),
    Case(
        "locks on files",
        f"""{_FOLDER}
import fcntl, subprocess, sys
one = open(path, 'r+'); fcntl.flock(one, fcntl.LOCK_EX)
other = open(folder / 'other', 'w+'); fcntl.lockf(other, fcntl.LOCK_EX, 4, 2)
def held(path, how):
    code = ('import fcntl, sys; f = open(sys.argv[1], "r+")\\n'
            'try: fcntl.' + how + '(f, fcntl.LOCK_EX | fcntl.LOCK_NB); print("free")\\n'
            'except OSError: print("held")')
    return subprocess.run([sys.executable, '-c', code, path], capture_output=True, text=True).stdout
before = held(path, 'flock'), held(folder / 'other', 'lockf')
""",
        "(before, held(path, 'flock'), held(folder / 'other', 'lockf'))",
        "(('held\\n', 'held\\n'), 'held\\n', 'held\\n')",
    ),
    Case(
        "a lock on a file that was changed since",
        f"{_FOLDER}import fcntl\nf = open(path, 'r+'); fcntl.flock(f, fcntl.LOCK_EX)",
        "try: f.write('x'); f.flush(); r = 'written'\nexcept OSError as e: r = 'refused'\n"
        "f = None; (r, path.read_text())",
        "('refused', 'x123456789')",
        losses=("file was locked, and can only be read now",),
        fatal=f"f.write('x'); f.flush()\n{DIE}",
    ),
]

FILES += DATABASES
