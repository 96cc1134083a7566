;; The reservation ends where the memory may end: the first byte beyond 16 MiB has no guard page before it.
(module
  (memory 256)
  (func (export "process") (param $tick i64)
    (i32.store8 (i32.const 16777216) (i32.const 1))))
