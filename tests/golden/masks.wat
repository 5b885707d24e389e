;; A sum is masked once, where its exact value is needed, and not at all where only low bits are.
(module
  (func (export "sum") (param i32 i32 i32) (result i32)
    (i32.add (i32.add (local.get 0) (local.get 1)) (local.get 2)))
  (func (export "low_byte") (param i32 i32) (result i32)
    (i32.and (i32.add (local.get 0) (local.get 1)) (i32.const 255)))
  (func (export "rotate") (param i32 i32) (result i32)
    (i32.rotl (i32.xor (local.get 0) (local.get 1)) (i32.const 7))))

;; --- cpython
;; def func0_sum(p0, p1, p2):
;;     return p0 + p1 + p2 & 0xFFFFFFFF
;;
;;
;; def func1_low_byte(p0, p1):
;;     return p0 + p1 & 255
;;
;;
;; def func2_rotate(p0, p1):
;;     return (p0 ^ p1) * 0x100000001 >> 25 & 0xFFFFFFFF

;; --- pypy
;; def func0_sum(p0, p1, p2):
;;     return p0 + p1 + p2 & 0xFFFFFFFF
;;
;;
;; def func1_low_byte(p0, p1):
;;     return p0 + p1 & 255
;;
;;
;; def func2_rotate(p0, p1):
;;     return ((x := p0 ^ p1) << 7 | x >> 25) & 0xFFFFFFFF
