// A few hundred lines of JavaScript over most of the language, deterministic: no clock, no randomness but its own.
"use strict";

let section = "";
let lines = 0;
function say(...values) {
    lines++;
    print(section + ":", ...values.map((v) => (typeof v === "string" ? v : show(v))));
}
function show(value) {
    if (typeof value === "bigint") return value + "n";
    if (typeof value === "symbol" || typeof value === "function") return String(value.description ?? value.name);
    if (value instanceof Map) return "Map{" + [...value].map(([k, v]) => show(k) + "=>" + show(v)).join(",") + "}";
    if (value instanceof Set) return "Set{" + [...value].map(show).join(",") + "}";
    if (ArrayBuffer.isView(value)) return value.constructor.name + "[" + Array.from(value).join(",") + "]";
    return Object.is(value, -0) ? "-0" : value === undefined ? "undefined" : JSON.stringify(value) ?? String(value);
}
function part(name, body) {
    section = name;
    try {
        body();
    } catch (error) {
        say("threw", error.name, error.message);
    }
}
let seed = 12345;
function random(n) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
}

part("numbers", () => {
    say(0.1 + 0.2, 1 / 3, 1e21, 1e-7, 123456789012345680000, 5e-324, 1.7976931348623157e308, -0, NaN, 1 / 0);
    say((255).toString(16), (0.5).toString(2), (1e21).toString(36), (-255).toString(2), (3.14159).toFixed(2));
    say((1234.5678).toExponential(3), (0.000123).toPrecision(2), (25).toString(5), (1.005).toFixed(2), (1e21).toFixed(2));
    say(parseInt("0x1f"), parseInt("12px"), parseFloat("3.5e2x"), Number(""), Number("0b101"), Number("1_0"));
    say(1 << 31, 1 << 32, -1 >>> 0, -1 >>> 28, 2 ** 31 | 0, ~~-7.9, -7 % 3, 7 % -3, 5.5 % 2, 2 ** 0.5);
    say(Math.max(), Math.min(1, -0, 0), Math.hypot(3, 4), Math.cbrt(27), Math.log2(8), Math.sign(-3), Math.trunc(-4.7));
    say(Math.clz32(1), Math.fround(5.05), Math.imul(0xffffffff, 5), Math.round(-0.5), Math.round(2.5), Math.expm1(1e-10));
    let sum = 0;
    for (let i = 1; i <= 2000; i++) sum += Math.sin(i) * Math.cos(i / 3) + Math.exp(-i / 100) - Math.atan2(i, 7) / Math.sqrt(i);
    say(sum, Math.pow(1.0000001, 1e7), Math.tan(1), Math.asinh(2), Math.log1p(1e-5), Math.log10(12345));
    say(Number.MAX_SAFE_INTEGER, Number.EPSILON, Number.isInteger(5.0), Number.isSafeInteger(2 ** 53));
});

part("bigint", () => {
    let a = 1n, b = 1n;
    for (let i = 0; i < 300; i++) [a, b] = [b, a + b];
    say(a, a % 1000000007n, a >> 100n, -a / 12345678901234567890n, a & 0xffffffffffffffffn);
    let f = 1n;
    for (let i = 2n; i <= 60n; i++) f *= i;
    say(f, f.toString(16), BigInt.asUintN(64, f), BigInt.asIntN(64, -f), (-7n) / 2n, (-7n) % 2n, 2n ** 200n);
    const modpow = (base, e, m) => {
        let r = 1n;
        for (base %= m; e > 0n; e >>= 1n) {
            if (e & 1n) r = (r * base) % m;
            base = (base * base) % m;
        }
        return r;
    };
    say(modpow(3n, 10n ** 30n, 10n ** 20n + 39n), 5n == 5, 5n === 5, 2n > 1, BigInt("0xff"), typeof 1n);
    try { 1n + 1; } catch (e) { say(e.name, e.message); }
    try { 1n / 0n; } catch (e) { say(e.name, e.message); }
});

