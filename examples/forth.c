/* A WASI command: a small Forth. Reads programs from standard input, or evaluates its arguments.

   Numbers, + - * / mod = < > and or xor invert dup drop swap over rot . .s cr emit, ( comments ), \ comments, ." text",
   : name … ; with recurse, if else then, begin until, begin while repeat, do i j loop, variable @ ! and words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STACK = 256, CODE = 16384, WORDS = 512, NAME = 32 };

typedef void (*Action)(void);
typedef struct {
    char name[NAME];
    Action action; /* what a primitive does; NULL: a definition, its code at `start` */
    int start, immediate;
} Word;

static long stack[STACK], calls[STACK];
static int depth, call_depth, code_size, words, compiling;
static long code[CODE];
static Word dictionary[WORDS];
static int pc;
static const char *source;

static void fail(const char *what, const char *name) {
    printf("\nerror: %s%s%s\n", what, *name ? " " : "", name);
    fflush(stdout);
    exit(1);
}
static void push(long n) {
    if (depth == STACK) fail("stack overflow", "");
    stack[depth++] = n;
}
static long pop(void) {
    if (!depth) fail("stack underflow", "");
    return stack[--depth];
}
static void rpush(long n) {
    if (call_depth == STACK) fail("too many calls", "");
    calls[call_depth++] = n;
}
static long rpop(void) { return calls[--call_depth]; }
static int emit(long n) {
    if (code_size == CODE) fail("out of memory", "");
    code[code_size] = n;
    return code_size++;
}

#define BINARY(name, expression) \
    static void name(void) { \
        long b = pop(), a = pop(); \
        push(expression); \
    }
static long checked(long b) {
    if (!b) fail("division by zero", "");
    return b;
}
BINARY(add, a + b)
BINARY(subtract, a - b)
BINARY(multiply, a *b)
BINARY(divide, a / checked(b))
BINARY(modulo, a % checked(b))
BINARY(equal, -(a == b))
BINARY(less, -(a < b))
BINARY(greater, -(a > b))
BINARY(and_, a &b)
BINARY(or_, a | b)
BINARY(xor_, a ^ b)
static void invert(void) { push(~pop()); }
static void pick(int n) {
    if (depth <= n) fail("stack underflow", "");
    push(stack[depth - 1 - n]);
}
static void dup(void) { pick(0); }
static void over(void) { pick(1); }
static void drop(void) { pop(); }
static void swap(void) {
    long b = pop(), a = pop();
    push(b), push(a);
}
static void rot(void) {
    long c = pop(), b = pop(), a = pop();
    push(b), push(c), push(a);
}
static void dot(void) { printf("%ld ", pop()); }
static void dot_s(void) {
    printf("<%d> ", depth);
    for (int i = 0; i < depth; i++) printf("%ld ", stack[i]);
}
static void cr(void) { putchar('\n'); }
static void emit_(void) { putchar((int)pop()); }
static long *cell(long at) {
    if (at < 0 || at >= CODE) fail("bad address", "");
    return &code[at];
}
static void fetch(void) { push(*cell(pop())); }
static void store(void) {
    long at = pop();
    *cell(at) = pop();
}
static void literal(void) { push(code[pc++]); }
static void jump(void) { pc = (int)code[pc]; }
static void jump_if_not(void) { pc = pop() ? pc + 1 : (int)code[pc]; }
static void leave(void) { pc = (int)rpop(); }
static void print_text(void) {
    for (long n = code[pc++]; n > 0; n--) putchar((int)code[pc++]);
}
static void do_(void) {
    long start = pop(), end = pop();
    rpush(end), rpush(start);
}
static void loop_(void) {
    if (++calls[call_depth - 1] < calls[call_depth - 2]) {
        pc = (int)code[pc];
    } else {
        pc++;
        call_depth -= 2;
    }
}
static void index_of(int level) {
    if (call_depth < 2 * level) fail("not in a loop", "");
    push(calls[call_depth - 2 * level + 1]);
}
static void i_(void) { index_of(1); }
static void j_(void) { index_of(2); }

static void run(int word) {
    Word *w = &dictionary[word];
    if (w->action) {
        w->action();
        return;
    }
    int bottom = call_depth;
    rpush(pc);
    pc = w->start;
    while (call_depth > bottom) {
        w = &dictionary[code[pc++]];
        if (w->action) {
            w->action();
        } else {
            rpush(pc);
            pc = w->start;
        }
    }
}

