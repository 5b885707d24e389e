"""Pointers: a linked list of 60 nodes searched, reversed and merge-sorted, in CoreMark's manner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NODES = 60
Link = Any  # Node | None: the counters tell which, and mypy cannot know


class Node:
    __slots__ = ("next", "value", "index")

    def __init__(self, next: Link, value: int, index: int) -> None:
        self.next = next
        self.value = value
        self.index = index


def by_value(a: Node, b: Node) -> int:
    return a.value - b.value


def by_index(a: Node, b: Node) -> int:
    return a.index - b.index


def build(seed: int) -> list[Node]:
    pool: list[Node] = []
    head = None
    for i in range(NODES - 1, -1, -1):
        seed = seed * 1664525 + 1013904223 & 0xFFFFFFFF
        value = seed >> 17
        head = Node(head, value, i)
        pool.append(head)
    pool.reverse()
    return pool


def find(at: Link, value: int) -> Link:
    while at and at.value != value:
        at = at.next
    return at


def reverse(head: Link) -> Link:
    done = None
    while head:
        head.next, done, head = done, head, head.next
    return done


def sort(head: Link, compare: Callable[[Node, Node], int]) -> Link:
    size = 1
    while True:
        p = head
        head = None
        tail: Link = None
        merges = 0
        while p:
            q: Link = p
            left = 0
            right = size
            merges += 1
            while left < size and q:
                left += 1
                q = q.next
            while left > 0 or (right > 0 and q):
                if left > 0 and (right == 0 or not q or compare(p, q) <= 0):
                    e = p
                    p = p.next
                    left -= 1
                else:
                    e = q
                    q = q.next
                    right -= 1
                if tail:
                    tail.next = e
                else:
                    head = e
                tail = e
            p = q
        tail.next = None
        if merges <= 1:
            return head
        size *= 2


def run(n: int) -> int:
    total = 0
    for i in range(n):
        pool = build(i)
        head: Link = pool[0]
        for k in range(8):
            at = find(head, pool[(i + k * 13) % NODES].value)
            total = (total * 31 + (at.index if at else 99)) & 0xFFFFFFFF
            head = reverse(head)
        head = sort(head, by_value)
        total = (total * 31 + head.next.index) & 0xFFFFFFFF
        head = sort(head, by_index)
        total = (total * 31 + head.next.value) & 0xFFFFFFFF
    return total