part("strings", () => {
    const s = "The quick brown fox jumps over the lazy dog";
    say(s.split(" ").reverse().join(" "), s.replace(/o/g, "0"), s.indexOf("fox"), s.lastIndexOf("o"), s.slice(-8, -4));
    say("abc".padStart(6, "12"), "abc".padEnd(5) + "|", " x ".trim(), "ab".repeat(3), "a-b-c".split("-", 2));
    say("\u{1f600}".length, [..."a\u{1f600}b"].length, "\u{1f600}".codePointAt(0), String.fromCodePoint(128512, 65), "ß".toUpperCase());
    say("İstanbul".toLowerCase().length, "e\u0301".normalize("NFC").length, "ﬁ".normalize("NFKD"), "a" < "B", "10" < "9", "z".localeCompare("a"));
    say(encodeURIComponent("a b&c/ü\u{1f600}"), decodeURIComponent("%E4%BD%A0"), escape("ü"), encodeURI("http://x/ü?q=1 2"));
    let built = "";
    for (let i = 0; i < 3000; i++) built += String.fromCharCode(97 + (i * i) % 26) + (i % 7 ? "" : "," + i);
    let hash = 0;
    for (let i = 0; i < built.length; i++) hash = (Math.imul(hash, 31) + built.charCodeAt(i)) | 0;
    say(built.length, hash, built.slice(1000, 1040), built.includes("zz"), built.at ? "at" : "no at");
    const tag = (strings, ...values) => strings.raw.join("|") + values.map((v) => v * 2).join("+");
    say(tag`a${1}\n${2}c`, `${1 + 1}${"x".concat("y", 1)}`, "x".startsWith("x"), "abcd".substring(3, 1), "abcd".substr(-2, 1));
});

part("regexp", () => {
    const text = "2021-03-27, 1999-12-31 and 2000-02-29; a@b.org, x.y+z@example.co.uk";
    say([...text.matchAll(/(?<year>\d{4})-(?<month>\d\d)-(\d\d)/g)].map((m) => m.groups.year + "/" + m.groups.month + "@" + m.index));
    say(text.replace(/(\d+)-(\d+)-(\d+)/g, "$3.$2.$1"), text.match(/[\w.+]+@[\w.]+\.[a-z]{2,}/g), text.search(/;/));
    say("aaa".match(/a*?$/)[0], "xaay".match(/(?<=x)a+(?=y)/)[0], /(a)|(b)/.exec("b"), /^(?:(\w)\1)+$/.test("aabbcc"));
    say("one  two\tthree".split(/\s+/), "a1b2".split(/(\d)/), "camelCaseString".replace(/[A-Z]/g, (c) => "_" + c.toLowerCase()));
    say("línea\nzwei".match(/^\w.*$/gm), /\u{1f600}/u.test("\u{1f600}"), /\p{Lu}\p{Ll}+/u.exec("été Été")[0], /a.c/s.test("a\nc"));
    const sticky = /\d/y;
    sticky.lastIndex = 1;
    say(sticky.exec("a1b")[0], sticky.lastIndex, /(x+x+)+y/.test("xxxxxxxxxxxxx"), "aBC".replace(/b/i, "[$&$`$']"), /[^\]]/.source);
    try { new RegExp("("); } catch (e) { say(e.name, e.message); }
});

