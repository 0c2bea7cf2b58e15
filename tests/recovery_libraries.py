"""Cases of libraries: each is used before the death, and again after it.

Those whose threads cannot be done without are refused, with the library's name.
"""

from __future__ import annotations

from recovery_cases import DIE, HTTP_SERVER, Case

_FOLDER = """
import os, pathlib, tempfile
folder = pathlib.Path(tempfile.mkdtemp())
"""

ARRAYS = [
    Case(
        "numpy",
        "import numpy as np\na = np.arange(1e6).reshape(1000, 1000); view = a[::2, 1:3]; "
        "b = a @ a; total = float(b.sum())",
        "(float((a @ a).sum()) == total, view.base is a.base, np.linalg.det(np.eye(300)).item())",
        "(True, True, 1.0)",
        fatal=f"a[:] = 0; b = a @ a\n{DIE}",
        needs=("numpy",),
    ),
    Case(
        "numpy random",
        "import numpy as np\nnp.random.seed(3); g = np.random.default_rng(4); g.random()\n"
        "old, new = np.random.get_state()[1].sum().item(), g.bit_generator.state['state']['state']",
        "(np.random.get_state()[1].sum().item() == old, "
        "g.bit_generator.state['state']['state'] == new)",
        "(True, True)",
        fatal=f"np.random.rand(9999); g.random(9)\n{DIE}",
        needs=("numpy",),
    ),
    Case(
        "scipy",
        "import numpy as np, scipy.linalg as la, scipy.sparse as sp, scipy.optimize as so\n"
        "m = np.random.default_rng(1).random((300, 300)); lu = la.lu_factor(m)\n"
        "s = sp.random(100, 100, 0.1, random_state=1, format='csr')",
        "(bool(np.allclose(m @ la.lu_solve(lu, m[0]), m[0])), s.nnz, "
        "round(so.brentq(lambda x: x * x - 2, 0, 2), 6))",
        "(True, 1000, 1.414214)",
        needs=("scipy",),
    ),
    Case(
        "numexpr",
        "import numexpr as ne, numpy as np\na = np.arange(1e6); first = ne.evaluate('a * 2').sum()",
        "(bool(ne.evaluate('a * 2').sum() == first), ne.evaluate('sum(a)').item())",
        "(True, 499999500000.0)",
        needs=("numexpr",),
    ),
    Case(
        "numba",
        """
import numba, numpy as np
numba.config.THREADING_LAYER = 'workqueue'
@numba.njit(parallel=True)
def total(a):
    t = 0.0
    for i in numba.prange(a.size): t += a[i]
    return t
a = np.ones(1000000); first = total(a)
@numba.njit
def twice(x): return 2 * x
""",
        "(first, total(a), twice(4))",
        "(1000000.0, 1000000.0, 8)",
        needs=("numba",),
    ),
    Case(
        "numba, by OpenMP",
        """
import numba, numpy as np
numba.config.THREADING_LAYER = 'omp'
@numba.njit(parallel=True)
def total(a):
    t = 0.0
    for i in numba.prange(a.size): t += a[i]
    return t
a = np.ones(1000000); first = total(a)
""",
        "(first, total(a))",
        "(1000000.0, 1000000.0)",
        needs=("numba",),
    ),
    Case(
        "h5py",
        f"{_FOLDER}import h5py, numpy as np\nf = h5py.File(folder / 'h', 'w'); "
        "f['x'] = np.arange(5); d = f['x']; f.flush()",
        "y = d[2].item(); f['z'] = 3; f.flush(); (y, f['z'][()].item(), sorted(f))",
        "(2, 3, ['x', 'z'])",
        needs=("h5py",),
    ),
    Case(
        "h5py, written since",
        f"{_FOLDER}import h5py, numpy as np\nf = h5py.File(folder / 'h', 'w'); "
        "f['x'] = np.arange(5); f.flush()",
        "f['x'][2].item()",
        "2",
        complains=True,
        losses=("was locked, and can only be read now",),
        fatal=f"f['y'] = np.arange(1000); f.flush()\n{DIE}",
        needs=("h5py",),
    ),
    Case(
        "zarr",
        f"{_FOLDER}import zarr\nz = zarr.open(str(folder / 'z'), mode='w', shape=(10,), "
        "chunks=(5,), dtype='i4'); z[:] = 7",
        "z[0] = 1; z[:].tolist()",
        "[1, 7, 7, 7, 7, 7, 7, 7, 7, 7]",
        losses=("zarr_io",),
        needs=("zarr",),
    ),
    Case(
        "opencv",
        "import cv2, numpy as np\nimage = np.zeros((600, 600, 3), 'uint8'); image[200:400] = 255\n"
        "first = cv2.GaussianBlur(image, (5, 5), 0).sum().item()",
        "cv2.GaussianBlur(image, (5, 5), 0).sum().item() == first",
        "True",
        needs=("cv2",),
    ),
    Case(
        "PIL",
        f"{_FOLDER}from PIL import Image\nImage.new('RGB', (9, 9), 'red').save(folder / 'i.png')\n"
        "image = Image.open(folder / 'i.png'); lazy = Image.open(folder / 'i.png'); image.load()",
        "(image.getpixel((1, 1)), lazy.getpixel((1, 1)), image.resize((2, 2)).size)",
        "((255, 0, 0), (255, 0, 0), (2, 2))",
        needs=("PIL",),
    ),
]

