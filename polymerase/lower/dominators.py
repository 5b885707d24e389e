"""Dominators and loops of a reducible control flow graph, in time n log n.

Blocks are numbers in reverse postorder. In a reducible graph an edge to a lower or equal number is a back edge to a
block that dominates its source, so one pass over the forward edges finds every immediate dominator: the nearest common
ancestor of the predecessors in the tree built so far. Jump pointers (Myers, "An applicative random-access stack", 1983)
make that logarithmic even where the tree is a chain of 100,000 blocks.
"""

from __future__ import annotations

from polymerase.lower.cfg import Block


class Dominators:
    """`parent[b]`: immediate dominator (-1 for the entry)."""

    def __init__(self, order: list[Block]) -> None:
        n = len(order)
        self.parent = [-1] * n
        self.level = [0] * n
        self.jump = [0] * n
        for b in range(1, n):
            parent = -1
            for pred in order[b].preds:
                if pred.id < b:
                    parent = pred.id if parent < 0 else self.common(parent, pred.id)
            self.parent[b] = parent
            self.level[b] = self.level[parent] + 1
            jump = self.jump[parent]
            far = self.jump[jump]
            same = self.level[parent] - self.level[jump] == self.level[jump] - self.level[far]
            self.jump[b] = far if same else parent

    def common(self, a: int, b: int) -> int:
        """The nearest block that dominates both."""
        parent, jump, level = self.parent, self.jump, self.level
        if level[a] > level[b]:
            a, b = b, a
        target = level[a]
        while level[b] > target:
            b = jump[b] if level[jump[b]] >= target else parent[b]
        while a != b:
            if jump[a] != jump[b]:
                a, b = jump[a], jump[b]
            else:
                a, b = parent[a], parent[b]
        return a


def find_loops(order: list[Block]) -> tuple[list[bool], list[int]]:
    """Which blocks head a loop, and for each block the header of the innermost loop around it (-1: none).

    A header's own entry names the loop around its loop. Inner loops first, each collapsed into its header once found
    (Tarjan), so that every edge is followed about once.
    """
    n = len(order)
    is_header = [False] * n
    around = [-1] * n
    into = list(range(n))  # union-find: the outermost loop found so far

    def find(b: int) -> int:
        root = b
        while into[root] != root:
            root = into[root]
        while into[b] != root:
            into[b], b = root, into[b]
        return root

    for h in range(n - 1, -1, -1):
        work = [pred.id for pred in order[h].preds if pred.id >= h]
        if not work:
            continue
        is_header[h] = True
        while work:
            b = find(work.pop())
            if b == h:
                continue
            into[b] = h
            around[b] = h
            work.extend(pred.id for pred in order[b].preds if pred.id < b)
    return is_header, around