part("closures", () => {
    const counter = () => { let n = 0; return { up: () => ++n, get value() { return n; } }; };
    const a = counter(), b = counter();
    a.up(); a.up(); b.up();
    const adders = [];
    for (let i = 0; i < 4; i++) adders.push((x) => x + i);
    var functions = [];
    for (var j = 0; j < 3; j++) functions.push(() => j);
    say(a.value, b.value, adders.map((f) => f(10)), functions.map((f) => f()));
    const compose = (...fs) => (x) => fs.reduceRight((v, f) => f(v), x);
    const curry = (f) => function step(...args) { return args.length >= f.length ? f(...args) : (...more) => step(...args, ...more); };
    say(compose((x) => x + 1, (x) => x * 2)(5), curry((x, y, z) => x * y + z)(2)(3)(4), (function () { return arguments.length; })(1, 2, 3));
    const memo = new Map();
    const fib = (n) => (n < 2 ? n : memo.get(n) ?? (memo.set(n, fib(n - 1) + fib(n - 2)), memo.get(n)));
    const slow = (n) => (n < 2 ? n : slow(n - 1) + slow(n - 2));
    say(fib(70), slow(16), ((a, b = a * 2, ...rest) => [a, b, rest])(1, undefined, 3, 4), eval("1 + 2"), new Function("a", "b", "return a ** b")(2, 10));
});