static int find(const char *name) {
    for (int i = words - 1; i >= 0; i--)
        if (strcmp(dictionary[i].name, name) == 0) return i;
    return -1;
}
static void define(const char *name, Action action, int immediate) {
    if (words == WORDS) fail("too many words", "");
    Word *w = &dictionary[words++];
    strncpy(w->name, name, NAME - 1);
    w->action = action, w->start = code_size, w->immediate = immediate;
}
static int next(char *token) {
    int n = 0;
    while (*source && *source <= ' ') source++;
    while (*source > ' ' && n < NAME - 1) token[n++] = *source++;
    token[n] = 0;
    return n;
}
static void compile(const char *name) { emit(find(name)); }

/* Words that act while compiling; the stack holds the places to patch. */
static void colon(void) {
    char name[NAME];
    if (!next(name)) fail("name expected", "");
    define(name, NULL, 0);
    compiling = 1;
}
static void semicolon(void) { compile("(leave)"), compiling = 0; }
static void recurse(void) { emit(words - 1); }
static void if_(void) { compile("(jump-if-not)"), push(emit(0)); }
static void else_(void) {
    long at = pop();
    compile("(jump)"), push(emit(0));
    *cell(at) = code_size;
}
static void then(void) { *cell(pop()) = code_size; }
static void begin(void) { push(code_size); }
static void until(void) { compile("(jump-if-not)"), emit(pop()); }
static void while_(void) { compile("(jump-if-not)"), push(emit(0)), swap(); }
static void repeat(void) {
    compile("(jump)"), emit(pop());
    then();
}
static void do__(void) { compile("(do)"), push(code_size); }
static void loop__(void) { compile("(loop)"), emit(pop()); }
static void comment(void) {
    while (*source && *source++ != ')') {}
}
static void line_comment(void) {
    while (*source && *source != '\n') source++;
}
static void text(void) {
    if (*source == ' ') source++;
    int at = compiling ? (compile("(text)"), emit(0)) : -1;
    for (; *source && *source != '"'; source++) {
        if (compiling)
            emit(*source), code[at]++;
        else
            putchar(*source);
    }
    if (*source) source++;
}
static void variable(void) {
    char name[NAME];
    if (!next(name)) fail("name expected", "");
    int at = emit(0);
    define(name, NULL, 0);
    compile("(literal)"), emit(at), compile("(leave)");
}
static void list_words(void) {
    for (int i = words - 1; i >= 0; i--)
        if (dictionary[i].name[0] != '(' || !dictionary[i].name[1]) printf("%s ", dictionary[i].name);
}

static void evaluate(const char *program) {
    char token[NAME];
    source = program;
    while (next(token)) {
        int word = find(token);
        char *end;
        if (word >= 0) {
            if (compiling && !dictionary[word].immediate)
                emit(word);
            else
                run(word);
            continue;
        }
        long n = strtol(token, &end, 0);
        if (*end) fail("unknown word", token);
        if (compiling)
            compile("(literal)"), emit(n);
        else
            push(n);
    }
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        Action action;
        int immediate;
    } primitives[] = {
        {"+", add, 0}, {"-", subtract, 0}, {"*", multiply, 0}, {"/", divide, 0}, {"mod", modulo, 0}, {"=", equal, 0},
        {"<", less, 0}, {">", greater, 0}, {"and", and_, 0}, {"or", or_, 0}, {"xor", xor_, 0}, {"invert", invert, 0},
        {"dup", dup, 0}, {"drop", drop, 0}, {"swap", swap, 0}, {"over", over, 0}, {"rot", rot, 0}, {".", dot, 0},
        {".s", dot_s, 0}, {"cr", cr, 0}, {"emit", emit_, 0}, {"@", fetch, 0}, {"!", store, 0}, {"i", i_, 0},
        {"j", j_, 0}, {"words", list_words, 0}, {"variable", variable, 0}, {"(literal)", literal, 0},
        {"(jump)", jump, 0}, {"(jump-if-not)", jump_if_not, 0}, {"(leave)", leave, 0}, {"(text)", print_text, 0},
        {"(do)", do_, 0}, {"(loop)", loop_, 0}, {":", colon, 0}, {";", semicolon, 1}, {"recurse", recurse, 1},
        {"if", if_, 1}, {"else", else_, 1}, {"then", then, 1}, {"begin", begin, 1}, {"until", until, 1},
        {"while", while_, 1}, {"repeat", repeat, 1}, {"do", do__, 1}, {"loop", loop__, 1}, {"(", comment, 1},
        {"\\", line_comment, 1}, {".\"", text, 1},
    };
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++)
        define(primitives[i].name, primitives[i].action, primitives[i].immediate);
    if (argc > 1) {
        for (int i = 1; i < argc; i++) evaluate(argv[i]);
    } else {
        static char program[1 << 16];
        program[fread(program, 1, sizeof program - 1, stdin)] = 0;
        evaluate(program);
    }
    return fflush(stdout) == 0 ? 0 : 2;
}