FRAMES = [
    Case(
        "pandas",
        "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2, 3], 's': list('xyx')}, "
        "index=pd.date_range('2026', periods=3))\ngrouped = df.groupby('s')",
        "(int(df.a.sum()), grouped.a.sum().to_dict(), str(df.index[1].date()), df.shape)",
        "(6, {'x': 4, 'y': 2}, '2026-01-02', (3, 2))",
        fatal=f"df['a'] = 0; df.drop(columns='s', inplace=True)\n{DIE}",
        needs=("pandas",),
    ),
    Case(
        "pandas and pyarrow",
        f"{_FOLDER}import pandas as pd, pyarrow as pa, pyarrow.parquet as pq\n"
        "import pyarrow.compute as pc\n"
        "df = pd.DataFrame({'a': range(200000), 's': ['x', 'y'] * 100000})\n"
        "df.to_parquet(folder / 'p'); back = pd.read_parquet(folder / 'p')\n"
        "table = pa.table(df).group_by('s').aggregate("
        "[('a', 'sum')]); strings = df.s.astype('string[pyarrow]')",
        "again = pd.read_parquet(folder / 'p'); (again.equals(back), table.num_rows, "
        "strings.str.upper()[1], pc.sum(table['a_sum']).as_py(), "
        "pa.table(df).group_by('s').aggregate([('a', 'sum')]).num_rows)",
        "(True, 2, 'Y', 19999900000, 2)",
        needs=("pandas", "pyarrow"),
    ),
    Case(
        "polars",
        "import polars as pl\ndf = pl.DataFrame({'a': range(100000)})\n"
        "df = df.with_columns(b=pl.col('a') * 2)\n"
        "total = df.group_by(pl.col('a') % 7).agg(pl.col('b').sum())",
        "(df.group_by(pl.col('a') % 7).agg(pl.col('b').sum()).sort('a').equals(total.sort('a')), "
        "len(df))",
        "(True, 100000)",
        moved="polars",
        needs=("polars",),
    ),
    Case(
        "duckdb",
        "import duckdb\ndb = duckdb.connect(); db.execute('create table t as select range x from "
        "range(1000000)'); first = db.execute('select sum(x) from t').fetchone()",
        "(first, 'db' in dir(), duckdb.sql('select 1').fetchall())",
        "((499999500000,), False, [(1,)])",
        moved="duckdb",
        losses=("db (",),
        needs=("duckdb",),
    ),
    Case(
        "sqlalchemy",
        f"""{_FOLDER}
import sqlalchemy as sa
from sqlalchemy.orm import Session
engine = sa.create_engine(f'sqlite:///{{folder}}/db')
with engine.begin() as c:
    c.execute(sa.text('create table t (x int)')); c.execute(sa.text('insert into t values (1)'))
session = Session(engine); session.execute(sa.text('select * from t')).all()
""",
        "session.execute(sa.text('insert into t values (2)')); session.commit(); "
        "engine.connect().execute(sa.text('select x from t')).scalars().all()",
        "[1, 2]",
        needs=("sqlalchemy",),
    ),
    Case(
        "matplotlib, a figure",
        "import matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as plt, io\n"
        "figure, axes = plt.subplots(); axes.plot([1, 2]); n = plt.get_fignums()",
        "b = io.BytesIO(); figure.savefig(b); (len(b.getvalue()) > 1000, plt.gcf() is figure, "
        "len(axes.lines))",
        "(True, True, 1)",
        fatal=f"plt.close('all'); axes.plot([3, 4])\n{DIE}",
        needs=("matplotlib",),
    ),
]

