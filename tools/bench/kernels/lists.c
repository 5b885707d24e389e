/* Pointers: a linked list of 60 nodes searched, reversed and merge-sorted, in CoreMark's manner. */
#include <stddef.h>
#include <stdint.h>

struct node {
    struct node *next;
    int16_t value, index;
};

enum { NODES = 60 };
static struct node pool[NODES];

static int by_value(const struct node *a, const struct node *b) { return a->value - b->value; }
static int by_index(const struct node *a, const struct node *b) { return a->index - b->index; }

static struct node *build(uint32_t seed) {
    struct node *head = NULL;
    for (int i = NODES - 1; i >= 0; i--) {
        seed = seed * 1664525 + 1013904223;
        pool[i].value = (int16_t)(seed >> 17);
        pool[i].index = i;
        pool[i].next = head;
        head = &pool[i];
    }
    return head;
}

__attribute__((noinline)) static const struct node *find(const struct node *at, int value) {
    while (at && at->value != value)
        at = at->next;
    return at;
}

__attribute__((noinline)) static struct node *reverse(struct node *head) {
    struct node *done = NULL;
    while (head) {
        struct node *next = head->next;
        head->next = done;
        done = head;
        head = next;
    }
    return done;
}

__attribute__((noinline)) static struct node *sort(struct node *list,
                                                   int (*compare)(const struct node *, const struct node *)) {
    for (int size = 1;; size *= 2) {
        struct node *p = list, *tail = NULL;
        int merges = 0;
        list = NULL;
        while (p) {
            struct node *q = p;
            int left = 0, right = size;
            merges++;
            while (left < size && q) {
                left++;
                q = q->next;
            }
            while (left > 0 || (right > 0 && q)) {
                struct node *e;
                if (left > 0 && (right == 0 || !q || compare(p, q) <= 0))
                    e = p, p = p->next, left--;
                else
                    e = q, q = q->next, right--;
                if (tail)
                    tail->next = e;
                else
                    list = e;
                tail = e;
            }
            p = q;
        }
        tail->next = NULL;
        if (merges <= 1)
            return list;
    }
}

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct node *head = build(i);
        for (int k = 0; k < 8; k++) {
            const struct node *at = find(head, pool[(i + k * 13) % NODES].value);
            sum = sum * 31 + (at ? (uint32_t)at->index : 99);
            head = reverse(head);
        }
        head = sort(head, by_value);
        sum = sum * 31 + (uint32_t)head->next->index;
        head = sort(head, by_index);
        sum = sum * 31 + (uint32_t)head->next->value;
    }
    return sum;
}
