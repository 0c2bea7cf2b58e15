"""Which requests were sent before their client could know of a failure, by its own clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from bulkhead_kernel.supervisor.unaware import AT_ONCE, HORIZON, RECENT, Unaware, read
from bulkhead_kernel.supervisor.wire import Message
from hypothesis import given
from hypothesis import strategies as st

EPOCH = datetime(2026, 11, 21, 12, tzinfo=UTC)
CELL = b'{"cellId":"c"}'


def iso(seconds):
    """Give the date so many seconds after noon, as Python writes it."""
    return (EPOCH + timedelta(seconds=seconds)).isoformat()


def milliseconds(seconds):
    """Give it as a browser writes it."""
    return (
        (EPOCH + timedelta(seconds=seconds))
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


class Kernel:
    """What Shell does. Times are the client's, from noon on; the kernel's clock is another."""

    def __init__(self, *, metadata=CELL, written=milliseconds):
        self.unaware = Unaware()
        self.metadata, self.written = metadata, written
        self.count = 0

    def arrive(self, made, takes=0.001, msg_type="execute_request", *, date=None, session="s"):
        """Let a request arrive; tell whether it is unaware. Its name is its number."""
        self.count += 1
        date = self.written(made) if date is None else date
        request = self.message(self.count, msg_type, date, session)
        return self.unaware.arrive(request, 10_000 + made + takes - 1000)

    def message(self, number, msg_type="execute_request", date="", session="s"):
        return Message(
            (), b"{}", b"{}", self.metadata, b"{}", (), str(number), msg_type,
            session=session, date=date,
        )  # fmt: skip

    def answer(self, number, at, *, failed=False, session="s"):
        message = self.message(number, session=session)
        self.unaware.answered(message, 10_000 + at - 1000, failed=failed)


@pytest.fixture
def page():
    """A page that has asked two things and got a quick way to the kernel."""
    kernel = Kernel()
    kernel.arrive(-5.0, 0.001, "kernel_info_request")
    kernel.arrive(-4.999, 0.002, "comm_info_request")
    return kernel


@pytest.fixture
def script():
    """The same of a script, whose requests name no cell of a notebook."""
    kernel = Kernel(metadata=b"{}", written=iso)
    kernel.arrive(-5.0, 0.001, "kernel_info_request")
    kernel.arrive(-4.999, 0.002, "comm_info_request")
    return kernel


@pytest.fixture(params=["page", "script"])
def client(request):
    return request.getfixturevalue(request.param)


class TestMadeBeforeTheReply:
    def test_what_was_made_before_it_is_unaware(self, client):
        """G11, G21: it was on its way."""
        client.arrive(0)
        client.answer(3, 0.100, failed=True)
        assert client.arrive(0.090, takes=0.05)
        assert client.arrive(0.090, takes=2.5), "in the same millisecond"

    def test_what_was_made_after_it_is_not(self, client):
        """G21: whoever has the reply is not held up, however quick."""
        client.arrive(0)
        client.answer(3, 0.100, failed=True)
        assert not client.arrive(0.101, takes=0)

    def test_what_may_have_been_made_after_it_is_not(self, client):
        """G21: the offset of the clocks is known to as much as the quickest way took."""
        client.arrive(0)
        client.answer(3, 0.100, failed=True)
        assert not client.arrive(0.0991, takes=0.01)

    def test_one_that_is_aware_ends_it(self, client):
        """G21: a client does not forget."""
        client.arrive(0)
        client.answer(3, 0.100, failed=True)
        assert not client.arrive(0.2)
        assert not client.arrive(0.2)

    def test_other_requests_are_answered(self, client):
        """G11: only executions are aborted."""
        client.arrive(0)
        client.answer(3, 0.100, failed=True)
        assert not client.arrive(0.05, 0.2, "complete_request")
        assert client.arrive(0.06, 0.2)

    def test_without_a_failure_nothing_is_unaware(self, client):
        """G11: a success and an error without stop_on_error abort nothing."""
        client.arrive(0)
        client.answer(3, 0.100)
        assert not client.arrive(0.05, takes=0.2)

    def test_other_sessions_have_not_failed(self, client):
        """G11: another window's cells are its own affair, once the failure was answered."""
        client.arrive(-1, msg_type="kernel_info_request", session="other")
        client.arrive(-0.9, msg_type="kernel_info_request", session="other")
        client.arrive(0)
        client.answer(5, 0.100, failed=True)
        assert not client.arrive(0.05, 0.2, session="other")

    def test_what_comes_much_later_is_run(self, client):
        """G21: whatever its date says; a person would not understand why it is not."""
        client.arrive(0)
        client.answer(3, 0.100, failed=True)
        assert not client.arrive(0.05, takes=0.06 + HORIZON)


