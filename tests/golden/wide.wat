;; 64-bit arithmetic: masked ints on CPython, machine words on PyPy.
(module
  (func (export "fnv") (param i64 i64) (result i64)
    (i64.mul (i64.xor (local.get 0) (local.get 1)) (i64.const 0x100000001b3)))
  (func (export "shift") (param i64 i32) (result i64)
    (i64.shr_u (local.get 0) (i64.extend_i32_u (local.get 1))))
  (func (export "mean") (param f64 f64) (result f64)
    (f64.div (f64.add (local.get 0) (local.get 1)) (f64.const 2))))

;; --- cpython
;; def func0_fnv(p0, p1):
;;     return (p0 ^ p1) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
;;
;;
;; def func1_shift(p0, p1):
;;     return p0 >> (p1 & 63)
;;
;;
;; def func2_mean(p0, p1):
;;     return (p0 + p1) / 2.0

;; --- pypy
;; def func0_fnv(p0, p1):
;;     p0 = p0 if p0 <= 0x7FFFFFFFFFFFFFFF else p0 - 0x10000000000000000
;;     p1 = p1 if p1 <= 0x7FFFFFFFFFFFFFFF else p1 - 0x10000000000000000
;;     return x if (x := int_mul(p0 ^ p1, 1099511628211)) >= 0 else x + 0x10000000000000000
;;
;;
;; def func1_shift(p0, p1):
;;     p0 = p0 if p0 <= 0x7FFFFFFFFFFFFFFF else p0 - 0x10000000000000000
;;     return x if (x := uint_rshift(p0, p1 & 63)) >= 0 else x + 0x10000000000000000
;;
;;
;; def func2_mean(p0, p1):
;;     return (p0 + p1) / 2.0
