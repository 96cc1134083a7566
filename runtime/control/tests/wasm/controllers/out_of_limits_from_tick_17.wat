;; Channel 0 leaves its limits after some ticks only.
(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (func (export "process") (param $tick i64)
    (drop (call $set (i32.const 0)
      (f64.mul (f64.const 0.2) (f64.convert_i64_s (local.get $tick)))))))