part("classes", () => {
    class Shape {
        #name; static count = 0;
        constructor(name) { this.#name = name; Shape.count++; }
        get name() { return this.#name; }
        set name(v) { this.#name = v.toUpperCase(); }
        area() { return 0; }
        toString() { return `${this.constructor.name} ${this.#name} ${this.area().toFixed(3)}`; }
        static of(...args) { return new this(...args); }
    }
    class Circle extends Shape { constructor(r) { super("circle"); this.r = r; } area() { return Math.PI * this.r ** 2; } }
    class Box extends Shape {
        constructor(w, h) { super("box"); Object.assign(this, { w, h }); }
        area() { return this.w * this.h; }
        toString() { return "[" + super.toString() + "]"; }
        *[Symbol.iterator]() { yield this.w; yield this.h; }
        [Symbol.toPrimitive](hint) { return hint === "number" ? this.area() : hint; }
    }
    const box = Box.of(2, 3.5);
    box.name = "crate";
    say(String(new Circle(2).toString()), box.toString(), [...box], +box, `${box}`, Shape.count, box instanceof Shape, Object.keys(box));
    try { Shape(); } catch (e) { say(e.name, e.message); }
    try { null.x; } catch (e) { say(e.name, e.message); }
    const old = Object.create({ greet() { return "hi " + this.who; } }, { who: { value: "me", enumerable: false } });
    say(old.greet(), JSON.stringify(old), "who" in old, old.hasOwnProperty("greet"), Object.getOwnPropertyNames(class { static m() {} }));
});

part("generators", () => {
    function* primes() {
        const found = [];
        for (let n = 2; ; n++) if (found.every((p) => n % p)) { found.push(n); yield n; }
    }
    function* take(n, it) { let i = 0; for (const v of it) { if (i++ >= n) return "done"; yield v; } }
    function* both() { const r = yield* take(3, primes()); try { yield r; } finally { yield "cleanup"; } }
    say([...take(25, primes())], [...both()]);
    const g = both();
    g.next();
    say(g.return("x"), g.next());
    const talk = (function* () { let got = []; while (got.length < 3) got.push(yield got.length); return got; })();
    say(talk.next(), talk.next("a"), talk.next("b"), talk.next("c"), talk.next());
    function* walk(tree) { if (tree) { yield* walk(tree.left); yield tree.key; yield* walk(tree.right); } }
    let root = null;
    const insert = (t, key) => (t ? (key < t.key ? { ...t, left: insert(t.left, key) } : { ...t, right: insert(t.right, key) }) : { key });
    for (let i = 0; i < 40; i++) root = insert(root, random(1000));
    say([...walk(root)]);
});

part("collections", () => {
    const map = new Map([["a", 1], [NaN, 2], [0, 3]]);
    map.set(-0, 4).set({}, 5).delete("a");
    say(map, map.get(NaN), map.size, new Set("mississippi"), new Set([1, "1", 1.0, NaN, NaN]));
    const words = "it was the best of times it was the worst of times".split(" ");
    const counts = new Map();
    for (const w of words) counts.set(w, (counts.get(w) || 0) + 1);
    say([...counts].sort((x, y) => y[1] - x[1] || (x[0] < y[0] ? -1 : 1)), Object.fromEntries(counts));
    const weak = new WeakMap(), key = {};
    weak.set(key, "v");
    say(weak.get(key), weak.has({}), [1, [2, [3, [4]]]].flat(2), [3, 1, 2].map((x) => [x, x * x]), [1, 2, 3].flatMap((x) => [x, -x]));
    const list = Array.from({ length: 10 }, (_, i) => i * i);
    say(list.splice(2, 3, "x", "y"), list, list.fill(0, 6), list.copyWithin(0, 5), [, 1, , 2], [1, 2, 3].includes(NaN), Array.isArray(list));
    say([1, 2, 3, 4].reduce((a, b) => a + b), [5, 1, 4].find((x) => x < 5), [1, 2].concat([3], 4), [1, 2, 3].indexOf(4), [3, 2, 1].join());
    const big = new Map();
    for (let i = 0; i < 2000; i++) big.set("k" + random(500), i);
    let check = 0;
    for (const [k, v] of big) check = (check * 33 + k.length * v) % 1000003;
    say(big.size, check);
});

part("sorting", () => {
    const numbers = Array.from({ length: 400 }, () => random(100000));
    const sorted = [...numbers].sort((a, b) => a - b);
    say(sorted.slice(0, 10), sorted.slice(-5), [...numbers].sort().slice(0, 5), sorted.every((v, i) => !i || sorted[i - 1] <= v));
    const records = numbers.slice(0, 60).map((n, i) => ({ id: i, group: n % 5, name: "n" + (n % 17) }));
    records.sort((a, b) => a.group - b.group || a.name.localeCompare(b.name));
    say(records.map((r) => r.id).join(" "));
    const quick = (a) => (a.length < 2 ? a : [...quick(a.slice(1).filter((x) => x < a[0])), a[0], ...quick(a.slice(1).filter((x) => x >= a[0]))]);
    say(quick(numbers).join() === sorted.join(), ["b", undefined, "a", , "C"].sort(), [10, 9, 1].sort(), [3, 1, 2].reverse());
});

part("typed arrays", () => {
    const buffer = new ArrayBuffer(32), view = new DataView(buffer);
    view.setFloat64(0, Math.PI); view.setInt16(8, -2, true); view.setUint32(10, 0xdeadbeef); view.setBigInt64(16, -5n); view.setFloat32(24, 1 / 3, true);
    say(new Uint8Array(buffer), view.getUint16(8), view.getBigUint64(16, true), view.getFloat32(24, true));
    say(new Uint8ClampedArray([300, -5, 1.5, 2.5]), new Int8Array([300, -129]), new Float32Array([0.1, 1e40]), new BigInt64Array([2n ** 63n]));
    const sieve = new Uint8Array(3000);
    let primes = 0, last = 0;
    for (let i = 2; i < sieve.length; i++) {
        if (sieve[i]) continue;
        primes++; last = i;
        for (let k = i * i; k < sieve.length; k += i) sieve[k] = 1;
    }
    say(primes, last, Int16Array.from([5, 3, 9]).sort(), new Uint16Array([1, 2, 3, 4]).subarray(1, 3), new Float64Array(3).fill(0.5).map((x) => x * 3));
    const crcTable = new Uint32Array(256).map((_, n) => { for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1; return n; });
    let crc = -1;
    for (const c of "123456789") crc = crcTable[(crc ^ c.charCodeAt(0)) & 255] ^ (crc >>> 8);
    say(((crc ^ -1) >>> 0).toString(16), new Uint8Array([1, 2, 3]).buffer.slice(1).byteLength);
    try { new Uint32Array(buffer, 1); } catch (e) { say(e.name, e.message); }
});

part("json", () => {
    const value = { a: [1, 2.5, -0, 1e300, null, true], s: 'quote " \\ \n \u2028 \ud800', nested: { deep: { deeper: [] } }, skip: undefined, f() {}, d: { toJSON: () => "custom" } };
    const text = JSON.stringify(value);
    say(text, text === JSON.stringify(JSON.parse(text)), JSON.stringify(value, null, 2).length, JSON.stringify([undefined, NaN, Infinity]));
    say(JSON.parse('[1,{"x":"\\u00e9\\t"},-0.5e-3]'), JSON.parse('{"a":1,"b":{"a":2}}', (k, v) => (typeof v === "number" ? v * 10 : v)));
    say(JSON.stringify({ b: 1, a: 2, c: { a: 3 } }, ["a", "c"]), JSON.stringify("x", null, "--"), JSON.stringify([1, [2]], null, "--"));
    for (const bad of ["{", "[1,]", "nul", '"\n"', "01", ""]) try { JSON.parse(bad); say("parsed"); } catch (e) { say(e.name, e.message); }
    const cycle = {};
    cycle.self = cycle;
    try { JSON.stringify(cycle); } catch (e) { say(e.name, e.message); }
});

part("exceptions", () => {
    class Custom extends Error { constructor(m, code) { super(m); this.name = "Custom"; this.code = code; } }
    const order = [];
    const f = () => { try { order.push("try"); throw new Custom("boom", 42); } catch ({ message, code }) { order.push(message, code); return "caught"; } finally { order.push("finally"); } };
    say(f(), order, (() => { for (const i of [1, 2, 3]) try { if (i === 2) continue; order.push(i); } finally { order.push("f" + i); } return order.length; })());
    const deep = (n) => { if (n === 0) throw new RangeError("bottom"); try { deep(n - 1); } finally { lines += 0; } };
    try { deep(100); } catch (e) { say(e instanceof RangeError, e.message, String(e)); }
    outer: for (let i = 0; i < 5; i++) { for (let j = 0; j < 5; j++) { if (j === 3) continue outer; if (i === 2) break outer; order.push(i * 10 + j); } }
    say(order.slice(-6), typeof undeclared, (() => { try { undeclared; } catch (e) { return e.message; } })(), (() => { try { const c = 1; c = 2; } catch (e) { return e.message; } })());
    try { Object.freeze([1]).push(2); } catch (e) { say(e.name); }
    try { let x = y; let y = 1; } catch (e) { say(e.name, e.message); }
});

part("objects", () => {
    const { a, b: { c = 5, ...rest } = {}, ...others } = { a: 1, b: { d: 2, e: 3 }, x: 9, y: 8 };
    const [p, , q = 7, ...r] = [1, 2, undefined, 4, 5];
    say(a, c, rest, others, p, q, r, { ...{ z: 1 }, ["k" + 1]: 2 }, null ?? "n", 0 || "z", undefined?.x, ({ m: { n: 3 } }).m?.n);
    const log = [];
    const proxy = new Proxy({}, { get: (t, k) => (log.push("get " + String(k)), k in t ? t[k] : 0), set: (t, k, v) => (log.push("set " + k), (t[k] = v * 2), true), has: () => true });
    proxy.n = 4;
    say(proxy.n + proxy.m, "anything" in proxy, log, Reflect.ownKeys({ b: 1, 2: 1, a: 1, 1: 1, [Symbol("s")]: 1 }).map(show));
    const o = Object.defineProperty({ _v: 1 }, "v", { get() { return this._v; }, set(n) { this._v = n + 1; } });
    o.v = 10;
    say(o.v, Object.entries({ x: 1, y: [2] }), Object.getOwnPropertyDescriptor(o, "_v"), Object.is(NaN, NaN), typeof null, void 0, [] + {}, [] == false);
    let text = "";
    switch (random(3) + 10) { case 10: text += "a"; case 11: text += "b"; break; case 12: text += "c"; default: text += "d"; }
    for (const k in { x: 1, __proto__: { y: 2 } }) text += k;
    say(text, [..."ab"].entries().next(), Symbol.for("q") === Symbol.for("q"), new Boolean(false) ? 1 : 2, parseInt([10, 20]), +[], +{}, 1 < 2 < 3, 3 > 2 > 1);
});

part("programs", () => {
    const life = (grid) => grid.map((row, y) => row.map((cell, x) => {
        let n = -cell;
        for (let dy = -1; dy < 2; dy++) for (let dx = -1; dx < 2; dx++) n += (grid[y + dy] || [])[x + dx] || 0;
        return n === 3 || (cell && n === 2) ? 1 : 0;
    }));
    let grid = Array.from({ length: 12 }, () => Array.from({ length: 24 }, () => random(2)));
    for (let i = 0; i < 10; i++) grid = life(grid);
    say("\n" + grid.map((row) => row.map((c) => ".#"[c]).join("")).join("\n"));
    const queens = (n, row = 0, cols = 0, d1 = 0, d2 = 0) => {
        if (row === n) return 1;
        let count = 0;
        for (let free = ~(cols | d1 | d2) & ((1 << n) - 1); free; free &= free - 1) {
            const bit = free & -free;
            count += queens(n, row + 1, cols | bit, (d1 | bit) << 1, (d2 | bit) >> 1);
        }
        return count;
    };
    say([4, 5, 6, 7].map((n) => queens(n)));
    const evaluate = (source) => {
        const tokens = source.match(/\d+(?:\.\d+)?|[-+*\/()^]/g);
        const power = () => { let v = atom(); return tokens[0] === "^" ? (tokens.shift(), v ** power()) : v; };
        const atom = () => { const t = tokens.shift(); if (t === "(") { const v = sum(); tokens.shift(); return v; } return t === "-" ? -power() : Number(t); };
        const product = () => { let v = power(); while (tokens[0] === "*" || tokens[0] === "/") v = tokens.shift() === "*" ? v * power() : v / power(); return v; };
        const sum = () => { let v = product(); while (tokens[0] === "+" || tokens[0] === "-") v = tokens.shift() === "+" ? v + product() : v - product(); return v; };
        return sum();
    };
    say(evaluate("1 + 2 * (3 - 4.5) ^ 2 / 3 - -7"), evaluate("2^3^2"), evaluate("(((1)))/3"));
    const n = 8, A = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => 1 / (i + j + 1)));
    let det = 1;
    for (let i = 0; i < n; i++) {
        det *= A[i][i];
        for (let j = i + 1; j < n; j++) for (let k = n - 1; k >= i; k--) A[j][k] -= (A[j][i] * A[i][k]) / A[i][i];
    }
    say(det);
    const levenshtein = (s, t) => {
        let row = [...Array(t.length + 1).keys()];
        for (let i = 1; i <= s.length; i++) row = t.split("").reduce((next, ch, j) => [...next, Math.min(next[j] + 1, row[j + 1] + 1, row[j] + (s[i - 1] !== ch))], [i]);
        return row[t.length];
    };
    say(levenshtein("kitten", "sitting"), levenshtein("polymerase", "compiler"));
});

const later = [];
const pause = (value) => new Promise((resolve) => Promise.resolve().then(() => resolve(value)));
async function* ticks() { for (let i = 0; i < 3; i++) yield await pause(i); }
(async () => {
    for await (const t of ticks()) later.push(t);
    try { await Promise.reject(new TypeError("no")); } catch (e) { later.push(e.message); }
    later.push(...(await Promise.all([1, pause(2), Promise.resolve(3)])), await Promise.race([pause("slow"), "fast"]));
    later.push((await Promise.allSettled([Promise.reject(1), 2])).map((r) => r.status).join("/"));
    section = "async";
    say(later);
    section = "end";
    say(lines + 1);
})();
later.push("sync first");
