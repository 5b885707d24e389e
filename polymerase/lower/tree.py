"""What lies where: the dominator tree of a graph, with what follows a loop moved out of the loop."""

from __future__ import annotations

from copy import copy

from polymerase.lower.cfg import Block, single_ways_in
from polymerase.lower.dominators import Dominators

SMALL_EXIT = 3  # statements of a last block that stays inside the loop which it leaves


class Tree:
    """The tree, by numbers of blocks.

    `body[x]`: the merges written after block x, inside its loop if x heads one; `after[x]`: those after that loop.
    `inlined[x]`: written where its only predecessor, `parent[x]`, branches to it. `loop_in[x]`: the header of the
    innermost `while` around x's own code (x itself for a header), `loop_out[x]`: around x as a whole; -1 for none.
    """

    def __init__(self, order: list[Block], is_header: list[bool], around: list[int], depth: list[int]) -> None:
        n = len(order)
        self.order = order
        self.parent = Dominators(order).parent
        self.is_header = is_header
        self.inlined = single_ways_in(order)
        self.size = [1] * n
        for b in range(n - 1, 0, -1):
            self.size[self.parent[b]] += self.size[b]
        self.is_after = [False] * n
        self._move_exits(around, depth)
        self._lay_out()

    def _lay_out(self) -> None:
        n = len(self.order)
        self.body: list[list[int]] = [[] for _ in range(n)]
        self.after: list[list[int]] = [[] for _ in range(n)]
        for b in range(1, n):
            if not self.inlined[b]:
                (self.after if self.is_after[b] else self.body)[self.parent[b]].append(b)
        self.loop_in = [-1] * n
        self.loop_out = [-1] * n
        for b in range(n):
            p = self.parent[b]
            self.loop_out[b] = -1 if p < 0 else self.loop_out[p] if self.is_after[b] else self.loop_in[p]
            self.loop_in[b] = b if self.is_header[b] else self.loop_out[b]
        self._number()

    def _move_exits(self, around: list[int], depth: list[int]) -> None:
        """Choose what follows each loop, inner loops first: merges outside it, else the largest of its exits."""
        order = self.order
        exits: dict[int, list[int]] = {}
        for b in range(1, len(order)):
            p = self.parent[b]
            h = p if self.is_header[p] else around[p]
            if h >= 0 and not _inside(b, h, around):
                exits.setdefault(h, []).append(b)
        headers = [h for h in range(len(order)) if self.is_header[h]]
        for h in sorted(headers, key=lambda h: -depth[h]):
            found = sorted(exits.get(h, ()))
            if not found:
                continue
            after = [b for b in found if not self.inlined[b]]
            if not after:
                b = max(found, key=lambda b: self.size[b])
                block = order[b]
                if self.size[b] > 1 or block.term is not None or len(block.stmts) > SMALL_EXIT:
                    after = [b]
            for b in after:
                self.parent[b] = h
                self.inlined[b] = False
                self.is_after[b] = True
                outer = around[h]
                if outer >= 0 and not _inside(b, outer, around):
                    exits.setdefault(outer, []).append(b)

    def root(self, loop: int) -> int:
        """The block whose sequence is the loop's (-1: the function's) body."""
        return max(loop, 0)

    def hoist(self, roots: set[int]) -> Tree:
        """A tree in which the merges directly inside these loops all are segments of the loop's own sequence."""
        tree = copy(self)
        tree.parent = list(self.parent)
        tree.is_after = list(self.is_after)
        for b in range(1, len(self.order)):
            p = self.parent[b]
            if self.inlined[b]:
                continue
            root = self.root(self.loop_out[p] if self.is_after[b] else self.loop_in[p])
            if root not in roots:
                continue
            if self.is_after[b] and all(self._lies_in(pred.id, p) for pred in self.order[b].preds):
                continue
            tree.parent[b] = root
            tree.is_after[b] = False
        tree._lay_out()
        return tree

    def _lies_in(self, b: int, h: int) -> bool:
        """Whether b is written inside the `while` of header h."""
        loop = self.loop_in[b]
        while loop > h:
            loop = self.loop_out[loop]
        return loop == h

    def _number(self) -> None:
        """Number the tree in the order in which it is written: own code and inlined blocks, body, after."""
        n = len(self.order)
        own: list[list[int]] = [[] for _ in range(n)]
        for b in range(1, n):
            if self.inlined[b]:
                own[self.parent[b]].append(b)
        self.position = [0] * n
        count = 0
        stack = [0]
        while stack:
            x = stack.pop()
            self.position[x] = count
            count += 1
            stack.extend(reversed(self.after[x]))
            stack.extend(reversed(self.body[x]))
            stack.extend(reversed(own[x]))


def loop_depth(is_header: list[bool], around: list[int]) -> list[int]:
    """How many loops each block lies in; a header lies in its own."""
    depth = [0] * len(around)
    for b, h in enumerate(around):
        depth[b] = (depth[h] if h >= 0 else 0) + (1 if is_header[b] else 0)
    return depth


def _inside(b: int, h: int, around: list[int]) -> bool:
    """Whether block b is in the loop headed by h."""
    while b > h:
        b = around[b]
    return b == h
