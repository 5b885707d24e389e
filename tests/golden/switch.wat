;; A br_table is searched by halves; cases that are reached by several values are found by number first.
(module
  (func (export "days") (param i32) (result i32)
    (block $none
      (block $long
        (block $short
          (block $february
            (br_table $long $february $long $short $long $short $long $long $short $long $short $long $none
              (local.get 0)))
          (return (i32.const 28)))
        (return (i32.const 30)))
      (return (i32.const 31)))
    (i32.const 0)))

;; --- cpython
;; def func0_days(p0):
;;     if p0 < 6:
;;         if p0 < 3:
;;             if p0 == 1:
;;                 return 28
;;             return 31
;;         if p0 == 4:
;;             return 31
;;         return 30
;;     if p0 < 10:
;;         if p0 == 8:
;;             return 30
;;         return 31
;;     if p0 < 11:
;;         return 30
;;     if p0 == 11:
;;         return 31
;;     return 0

;; --- pypy
;; def func0_days(p0):
;;     if p0 < 6:
;;         if p0 < 3:
;;             if p0 == 1:
;;                 return 28
;;             return 31
;;         if p0 == 4:
;;             return 31
;;         return 30
;;     if p0 < 10:
;;         if p0 == 8:
;;             return 30
;;         return 31
;;     if p0 < 11:
;;         return 30
;;     if p0 == 11:
;;         return 31
;;     return 0
