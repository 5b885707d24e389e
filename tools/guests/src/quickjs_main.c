/* QuickJS: evaluates the script named by the first argument, or standard input; `print(…)` and `console.log(…)` write to
   standard output, the other arguments are `scriptArgs`. Exit code 1 after an uncaught exception. */
#include "quickjs.h"
#include "stdio_all.h"

static JSValue print(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    (void)self;
    for (int i = 0; i < argc; i++) {
        size_t size;
        const char *text = JS_ToCStringLen(ctx, &size, argv[i]);
        if (!text) return JS_EXCEPTION;
        if (i) putchar(' ');
        fwrite(text, 1, size, stdout);
        JS_FreeCString(ctx, text);
    }
    putchar('\n');
    return JS_UNDEFINED;
}

static void report(JSContext *ctx) {
    JSValue error = JS_GetException(ctx);
    const char *text = JS_ToCString(ctx, error);
    printf("uncaught %s\n", text ? text : "exception");
    JS_FreeCString(ctx, text);
    if (JS_IsError(ctx, error)) {
        JSValue stack = JS_GetPropertyStr(ctx, error, "stack");
        const char *trace = JS_ToCString(ctx, stack);
        if (trace) fputs(trace, stdout);
        JS_FreeCString(ctx, trace);
        JS_FreeValue(ctx, stack);
    }
    JS_FreeValue(ctx, error);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "<stdin>";
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : stdin;
    if (!file) die("cannot open the script");
    size_t size;
    char *source = (char *)read_all(file, &size);
    source = realloc(source, size + 1);
    source[size] = 0;

    JSRuntime *runtime = JS_NewRuntime();
    JSContext *ctx = runtime ? JS_NewContext(runtime) : NULL;
    if (!ctx) die("out of memory");
    JSValue global = JS_GetGlobalObject(ctx), console = JS_NewObject(ctx), args = JS_NewArray(ctx);
    JS_SetPropertyStr(ctx, global, "print", JS_NewCFunction(ctx, print, "print", 1));
    JS_SetPropertyStr(ctx, console, "log", JS_NewCFunction(ctx, print, "log", 1));
    JS_SetPropertyStr(ctx, global, "console", console);
    for (int i = 2; i < argc; i++) JS_SetPropertyUint32(ctx, args, i - 2, JS_NewString(ctx, argv[i]));
    JS_SetPropertyStr(ctx, global, "scriptArgs", args);

    int status = 0;
    JSValue result = JS_Eval(ctx, source, size, name, JS_EVAL_TYPE_GLOBAL);
    if (JS_IsException(result)) {
        report(ctx);
        status = 1;
    }
    JS_FreeValue(ctx, result);
    JSContext *job;
    int ran;
    while ((ran = JS_ExecutePendingJob(runtime, &job)) != 0) {
        if (ran < 0) {
            report(job);
            status = 1;
        }
    }
    JS_FreeValue(ctx, global);
    JS_FreeContext(ctx);
    JS_FreeRuntime(runtime);
    free(source);
    return fflush(stdout) == 0 ? status : 2;
}
