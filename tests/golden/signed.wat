;; A signed comparison asks for the sign only as far as it must; a signed load has it already.
(module
  (memory 1)
  (func (export "clamp") (param i32) (result i32)
    (if (i32.lt_s (local.get 0) (i32.const 0)) (then (return (i32.const 0))))
    (if (i32.gt_s (local.get 0) (i32.const 255)) (then (return (i32.const 255))))
    (local.get 0))
  (func (export "less") (param i32 i32) (result i32) (i32.lt_s (local.get 0) (local.get 1)))
  (func (export "negative_byte") (param i32) (result i32)
    (i32.lt_s (i32.load8_s (local.get 0)) (i32.const 0))))

;; --- cpython
;; def func0_clamp(p0):
;;     if p0 >= 0x80000000:
;;         return 0
;;     if 256 <= p0 < 0x80000000:
;;         return 255
;;     return p0
;;
;;
;; def func1_less(p0, p1):
;;     return 1 if (p0 < p1 or p0 >= 0x80000000 if p1 < 0x80000000 else 0x80000000 <= p0 < p1) else 0
;;
;;
;; def func2_negative_byte(p0):
;;     return 1 if s8[p0] < 0 else 0

;; --- pypy
;; def func0_clamp(p0):
;;     if p0 >= 0x80000000:
;;         return 0
;;     if 256 <= p0 < 0x80000000:
;;         return 255
;;     return p0
;;
;;
;; def func1_less(p0, p1):
;;     return 1 if p0 ^ 0x80000000 < p1 ^ 0x80000000 else 0
;;
;;
;; def func2_negative_byte(p0):
;;     return 1 if (u8[p0] ^ 128) - 128 < 0 else 0
