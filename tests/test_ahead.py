"""The first half of the work, a step ahead of the second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from edge_alpr.ahead import Ahead, InTurn

WAYS = [lambda items, work: Ahead(items, work, "first"), InTurn]
Way = Callable[[object, Callable[[int], int]], InTurn[int, int]]


@pytest.mark.parametrize("way", WAYS)
def test_results_come_in_the_order_of_their_items(way: Way) -> None:
    with way(range(50), lambda number: number**2) as results:
        assert list(results) == [number**2 for number in range(50)]


def test_both_halves_are_worked_on_at_a_time() -> None:
    """Each half waits for the other one's next or last item, which never comes where they take turns."""
    begun = [threading.Event() for _ in range(4)]

    def first(number: int) -> int:
        begun[number].set()
        return number

    with Ahead(range(3), first, "first") as results:
        for number in results:
            assert number == 2 or begun[number + 1].wait(5)


def test_no_more_than_one_result_waits() -> None:
    taken: list[int] = []
    with Ahead(range(100), lambda number: taken.append(number) or number, "first") as results:
        for number in results:
            time.sleep(0.005)
            assert taken[-1] <= number + 1, "the newest frame of a camera is taken when it is wanted"
            if number == 20:
                break
    assert taken[-1] <= 21


@pytest.mark.parametrize("way", WAYS)
def test_at_the_end_what_was_taken_still_comes(way: Way) -> None:
    taken: list[int] = []
    done = []
    with way(range(100), lambda number: taken.append(number) or number) as results:
        for number in results:
            done.append(number)
            if number == 5:
                results.end()
    assert done == taken and 6 <= len(taken) <= 7


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["items", "work"])
def test_an_error_comes_behind_the_results_before_it(way: Way, where: str) -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        if where == "items":
            raise OSError("gone")
        yield 3

    def work(number: int) -> int:
        if number == 3:
            raise OSError("gone")
        return number

    done = []
    with pytest.raises(OSError, match="gone"), way(items(), work) as results:
        done.extend(results)
    with pytest.raises(OSError, match="gone"), way(items(), work) as results:
        for number in results:
            done.append(number)
    assert done[-3:] == [0, 1, 2]


def test_the_thread_is_gone_when_the_context_is_left() -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Ahead(range(9), lambda number: number, "first") as results:
        for _ in results:
            raise KeyboardInterrupt
    with Ahead(range(9), lambda number: number, "first"):
        pass
    assert threading.active_count() == before
