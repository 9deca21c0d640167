"""What a network is fed with: layouts, channel orders and scales of the same grey picture."""

from __future__ import annotations

import numpy as np
import pytest

from edge_alpr.feed import Feed, FeedBuffer

PICTURE = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10


def fed(feed: Feed, batch: int = 1) -> np.ndarray:
    buffer = FeedBuffer(feed, batch)
    for plane in buffer.planes:
        plane[:] = PICTURE
    (array,) = buffer.feeds(batch).values()
    assert array.dtype == feed.dtype
    return array


def test_luma_bytes_are_not_copied() -> None:
    for feed in (Feed("x", (1, 1, 4, 6)), Feed("x", (1, 4, 6, 1), "NHWC")):
        buffer = FeedBuffer(feed, 1)
        buffer.planes[0] = PICTURE
        array = buffer.feeds(1)["x"]
        assert array.shape == feed.shape
        assert np.shares_memory(array, buffer.planes)
        assert np.array_equal(array.reshape(4, 6), PICTURE)


def test_three_channels_are_the_luma_three_times() -> None:
    assert np.array_equal(fed(Feed("x", (0, 3, 4, 6)), 2), np.broadcast_to(PICTURE, (2, 3, 4, 6)))
    tall = fed(Feed("x", (1, 4, 6, 3), "NHWC"))
    assert np.array_equal(tall[0, :, :, 2], PICTURE)


@pytest.mark.parametrize(("axes", "shape"), [("NCHW", (1, 3, 4, 6)), ("NHWC", (1, 4, 6, 3))])
def test_a_float_network_is_given_scaled_levels(axes: str, shape: tuple[int, ...]) -> None:
    feed = Feed("x", shape, axes, "float32", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    array = fed(feed) if axes == "NCHW" else np.moveaxis(fed(feed), -1, 1)
    for channel, mean, std in zip(array[0], feed.mean, feed.std, strict=True):
        np.testing.assert_allclose(channel, (PICTURE / 255 - mean) / std, atol=1e-6)


def test_one_mean_may_meet_three_deviations() -> None:
    array = fed(Feed("x", (1, 3, 4, 6), dtype="float32", scale=1.0, mean=(127.5,), std=(1.0, 2.0, 4.0)))
    np.testing.assert_allclose(array[0, 1], (PICTURE - 127.5) / 2)


def test_a_second_picture_leaves_nothing_of_the_first() -> None:
    buffer = FeedBuffer(Feed("x", (0, 1, 4, 6), dtype="float32"), 2)
    buffer.planes[:] = 255
    assert buffer.feeds(2)["x"].shape == (2, 1, 4, 6)
    buffer.planes[0] = 0
    array = buffer.feeds(1)["x"]
    assert array.shape == (1, 1, 4, 6)
    assert not array.any()


def test_sizes_are_found_in_any_order() -> None:
    assert Feed("x", (0, 3, 48, 160)).size == Feed("x", (0, 48, 160, 3), "NHWC").size == (48, 160)
    assert Feed("x", (0, 48, 160, 3), "NHWC").channels == 3