LEARNING = [
    Case(
        "scikit-learn",
        """
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.cluster import KMeans
X = np.random.default_rng(1).random((2000, 10)); y = X[:, 0] > 0.5
model = HistGradientBoostingClassifier(max_iter=20).fit(X, y); score = model.score(X, y)
means = KMeans(3, n_init=2, random_state=1).fit(X)
""",
        "again = HistGradientBoostingClassifier(max_iter=20).fit(X, y); "
        "(model.score(X, y) == score, again.score(X, y) == score, "
        "KMeans(3, n_init=2, random_state=1).fit(X).inertia_ == means.inertia_)",
        "(True, True, True)",
        needs=("sklearn",),
    ),
    Case(
        "lightgbm",
        "import lightgbm as lgb, numpy as np\nX = np.random.default_rng(1).random((2000, 5))\n"
        "train = lambda: lgb.train({'verbose': -1, 'objective': 'regression'}, "
        "lgb.Dataset(X, X[:, 0]), 5)\nmodel = train(); first = model.predict(X).sum()",
        "(bool(model.predict(X).sum() == first), bool(train().predict(X).sum() == first))",
        "(True, True)",
        needs=("lightgbm",),
    ),
    Case(
        "xgboost",
        "import xgboost as xgb, numpy as np\nX = np.random.default_rng(1).random((2000, 5))\n"
        "train = lambda: xgb.train({}, xgb.DMatrix(X, X[:, 0]), 5)\n"
        "model = train(); first = model.predict(xgb.DMatrix(X)).sum()",
        "(bool(model.predict(xgb.DMatrix(X)).sum() == first), "
        "bool(train().predict(xgb.DMatrix(X)).sum() == first))",
        "(True, True)",
        needs=("xgboost",),
    ),
    Case(
        "torch",
        """
import torch
torch.manual_seed(1)
net = torch.nn.Sequential(torch.nn.Linear(200, 200), torch.nn.ReLU(), torch.nn.Linear(200, 1))
X, y = torch.rand(500, 200), torch.rand(500, 1)
opt = torch.optim.Adam(net.parameters())
def step():
    opt.zero_grad(); loss = ((net(X) - y) ** 2).mean(); loss.backward(); opt.step()
    return loss.item()
losses = [step() for _ in range(5)]; weights = net[0].weight.detach().clone()
""",
        "same = torch.equal(net[0].weight, weights); new = step(); (same, new < losses[0])",
        "(True, True)",
        fatal=f"step()\n{DIE}",
        needs=("torch",),
    ),
    Case(
        "jax",
        "import jax, jax.numpy as jnp\n"
        "f = jax.jit(lambda x: (x @ x).sum()); a = jnp.ones((200, 200)); "
        "first = float(f(a))",
        "(float(a.sum()), float(jax.jit(lambda x: (x @ x).sum())(a)) == first)",
        "(40000.0, True)",
        moved="jax",
        needs=("jax",),
    ),
    Case(
        "tokenizers",
        """
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
tok = Tokenizer(models.BPE()); tok.pre_tokenizer = pre_tokenizers.Whitespace()
tok.train_from_iterator(['hello world hello'] * 100, trainers.BpeTrainer(vocab_size=50))
first = [e.ids for e in tok.encode_batch(['hello world'] * 100)]
""",
        "[e.ids for e in tok.encode_batch(['hello world'] * 100)] == first",
        "True",
        moved="tokenizers",
        needs=("tokenizers",),
    ),
]

PARALLEL = [
    Case(
        "joblib, loky",
        "from joblib import Parallel, delayed\n"
        "first = Parallel(2)(delayed(abs)(i) for i in (-1, -2))",
        "(first, Parallel(2)(delayed(abs)(i) for i in (-3, -4)))",
        "([1, 2], [3, 4])",
        losses=("process pool",),
        complains=True,  # its tracker is told of a folder that the dead one knew
        needs=("joblib",),
    ),
    Case(
        "joblib, threads",
        "from joblib import Parallel, delayed\n"
        "first = Parallel(2, backend='threading')(delayed(abs)(i) for i in (-1, -2))",
        "(first, Parallel(2, backend='threading')(delayed(abs)(i) for i in (-3, -4)))",
        "([1, 2], [3, 4])",
        needs=("joblib",),
    ),
    Case(
        "dask, threads",
        "import dask.array as da\n"
        "a = da.ones((400, 400), chunks=100); first = float(a.sum().compute())",
        "(first, float((a + 1).sum().compute()))",
        "(160000.0, 320000.0)",
        needs=("dask", "numpy"),
    ),
    Case(
        "the user's own ZMQ",
        "import zmq\ncontext = zmq.Context(); a, b = context.socket(zmq.PAIR), "
        "context.socket(zmq.PAIR)\na.bind('tcp://127.0.0.1:*'); b.connect(a.LAST_ENDPOINT); "
        "a.send(b'x'); got = b.recv()",
        "(got, [name for name in ('context', 'a', 'b') if name in dir()])",
        "(b'x', [])",
        moved="libzmq",
        losses=("context (", "a (", "b ("),
        needs=("zmq",),
    ),
    Case(
        "blosc2",
        "import blosc2, numpy as np\n"
        "blosc2.set_nthreads(4); c = blosc2.pack_array2(np.arange(1e6))",
        "blosc2.unpack_array2(c).sum()",
        "np.float64(499999500000.0)",
        moved="blosc2",
        needs=("blosc2",),
    ),
    Case(
        "requests",
        "import requests, subprocess, sys\n"
        + HTTP_SERVER
        + """port = int(server.stdout.readline()); pid = server.pid; server.stdout.close()
session = requests.Session(); session.trust_env = False
get = lambda path: session.get(f'http://127.0.0.1:{port}/{path}', timeout=20).text
first = get('one')
""",
        "second = get('three'); session.close(); import os; os.kill(pid, 9); (first, second)",
        "('/one', '/three')",
        losses=("connection", "goes on by itself"),
        fatal=f"session.get(f'http://127.0.0.1:{{port}}/two', stream=True)\n{DIE}",
        needs=("requests",),
    ),
]

LIBRARIES = [*ARRAYS, *FRAMES, *LEARNING, *PARALLEL]
