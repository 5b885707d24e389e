;; controls: fuel
;; A block is paid for before it runs. A loop that calls nothing has the fuel in a local; what calls has it in the global.
(module
  (memory 1)
  (func (export "sum") (param i32 i32) (result i32) (local i32)
    (block (loop
      local.get 1 i32.eqz br_if 1
      local.get 2 local.get 0 i32.load i32.add local.set 2
      local.get 0 i32.const 4 i32.add local.set 0
      local.get 1 i32.const 1 i32.sub local.set 1
      br 0))
    local.get 2)
  (func $fac (export "fac") (param i32) (result i32)
    local.get 0 i32.eqz
    if (result i32) i32.const 1
    else local.get 0 local.get 0 i32.const 1 i32.sub call $fac i32.mul end))

;; --- cpython
;; def func0_sum(p0, p1):
;;     global fuel
;;     left = fuel + 0.0
;;     try:
;;         if left < 1.0:
;;             left = refuel(instance, int(left), 1) + 0.0
;;         left -= 1.0
;;         v2 = 0
;;         while True:
;;             if not p1:
;;                 if left < 5.0:
;;                     if left < 4.0:
;;                         left = refuel(instance, int(left), 4) + 0.0
;;                     left -= 4.0
;;                     if left < 1.0:
;;                         left = refuel(instance, int(left), 1) + 0.0
;;                     left -= 1.0
;;                 else:
;;                     left -= 5.0
;;                 return v2
;;             if left < 18.0:
;;                 if left < 4.0:
;;                     left = refuel(instance, int(left), 4) + 0.0
;;                 left -= 4.0
;;                 if left < 14.0:
;;                     left = refuel(instance, int(left), 14) + 0.0
;;                 left -= 14.0
;;             else:
;;                 left -= 18.0
;;             v2 = v2 + (i32_load(u8, p0) if p0 & 3 else u32[p0 >> 2]) & 0xFFFFFFFF
;;             p0 = p0 + 4 if p0 < 0xFFFFFFFC else p0 - 0xFFFFFFFC
;;             p1 = p1 - 1 if p1 else 0xFFFFFFFF
;;     finally:
;;         fuel = int(left)
;;
;;
;; def func1_fac(p0):
;;     global fuel
;;     if not p0:
;;         if fuel < 4:
;;             if fuel < 3:
;;                 fuel = refuel(instance, fuel, 3)
;;             fuel -= 3
;;             if fuel < 1:
;;                 fuel = refuel(instance, fuel, 1)
;;             fuel -= 1
;;         else:
;;             fuel -= 4
;;         return 1
;;     if fuel < 9:
;;         if fuel < 3:
;;             fuel = refuel(instance, fuel, 3)
;;         fuel -= 3
;;         if fuel < 6:
;;             fuel = refuel(instance, fuel, 6)
;;         fuel -= 6
;;     else:
;;         fuel -= 9
;;     return p0 * func1_fac(p0 - 1 if p0 else 0xFFFFFFFF) & 0xFFFFFFFF

;; --- pypy
;; def func0_sum(p0, p1):
;;     global fuel
;;     left = fuel
;;     try:
;;         if left < 1:
;;             left = refuel(instance, left, 1)
;;         left -= 1
;;         v2 = 0
;;         while True:
;;             if not p1:
;;                 if left < 5:
;;                     if left < 4:
;;                         left = refuel(instance, left, 4)
;;                     left -= 4
;;                     if left < 1:
;;                         left = refuel(instance, left, 1)
;;                     left -= 1
;;                 else:
;;                     left -= 5
;;                 return v2
;;             if left < 18:
;;                 if left < 4:
;;                     left = refuel(instance, left, 4)
;;                 left -= 4
;;                 if left < 14:
;;                     left = refuel(instance, left, 14)
;;                 left -= 14
;;             else:
;;                 left -= 18
;;             v2 = v2 + unpack_u32(data, p0)[0] & 0xFFFFFFFF
;;             p0 = p0 + 4 & 0xFFFFFFFF
;;             p1 = p1 - 1 & 0xFFFFFFFF
;;     finally:
;;         fuel = left
;;
;;
;; def func1_fac(p0):
;;     global fuel
;;     if not p0:
;;         if fuel < 4:
;;             if fuel < 3:
;;                 fuel = refuel(instance, fuel, 3)
;;             fuel -= 3
;;             if fuel < 1:
;;                 fuel = refuel(instance, fuel, 1)
;;             fuel -= 1
;;         else:
;;             fuel -= 4
;;         return 1
;;     if fuel < 9:
;;         if fuel < 3:
;;             fuel = refuel(instance, fuel, 3)
;;         fuel -= 3
;;         if fuel < 6:
;;             fuel = refuel(instance, fuel, 6)
;;         fuel -= 6
;;     else:
;;         fuel -= 9
;;     return int_mul(p0, func1_fac(p0 - 1 & 0xFFFFFFFF)) & 0xFFFFFFFF
