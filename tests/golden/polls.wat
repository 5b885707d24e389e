;; controls: polls
;; Each turn of a loop looks whether it was interrupted, and each function that may recurse.
(module
  (func $count (export "count") (param i32) (result i32) (local i32)
    (loop
      local.get 1 i32.const 3 i32.mul local.set 1
      local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0)
    local.get 1)
  (func (export "until") (param i32)
    (block (loop
      local.get 0 i32.eqz br_if 1
      local.get 0 i32.const 1 i32.shr_u local.set 0
      br 0)))
  (func $down (export "down") (param i32)
    local.get 0 if local.get 0 i32.const 1 i32.sub call $down end)
  (func (export "calls") i32.const 5 call $count drop))

;; --- cpython
;; def func0_count(p0):
;;     v1 = 0
;;     while running:
;;         v1 = v1 * 3 & 0xFFFFFFFF
;;         p0 = p0 - 1 if p0 else 0xFFFFFFFF
;;         if not p0:
;;             return v1
;;     else:
;;         stop(instance)
;;
;;
;; def func1_until(p0):
;;     while running:
;;         if not p0:
;;             return
;;         p0 = p0 >> 1
;;     else:
;;         stop(instance)
;;
;;
;; def func2_down(p0):
;;     if not running:
;;         stop(instance)
;;     if p0:
;;         func2_down(p0 - 1 if p0 else 0xFFFFFFFF)
;;
;;
;; def func3_calls():
;;     if not running:
;;         stop(instance)
;;     func0_count(5)

;; --- pypy
;; def func0_count(p0):
;;     v1 = 0
;;     while running:
;;         v1 = v1 * 3 & 0xFFFFFFFF
;;         p0 = p0 - 1 & 0xFFFFFFFF
;;         if not p0:
;;             return v1
;;     else:
;;         stop(instance)
;;
;;
;; def func1_until(p0):
;;     while running:
;;         if not p0:
;;             return
;;         p0 = p0 >> 1
;;     else:
;;         stop(instance)
;;
;;
;; def func2_down(p0):
;;     if not running:
;;         stop(instance)
;;     if p0:
;;         func2_down(p0 - 1 & 0xFFFFFFFF)
;;
;;
;; def func3_calls():
;;     if not running:
;;         stop(instance)
;;     func0_count(5)
