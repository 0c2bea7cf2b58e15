# ruff: noqa: RUF012 - the suite's samples are lists on the class
"""jupyter_kernel_test, the test-suite for any kernel, with every sample filled in (G9, G34)."""

from __future__ import annotations

import jupyter_kernel_test
import pytest

pytestmark = [
    pytest.mark.usefixtures("kernelspec"),
    # The suite stops its channels and leaves the manager's sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


SAMPLES = (
    "code_", "complet", "incomplete", "invalid", "support", "language", "file",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _spec(kernelspec):
    """Before the classes start their kernels."""


class TestKernel(jupyter_kernel_test.KernelTests):
    """G9: each request has its reply, in the form that the protocol's schema demands."""

    kernel_name = "bulkhead"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = [
        {"text": "zi", "matches": {"zip"}},
        {"text": "import itertools; itertools.prod", "matches": {"product"}},
        {"text": "%matplotl", "matches": {"%matplotlib"}},
    ]
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n", "%ls"]
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2", "for i in x:", "%%bash\nls"]
    invalid_code_samples = ["import = 7q", "a b", ")"]
    code_page_something = "zip?"
    code_generate_error = "raise ValueError('x')"
    code_execute_result = [
        {"code": "1 + 2 + 3", "result": "6"},
        {"code": "[n * n for n in range(1, 4)]", "result": "[1, 4, 9]"},
        {
            "code": "from IPython.display import HTML; HTML('<b>x</b>')",
            "mime": "text/html",
            "result": "<b>x</b>",
        },
        {"code": "1 + 2 + 3", "result": "6"},
        {"code": "1 + 2 + 3", "result": "6"},
    ]
    code_display_data = [
        {"code": f"from IPython.display import *; display({what})", "mime": mime}
        for what, mime in {
            "HTML('<b>test</b>')": "text/html",
            "Markdown('*x*')": "text/markdown",
            "Latex('$x$')": "text/latex",
            "JSON({'a': 1})": "application/json",
            "Javascript('1')": "application/javascript",
            "SVG('<svg></svg>')": "image/svg+xml",
            "Image(b'\\x89PNG\\r\\n\\x1a\\n', format='png')": "image/png",
        }.items()
    ]
    code_history_pattern = "1?+?2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


class TestWelcome(jupyter_kernel_test.IopubWelcomeTests):
    """G34: a client that subscribes is welcomed before anything else."""

    kernel_name = "bulkhead"
    support_iopub_welcome = True


def test_nothing_of_the_suite_is_skipped():
    """Each optional sample of the suite is filled in; a new one has to be, too."""
    for ours in (TestKernel, TestWelcome):
        for name, value in vars(ours.__mro__[1]).items():
            if name.startswith(SAMPLES):
                assert not value, "the suite itself has no samples"
                assert vars(ours)[name], name