class TestOneRunAll:
    def test_goes_on_after_the_reply(self, page):
        """G11, G21: a page that sends many cells does not listen meanwhile."""
        page.arrive(0)
        page.arrive(0.010)  # before the first one was answered: this client does not wait
        page.answer(3, 0.0111)
        page.answer(4, 0.0112, failed=True)
        assert [page.arrive(0.030 + i / 50) for i in range(100)] == [True] * 100

    def test_ends_with_a_pause(self, page):
        """G21: a person has looked."""
        page.arrive(0)
        page.arrive(0.010)
        page.answer(3, 0.0111, failed=True)
        assert page.arrive(0.020)
        assert not page.arrive(0.021 + AT_ONCE)
        assert not page.arrive(0.022 + AT_ONCE)

    def test_can_be_started_anew(self, page):
        """G21: its cells run, as many as there are."""
        for made in (0, 0.010):
            page.arrive(made)
        page.answer(3, 0.011, failed=True)
        assert [page.arrive(1 + i / 100) for i in range(10)] == [False] * 10

    def test_is_not_seen_by_a_clock_that_ticks_slowly(self):
        """G21: what seems to be sent at once may be a second apart."""
        page = Kernel(written=lambda made: milliseconds(made // 1))
        for made in (-5, -4, 0, 0.2):
            page.arrive(made)
        page.answer(3, 0.3, failed=True)
        assert not page.arrive(0.9)

    def test_is_no_client_that_waits(self, page):
        """G21: who sends one cell after the other's reply may be as quick as it likes."""
        page.arrive(0, 0.001)
        page.answer(3, 0.002)
        page.arrive(0.004, 0.001)
        page.answer(4, 0.006, failed=True)
        assert not page.arrive(0.008)

    def test_is_no_script(self, script):
        """G21: a script may send several at once, and go on as soon as it has a reply."""
        script.arrive(0)
        script.arrive(0.001)
        script.answer(3, 0.005, failed=True)
        script.answer(4, 0.005)
        assert not script.arrive(0.006)

    def test_ends_after_a_while(self, page):
        """G21: a key that is held down starts cells again in the end."""
        page.arrive(0)
        page.arrive(0.033)
        page.answer(3, 0.05, failed=True)
        aborted = [page.arrive(0.066 + i / 30) for i in range(120)]
        assert aborted == sorted(aborted, reverse=True)
        assert 80 < sum(aborted) < 100


class TestClocksThatAreNotBelieved:
    def fail(self, kernel, date=lambda _: None):
        """Fail, and tell whether the next one, which is made after the reply, is unaware."""
        kernel.arrive(0, date=date(0))
        kernel.answer(kernel.count, 0.100, failed=True)
        return kernel.arrive(0.150, date=date(0.150))

    @pytest.mark.parametrize(
        "date",
        [
            "",
            "yesterday",
            "2026-11-21T12:00:00.000",
            "2026-11-21",
            "0001-01-01T00:00:00+23:59",
            "9",
        ],
    )
    def test_no_date(self, client, date):
        """G21: nothing is known of a client whose dates are missing, malformed or without zone."""
        assert not self.fail(client, lambda _: date)

    def test_one_that_stands_still(self):
        """G21: a client that puts the same date into every header is never aborted for it."""
        for metadata in (b"{}", CELL):
            kernel = Kernel(metadata=metadata)
            for second in range(-3, 3):
                assert not kernel.arrive(second, date="2026-01-01T00:00:00+00:00")
                kernel.answer(kernel.count, second + 0.5, failed=True)
                assert not kernel.arrive(second + 0.6, date="2026-01-01T00:00:00+00:00")

    def test_one_that_goes_back(self, client):
        """G21: it was set, or there are two of them; what was known is worth nothing."""
        assert not self.fail(client, lambda made: iso(made - 10 * made))

    def test_one_that_jumps_and_then_stands_still(self, client):
        """G21: a clock far ahead, that does not run, beside one that does."""
        client.arrive(-0.2)
        assert not self.fail(client, lambda _: iso(500))

    @pytest.mark.parametrize("tick", [0.0156, 0.1, 1.0])
    def test_one_that_ticks_slowly(self, tick):
        """G21: its dates may be too early by a tick, however many digits they have."""
        kernel = Kernel(metadata=b"{}", written=lambda made: iso(made // tick * tick))
        for i in range(50):
            kernel.arrive(i * 0.7 - 100, 0.0001, "complete_request")
        for i in range(50):
            kernel.arrive(i * 0.7, 0.0001)
            kernel.answer(kernel.count, i * 0.7 + 0.01, failed=True)
            assert not kernel.arrive(i * 0.7 + 0.0101, 0.0001)

    def test_what_was_known_of_it_long_ago(self, client):
        """G21: clocks drift; a slow one is behind by then."""
        behind = 0.5
        made = RECENT + 1
        client.arrive(made, date=iso(made - behind))
        client.answer(client.count, made + 0.01, failed=True)
        assert not client.arrive(made + 0.3, date=iso(made + 0.3 - behind))

    def test_sessions_are_forgotten(self, client):
        """Clients come and go; none is remembered for ever."""
        client.arrive(0)
        client.answer(3, 0.100, failed=True)
        for other in range(1000):
            client.arrive(0.1, msg_type="kernel_info_request", session=f"other {other}")
        assert not client.arrive(0.05, takes=0.1)

    def test_a_request_without_a_session_is_nobody_s(self, client):
        """G21: it could be anybody's."""
        for made in (-0.002, -0.001, 0):
            client.arrive(made, session="")
        client.answer(5, 0.100, failed=True, session="")
        assert not client.arrive(0.05, 0.2, session="")


class TestDates:
    def test_are_read_in_any_zone(self):
        """A date is a moment."""
        noon = EPOCH.timestamp()
        there = EPOCH.astimezone(timezone(timedelta(hours=-5, minutes=-30)))
        for date in (iso(0), milliseconds(0), "2026-11-21T12:00:00Z", there.isoformat()):
            assert read(date) == noon
        assert read("2026-11-21T12:00:00.250Z") == noon + 0.25


TICKS = st.sampled_from([1e-6, 0.001, 0.01, 0.0156, 0.1, 1.0])
QUIET = st.lists(st.tuples(st.floats(0, 0.3), st.floats(0, 0.2)), max_size=6)
STEPS = st.lists(
    st.tuples(st.floats(0, 0.4), st.floats(0, 0.3), st.booleans(), st.booleans()), max_size=25
)


@given(TICKS, st.floats(-1e6, 1e6), QUIET, STEPS)
def test_whoever_has_seen_the_failure_is_never_aborted(tick, offset, quiet, steps):
    """G21: whatever the clocks say and however long messages take, as long as the clock runs."""
    kernel = Kernel(metadata=b"{}", written=lambda made: iso((made + offset) // tick * tick))
    now = last = 0.0
    failed = None
    for pause, takes in quiet:
        now += pause
        last = max(last, now + takes)  # messages do not overtake each other
        kernel.arrive(now, last - now, "complete_request")
    for pause, takes, answers, fails in steps:
        now += pause
        last = max(last, now + takes)
        unaware = kernel.arrive(now, last - now)
        if unaware:
            assert failed is not None
            assert now < failed, "it was made before the failure was answered"
        elif answers:
            last += 0.001
            kernel.answer(kernel.count, last, failed=fails)
            failed = last if fails else failed
