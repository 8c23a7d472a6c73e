"""A port that rests: nobody who connects meanwhile is turned away."""

from __future__ import annotations

import selectors
import socket
from math import inf

from esp32_bench import free_port

from echostream.network.esp32_ports import RETRY_S, PortHolder


def test_who_connects_while_nothing_can_be_taken_waits() -> None:
    port = free_port()
    with selectors.DefaultSelector() as selector:
        holder = PortHolder(socket.SOCK_STREAM, selector, "tcp")
        holder.want("127.0.0.1", port, 10.0)
        assert holder.due_at_s == 10.0
        holder.open_if_due(10.0)
        assert (holder.port, holder.due_at_s) == (port, inf)
        holder.pause(11.0)
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            holder.open_if_due(10.9)
            assert selector.select(0) == []
            holder.open_if_due(11.0)
            assert [key.data for key, _ in selector.select(1)] == ["tcp"]
        holder.pause(20.0)
        holder.close()
        assert (holder.port, holder.due_at_s) == (0, inf)


def test_another_port_takes_the_place_of_the_old_one_and_the_same_one_changes_nothing() -> None:
    with selectors.DefaultSelector() as selector:
        holder = PortHolder(socket.SOCK_DGRAM, selector, "udp")
        first, second = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
        holder.want("127.0.0.1", first, 0.0)
        holder.open_if_due(0.0)
        sock = holder.sock
        holder.want("127.0.0.1", first, 1.0)
        assert holder.sock is sock
        holder.want("127.0.0.1", second, 1.0)
        holder.open_if_due(1.0)
        assert holder.port == second
        holder.want("127.0.0.1", None, 2.0)
        holder.open_if_due(2.0 + RETRY_S)
        assert (holder.port, len(selector.get_map())) == (0, 0)
