;; Indirect calls index a list of callables of their type; a tail call is returned to the trampoline.
(module
  (type $unary (func (param i32) (result i32)))
  (table 2 funcref)
  (elem (i32.const 0) $even $odd)
  (func (export "call") (param i32 i32) (result i32) (call_indirect (type $unary) (local.get 1) (local.get 0)))
  (func $even (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
    (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
  (func $odd (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
    (return_call $even (i32.sub (local.get 0) (i32.const 1)))))

;; --- cpython
;; def func0_call(p0, p1):
;;     return table0_t0[p0](p1)
;;
;;
;; def func1_even_tail(p0):
;;     if not p0:
;;         return 1
;;     return TailCall(func2_odd, (p0 - 1 if p0 else 0xFFFFFFFF,))
;;
;;
;; func1_even = make_trampoline(func1_even_tail)
;;
;;
;; def func2_odd_tail(p0):
;;     if not p0:
;;         return 0
;;     return TailCall(func1_even, (p0 - 1 if p0 else 0xFFFFFFFF,))
;;
;;
;; func2_odd = make_trampoline(func2_odd_tail)

;; --- pypy
;; def func0_call(p0, p1):
;;     return table0_t0[p0](p1)
;;
;;
;; def func1_even_tail(p0):
;;     if not p0:
;;         return 1
;;     return TailCall(func2_odd, (p0 - 1 & 0xFFFFFFFF,))
;;
;;
;; func1_even = make_trampoline(func1_even_tail)
;;
;;
;; def func2_odd_tail(p0):
;;     if not p0:
;;         return 0
;;     return TailCall(func1_even, (p0 - 1 & 0xFFFFFFFF,))
;;
;;
;; func2_odd = make_trampoline(func2_odd_tail)
