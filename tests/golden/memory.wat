;; An address that is proven aligned is an index; others are tested. Bytes need no test.
(module
  (memory 1)
  (func (export "table") (param i32) (result i32)
    (i32.load offset=1024 (i32.shl (i32.and (local.get 0) (i32.const 255)) (i32.const 2))))
  (func (export "copy") (param i32 i32)
    (i32.store8 (local.get 0) (i32.load8_u offset=3 (local.get 1)))
    (i64.store (local.get 0) (i64.load offset=8 (local.get 1)))
    (f32.store (local.get 0) (f32.add (f32.load (local.get 1)) (f32.const 1)))))

;; --- cpython
;; def func0_table(p0):
;;     return u32[(p0 & 255) + 256]
;;
;;
;; def func1_copy(p0, p1):
;;     u8[p0] = u8[p1 + 3]
;;     y = i64_load(u8, p1 + 8) if p1 & 7 else u64[p1 + 8 >> 3]
;;     if p0 & 7:
;;         i64_store(u8, p0, y)
;;     else:
;;         u64[p0 >> 3] = y
;;     y = (f32_load(u8, p1) if p1 & 3 else f32[p1 >> 2]) + 1.0
;;     if p0 & 3:
;;         f32_store(u8, p0, f32_round(y))
;;     else:
;;         f32[p0 >> 2] = y

;; --- pypy
;; def func0_table(p0):
;;     return unpack_u32(data, ((p0 & 255) << 2) + 1024)[0]
;;
;;
;; def func1_copy(p0, p1):
;;     u8[p0] = u8[p1 + 3]
;;     pack_s64(data, p0, unpack_s64(data, p1 + 8)[0])
;;     pack_f32(data, p0, f32_round(unpack_f32(data, p1)[0] + 1.0))
