;; A loop left at its top is a while with a condition; branches out of blocks are ifs.
(module
  (func (export "gcd") (param i32 i32) (result i32)
    (local i32)
    (block $done
      (loop $again
        (br_if $done (i32.eqz (local.get 1)))
        (local.set 2 (i32.rem_u (local.get 0) (local.get 1)))
        (local.set 0 (local.get 1))
        (local.set 1 (local.get 2))
        (br $again)))
    (local.get 0)))

;; --- cpython
;; def func0_gcd(p0, p1):
;;     while True:
;;         if not p1:
;;             return p0
;;         v2 = p0 % p1
;;         p0 = p1
;;         p1 = v2

;; --- pypy
;; def func0_gcd(p0, p1):
;;     while True:
;;         if not p1:
;;             return p0
;;         v2 = p0 % p1
;;         p0 = p1
;;         p1 = v2
