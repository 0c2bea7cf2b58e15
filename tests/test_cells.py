"""The file names of cells: a frontend computes the same ones by itself."""

from __future__ import annotations

import pytest
from bulkhead_kernel.shared.cells import SEED, file_name, murmur2
from hypothesis import given
from hypothesis import strategies as st

compiler = pytest.importorskip("ipykernel.compiler")


class TestNames:
    @given(st.text(alphabet=st.characters(codec="utf-8"), max_size=50))
    def test_the_hash_is_the_one_that_ipykernel_has(self, code):
        """Frontends have the same function, made to agree with that one."""
        assert murmur2(code.encode(), SEED) == compiler.murmur2_x86(code, SEED)

    @pytest.mark.parametrize("code", ["", "a", "ab", "abc", "abcd", "abcde", "ä€😀"])
    def test_every_remainder_of_the_length(self, code):
        """Words have four bytes; what is left over counts, too."""
        assert murmur2(code.encode(), SEED) == compiler.murmur2_x86(code, SEED)

    def test_a_file_name(self):
        """Prefix, hash, suffix; a cell that is no proper text has one as well."""
        assert file_name("/x/", "f(2, 3)") == f"/x/{murmur2(b'f(2, 3)', SEED)}.py"
        assert file_name("/x/", "'\ud800'").endswith(".py")
